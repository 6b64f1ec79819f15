"""The whole model: a module for each network, named as in the weight tables."""

from __future__ import annotations

import mlx.nn as nn

from cbflash.config import ModelConfig
from mlx_port.flow import Flow
from mlx_port.hift import HiFT
from mlx_port.s3tokenizer import S3Tokenizer
from mlx_port.t3 import T3
from mlx_port.voice_encoder import VoiceEncoder
from mlx_port.xvector import XVector


class Chatterbox(nn.Module):
    """Three encoders make a voice; T3 turns text into speech tokens, flow and HiFT into sound.

    Parameters of a new model are lazy random arrays: nothing is computed unless they are used.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.t3 = T3(config.t3)
        self.s3tokenizer = S3Tokenizer(config.s3tokenizer)
        self.xvector = XVector(config.xvector)
        self.voice_encoder = VoiceEncoder(config.voice_encoder)
        self.flow = Flow(config.flow)
        self.hift = HiFT(config.hift)
