"""PyTorch twins of the networks: layer for layer, with the same layer names, so that weights can be carried over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.predict_models import Model

WIDTHS = (32, 64, 128, 256)
HALVING = ((2, 2, 2),) * 4
DROPOUT = 0.5
GROUPS = 8


class LUConv(nn.Module):
    """5x5x5 convolution, batch norm, PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.relu1 = nn.PReLU(channels)
        self.conv1 = nn.Conv3d(channels, channels, 5, padding=2)
        self.bn1 = nn.BatchNorm3d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as `x`."""
        return self.relu1(self.bn1(self.conv1(x)))


def convolutions(channels: int, count: int) -> nn.Sequential:
    """`count` LUConv blocks in a row."""
    return nn.Sequential(*(LUConv(channels) for _ in range(count)))


class InputTransition(nn.Module):
    """To 16 channels; the image, repeated, is the shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.repeats = out_channels // in_channels
        self.conv1 = nn.Conv3d(in_channels, out_channels, 5, padding=2)
        self.bn1 = nn.BatchNorm3d(out_channels)
        self.relu1 = nn.PReLU(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, X, Y, Z) to (N, out, X, Y, Z)."""
        return self.relu1(self.bn1(self.conv1(x)) + x.repeat(1, self.repeats, 1, 1, 1))


class DownTransition(nn.Module):
    """Strided convolution that doubles the channels, then residual convolutions."""

    def __init__(
        self, in_channels: int, count: int, kernel: Sequence[int], stride: Sequence[int], dropout: bool = False
    ) -> None:
        super().__init__()
        channels = 2 * in_channels
        self.down_conv = nn.Conv3d(in_channels, channels, tuple(kernel), stride=tuple(stride))
        self.bn1 = nn.BatchNorm3d(channels)
        self.relu1 = nn.PReLU(channels)
        self.relu2 = nn.PReLU(channels)
        self.dropout = nn.Dropout3d(DROPOUT) if dropout else nn.Identity()
        self.ops = convolutions(channels, count)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, X, Y, Z) to (N, 2C, ...)."""
        down = self.relu1(self.bn1(self.down_conv(x)))
        return self.relu2(self.ops(self.dropout(down)) + down)


class UpTransition(nn.Module):
    """Transposed convolution to half the channels, concatenation with the skip, residual convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        count: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        dropout: bool = False,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.up_conv = nn.ConvTranspose3d(in_channels, half, tuple(kernel), stride=tuple(stride))
        self.bn1 = nn.BatchNorm3d(half)
        self.relu1 = nn.PReLU(half)
        self.relu2 = nn.PReLU(out_channels)
        self.dropout = nn.Dropout3d(DROPOUT) if dropout else nn.Identity()
        self.dropout_skip = nn.Dropout3d(DROPOUT) if dropout else nn.Identity()
        self.ops = convolutions(out_channels, count)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Coarse and skip to (N, out, X, Y, Z)."""
        up = self.relu1(self.bn1(self.up_conv(self.dropout(x))))
        joined = torch.cat([up, self.dropout_skip(skip)], dim=1)
        return self.relu2(self.ops(joined) + joined)


class OutputTransition(nn.Module):
    """5x5x5 convolution to the classes, batch norm, PReLU, 1x1x1 convolution."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, num_classes, 5, padding=2)
        self.bn1 = nn.BatchNorm3d(num_classes)
        self.conv2 = nn.Conv3d(num_classes, num_classes, 1)
        self.relu1 = nn.PReLU(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, X, Y, Z) to logits."""
        return self.conv2(self.relu1(self.bn1(self.conv1(x))))


class VNet(nn.Module):
    """Twin of `medicalseg.models.VNet`; see there."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        kernel_size: Sequence[Sequence[int]],
        stride_size: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        k, s = kernel_size, stride_size
        self.in_tr = InputTransition(in_channels, 16)
        self.down_tr32 = DownTransition(16, 1, k[0], s[0])
        self.down_tr64 = DownTransition(32, 2, k[1], s[1])
        self.down_tr128 = DownTransition(64, 3, k[2], s[2], dropout=True)
        self.down_tr256 = DownTransition(128, 2, k[3], s[3], dropout=True)
        self.up_tr256 = UpTransition(256, 256, 2, k[3], s[3], dropout=True)
        self.up_tr128 = UpTransition(256, 128, 2, k[2], s[2], dropout=True)
        self.up_tr64 = UpTransition(128, 64, 1, k[1], s[1])
        self.up_tr32 = UpTransition(64, 32, 1, k[0], s[0])
        self.out_tr = OutputTransition(32, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        level16 = self.in_tr(x)
        level32 = self.down_tr32(level16)
        level64 = self.down_tr64(level32)
        level128 = self.down_tr128(level64)
        x = self.up_tr256(self.down_tr256(level128), level128)
        x = self.up_tr64(self.up_tr128(x, level64), level32)
        return self.out_tr(self.up_tr32(x, level16))


class ConvBlock(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.norm = normalisation(norm, out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, X, Y, Z) to (N, out, X, Y, Z)."""
        return self.relu(self.norm(self.conv(x)))


def normalisation(name: str, channels: int) -> nn.Module:
    """Batch, instance or group norm with scale and shift."""
    if name == "batch":
        return nn.BatchNorm3d(channels)
    if name == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    return nn.GroupNorm(GROUPS, channels)


class Upsample(nn.Module):
    """Transposed convolution, then concatenation with the skip."""

    def __init__(self, channels: int, pool: Sequence[int]) -> None:
        super().__init__()
        self.up_conv = nn.ConvTranspose3d(channels, channels, tuple(pool), stride=tuple(pool), bias=False)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Coarse (N, C, ...) and skip (N, S, X, Y, Z) to (N, C + S, X, Y, Z)."""
        return torch.cat([self.up_conv(x), skip], dim=1)


class UNet3D(nn.Module):
    """Twin of `medicalseg.models.UNet3D`; see there."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        base_channels: int,
        depth: int,
        norm: str,
        pools: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(
            double_conv(widths[level] if level else in_channels, widths[level], widths[level + 1], norm)
            for level in range(depth)
        )
        self.pools = nn.ModuleList(nn.MaxPool3d(tuple(pool)) for pool in pools)
        self.upsamples, self.decoders = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(depth - 1)):
            coarse, fine = widths[level + 2], widths[level + 1]
            self.upsamples.append(Upsample(coarse, pools[level]))
            self.decoders.append(double_conv(coarse + fine, fine, fine, norm))
        self.head = nn.Conv3d(widths[1], num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.pools[level - 1](x) if level else x)
            skips.append(x)
        skips.pop()
        for upsample, decoder in zip(self.upsamples, self.decoders, strict=True):
            x = decoder(upsample(x, skips.pop()))
        return self.head(x)


def double_conv(in_channels: int, middle: int, out_channels: int, norm: str) -> nn.Sequential:
    """Two blocks."""
    return nn.Sequential(ConvBlock(in_channels, middle, norm), ConvBlock(middle, out_channels, norm))


class NNUNetBlock(nn.Module):
    """3x3x3 convolution, instance norm, LeakyReLU in place."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.norm = nn.InstanceNorm3d(out_channels, affine=True)
        self.relu = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, X, Y, Z) to (N, out, X / stride, ...)."""
        return self.relu(self.norm(self.conv(x)))


class NNUNet(nn.Module):
    """Plain convolutional U-Net in nnU-Net's shape (Isensee et al. 2021), without deep supervision."""

    def __init__(self, in_channels: int, num_classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList()
        for level, width in enumerate(widths):
            first = widths[level - 1] if level else in_channels
            self.encoders.append(
                nn.Sequential(NNUNetBlock(first, width, 2 if level else 1), NNUNetBlock(width, width, 1))
            )
        self.upsamples, self.decoders = nn.ModuleList(), nn.ModuleList()
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.upsamples.append(nn.ConvTranspose3d(coarse, fine, 2, stride=2))
            self.decoders.append(nn.Sequential(NNUNetBlock(2 * fine, fine, 1), NNUNetBlock(fine, fine, 1)))
        self.head = nn.Conv3d(widths[0], num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        skips.pop()
        for upsample, decoder in zip(self.upsamples, self.decoders, strict=True):
            x = decoder(torch.cat([upsample(x), skips.pop()], dim=1))
        return self.head(x)


def vnet(
    in_channels: int = 1,
    num_classes: int = 4,
    kernel_size: Sequence[Sequence[int]] = HALVING,
    stride_size: Sequence[Sequence[int]] = HALVING,
) -> nn.Module:
    """VNet with PReLU; kernels and strides of the four down-samplings as triples."""
    return VNet(in_channels, num_classes, kernel_size, stride_size)


def unet3d(
    in_channels: int = 1,
    num_classes: int = 4,
    base_channels: int = 32,
    depth: int = 4,
    norm: str = "batch",
    pool_size: Sequence[int | Sequence[int]] | None = None,
) -> nn.Module:
    """3D U-Net with 3x3x3 convolutions; `pool_size` of each of the `depth - 1` poolings."""
    pools = [(p, p, p) if isinstance(p, int) else tuple(p) for p in pool_size or (2,) * (depth - 1)]
    return UNet3D(in_channels, num_classes, base_channels, depth, norm, pools)


def nnunet(in_channels: int = 1, num_classes: int = 3, widths: Sequence[int] = WIDTHS) -> nn.Module:
    """nnU-Net-shaped U-Net with `widths` channels, finest first."""
    return NNUNet(in_channels, num_classes, widths)


def trained_twin(model: Model, weights: Path) -> nn.Module:
    """A network with the weights that `trained_models.save_weights` wrote, in evaluation mode.

    Raises:
        ValueError: the file holds other weights than the network.
    """
    network = globals()[model.net](**model.full).eval()
    content = np.load(weights)
    missing = network.load_state_dict({key: torch.from_numpy(content[key]) for key in content.files}, strict=False)
    if missing.unexpected_keys or any(not key.endswith("num_batches_tracked") for key in missing.missing_keys):
        raise ValueError(f"{weights.name}: the twin's weights differ: {missing}")
    return network
