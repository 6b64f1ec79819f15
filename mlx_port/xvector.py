"""CAMPPlus: the speaker embedding that the flow is conditioned on (Wang et al. 2023,
"CAM++"; released s3gen/xvector.py).

Shapes: B batch, F fbank frames (100 a second), T = ceil(F / 2) after the TDNN, C channels.
Images of the head are [B, mels, F, C].
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import XVectorConfig
from mlx_port.layers import centred, conv1d


class BatchNorm(nn.Module):
    """Batch norm with fixed statistics: the rows of `affine` are scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = mx.stack([mx.ones(channels), mx.zeros(channels)])

    def __call__(self, x: mx.array) -> mx.array:
        """[..., C] -> [..., C]."""
        return x * self.affine[0] + self.affine[1]


class ResBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; `stride` halves the mel axis."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), 1, bias=False)
        self.norm1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm(channels)
        if stride > 1:
            self.shortcut = nn.Conv2d(channels, channels, 1, (stride, 1), bias=False)
            self.shortcut_norm = BatchNorm(channels)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, mels, F, C] -> [B, ceil(mels / stride), F, C]."""
        y = nn.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if "shortcut" in self:
            x = self.shortcut_norm(self.shortcut(x))
        return nn.relu(y + x)


class Head(nn.Module):
    """FCM: residual blocks over the fbank as an image, each stage halving the mel axis."""

    def __init__(self, config: XVectorConfig) -> None:
        super().__init__()
        channels = config.head_channels
        self.conv1 = nn.Conv2d(1, channels, 3, 1, 1, bias=False)
        self.norm1 = BatchNorm(channels)
        self.stages = [
            [ResBlock(channels, 1 if index else 2) for index in range(blocks)]
            for blocks in config.head_blocks
        ]
        self.conv2 = nn.Conv2d(channels, channels, 3, (2, 1), 1, bias=False)
        self.norm2 = BatchNorm(channels)

    def __call__(self, fbank: mx.array) -> mx.array:
        """fbank [B, F, mels] -> [B, F, channels * mels / 8], channel by channel."""
        x = fbank.swapaxes(1, 2)[..., None]
        x = nn.relu(self.norm1(self.conv1(x)))
        for stage in self.stages:
            for block in stage:
                x = block(x)
        x = nn.relu(self.norm2(self.conv2(x)))
        return x.transpose(0, 2, 3, 1).flatten(2)


class DilatedConv(nn.Module):
    """A convolution of odd kernel that keeps the length, without bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.weight = mx.zeros((outputs, kernel, inputs))
        self.dilation = dilation
        self.padding = centred(kernel, dilation)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, inputs] -> [B, T, outputs]."""
        x = mx.pad(x, [(0, 0), self.padding, (0, 0)])
        return conv1d(x, self.weight, dilation=self.dilation)


class ContextMask(nn.Module):
    """Context-aware masking: a convolution, gated by the mean of the clip and of the segment."""

    def __init__(self, config: XVectorConfig, dilation: int) -> None:
        super().__init__()
        channels = config.bottleneck * config.growth
        self.segment = config.segment
        self.local = DilatedConv(channels, config.growth, config.dense_kernel, dilation)
        self.linear1 = nn.Linear(channels, channels // 2)
        self.linear2 = nn.Linear(channels // 2, config.growth)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, bottleneck * growth] -> [B, T, growth]."""
        frames = x.shape[1]
        starts = range(0, frames, self.segment)
        means = [x[:, at : at + self.segment].mean(axis=1) for at in starts]
        context = x.mean(axis=1, keepdims=True) + mx.stack(means, axis=1)
        gate = mx.sigmoid(self.linear2(nn.relu(self.linear1(context))))
        # One gate a segment serves all its frames; the last segment may be short.
        return self.local(x) * mx.repeat(gate, self.segment, axis=1)[:, :frames]


class DenseLayer(nn.Module):
    """A bottleneck and a masked convolution; gives the channels it adds."""

    def __init__(self, config: XVectorConfig, inputs: int, dilation: int) -> None:
        super().__init__()
        channels = config.bottleneck * config.growth
        self.norm1 = BatchNorm(inputs)
        self.bottleneck = nn.Linear(inputs, channels, bias=False)
        self.norm2 = BatchNorm(channels)
        self.cam = ContextMask(config, dilation)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, inputs] -> [B, T, growth]."""
        x = self.bottleneck(nn.relu(self.norm1(x)))
        return self.cam(nn.relu(self.norm2(x)))


class Transit(nn.Module):
    """Halves the channels after a dense block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.linear = nn.Linear(channels, channels // 2, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, C] -> [B, T, C / 2]."""
        return self.linear(nn.relu(self.norm(x)))


class XVector(nn.Module):
    """fbank to speaker embedding."""

    def __init__(self, config: XVectorConfig) -> None:
        super().__init__()
        self.head = Head(config)
        channels = config.init_channels
        kernel = config.tdnn_kernel
        self.tdnn = nn.Conv1d(
            config.head_outputs, channels, kernel, 2, (kernel - 1) // 2, bias=False
        )
        self.tdnn_norm = BatchNorm(channels)
        self.blocks = []
        self.transits = []
        for layers, dilation in zip(config.dense_layers, config.dense_dilations, strict=True):
            widths = [channels + index * config.growth for index in range(layers + 1)]
            self.blocks.append([DenseLayer(config, width, dilation) for width in widths[:-1]])
            self.transits.append(Transit(widths[-1]))
            channels = widths[-1] // 2
        self.out_norm = BatchNorm(channels)
        self.embedding = nn.Linear(2 * channels, config.embedding, bias=False)
        self.embedding_norm = BatchNorm(config.embedding)

    def __call__(self, fbank: mx.array) -> mx.array:
        """Centred log fbank [B, F, mels] -> [B, embedding]; F is at least 3."""
        x = self.encode(fbank)
        deviation = mx.sqrt(mx.var(x, axis=1, ddof=1))
        statistics = mx.concatenate([x.mean(axis=1), deviation], axis=-1)
        return self.embedding_norm(self.embedding(statistics))

    def encode(self, fbank: mx.array) -> mx.array:
        """Centred log fbank [B, F, mels] -> [B, T, C]."""
        x = nn.relu(self.tdnn_norm(self.tdnn(self.head(fbank))))
        for block, transit in zip(self.blocks, self.transits, strict=True):
            for layer in block:
                x = mx.concatenate([x, layer(x)], axis=-1)
            x = transit(x)
        return nn.relu(self.out_norm(x))
