"""The voice encoder: windows of a clip to the speaker embeddings that T3 is conditioned on
(Wan et al. 2018, "GE2E"; released voice_encoder.py).

Shapes: N windows, S steps of a window (mel frames), H hidden units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbflash.config import VoiceEncoderConfig
from cuda_backend.layers import Linear, parameter


class Gates(nn.Module):
    """The weights that make the gates of all hidden units, [4 H, inputs]."""

    def __init__(self, inputs: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = parameter(4 * hidden, inputs)
        self.bias = parameter(4 * hidden) if bias else None


class LSTM(nn.Module):
    """One LSTM layer, gates in the order input, forget, cell, output.

    PyTorch's kernel takes the weights as they are, so there is nothing here to pack.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input = Gates(inputs, hidden)
        self.recurrent = Gates(hidden, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[S, N, inputs] -> hidden states [S, N, H], from a zero state."""
        bias = self.input.bias
        assert bias is not None
        zero = x.new_zeros(1, x.shape[1], self.recurrent.weight.shape[1])
        # The kernel wants a second bias, which the table has added to the first.
        weights = (self.input.weight, self.recurrent.weight, bias, torch.zeros_like(bias))
        states, _, _ = torch.lstm(x, (zero, zero), weights, True, 1, 0.0, False, False, False)
        return states


class VoiceEncoder(nn.Module):
    """Mel windows to embeddings of length one."""

    def __init__(self, config: VoiceEncoderConfig) -> None:
        super().__init__()
        inputs = [config.mels] + [config.hidden] * (config.layers - 1)
        self.lstm = nn.ModuleList(LSTM(width, config.hidden) for width in inputs)
        self.projection = Linear(config.hidden, config.embedding, activation="relu")

    def forward(self, windows: Tensor) -> Tensor:
        """Mel windows [N, S, mels] -> unit vectors [N, embedding], no entry negative."""
        x = windows.transpose(0, 1)
        for layer in self.lstm:
            x = layer(x)
        embedding: Tensor = self.projection(x[-1])
        return embedding / torch.linalg.vector_norm(embedding, dim=1, keepdim=True)
