"""The whole model: a module for each network, named as in the weight tables."""

from __future__ import annotations

from torch import nn

from cbflash.config import ModelConfig
from cuda_backend.flow import Flow
from cuda_backend.hift import HiFT
from cuda_backend.s3tokenizer import S3Tokenizer
from cuda_backend.t3 import T3
from cuda_backend.voice_encoder import VoiceEncoder
from cuda_backend.xvector import XVector


class Chatterbox(nn.Module):
    """Three encoders make a voice; T3 turns text into speech tokens, flow and HiFT into sound.

    Make it on the meta device: parameters are empty until they are loaded.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.bytes = 0  # of all parameters, once they are loaded
        self.t3 = T3(config.t3)
        self.s3tokenizer = S3Tokenizer(config.s3tokenizer)
        self.xvector = XVector(config.xvector)
        self.voice_encoder = VoiceEncoder(config.voice_encoder)
        self.flow = Flow(config.flow)
        self.hift = HiFT(config.hift)
