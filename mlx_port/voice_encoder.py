"""The voice encoder: windows of a clip to the speaker embeddings that T3 is conditioned on
(Wan et al. 2018, "GE2E"; released voice_encoder.py).

Shapes: N windows, S steps of a window (mel frames), H hidden units.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import VoiceEncoderConfig


class LSTM(nn.Module):
    """One LSTM layer, gates in the order input, forget, cell, output.

    Time comes first, so that a step is one piece of memory; only the recurrent half of the
    gates is left to the loop.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 4 * hidden)
        self.recurrent = nn.Linear(hidden, 4 * hidden, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        """[S, N, inputs] -> hidden states [S, N, H], from a zero state."""
        given = self.input(x)
        recurrent = self.recurrent.weight.T
        hidden = cell = mx.zeros((x.shape[1], recurrent.shape[0]))
        states = []
        for step in range(x.shape[0]):
            gates = given[step] + hidden @ recurrent
            enter, forget, candidate, leave = mx.split(gates, 4, axis=-1)
            cell = mx.sigmoid(forget) * cell + mx.sigmoid(enter) * mx.tanh(candidate)
            hidden = mx.sigmoid(leave) * mx.tanh(cell)
            states.append(hidden)
        return mx.stack(states)


class VoiceEncoder(nn.Module):
    """Mel windows to embeddings of length one."""

    def __init__(self, config: VoiceEncoderConfig) -> None:
        super().__init__()
        inputs = [config.mels] + [config.hidden] * (config.layers - 1)
        self.lstm = [LSTM(width, config.hidden) for width in inputs]
        self.projection = nn.Linear(config.hidden, config.embedding)

    def __call__(self, windows: mx.array) -> mx.array:
        """Mel windows [N, S, mels] -> unit vectors [N, embedding], no entry negative."""
        x = windows.swapaxes(0, 1)
        for layer in self.lstm:
            x = layer(x)
        embedding = nn.relu(self.projection(x[-1]))
        return embedding / mx.linalg.norm(embedding, axis=1, keepdims=True)
