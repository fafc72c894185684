"""Feature maps, parameters and multiply-accumulates of PlainConvUNet and ResidualEncoderUNet, counted, not computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from medicalseg.models.presets import residual_blocks_of, stage_features
from medicalseg.planning.topology import Axes, Topology

PLAIN = "PlainConvUNet"
RESIDUAL = "ResidualEncoderUNet"
PLAIN_CONVOLUTIONS = 2


@dataclass(frozen=True)
class UNet:
    """A network to be counted.

    Attributes:
        type: "PlainConvUNet" or "ResidualEncoderUNet".
        topology: strides and kernels.
        features: channels per stage.
        blocks: per stage of the encoder: convolutions of a plain one, residual blocks of the other.
        decoder_blocks: convolutions per stage of the decoder.
        in_channels: channels of the input.
        num_classes: channels of the output.
    """

    type: str
    topology: Topology
    features: tuple[int, ...]
    blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    in_channels: int
    num_classes: int


@dataclass(frozen=True)
class Convolution:
    """One convolution: its channels, kernel and the grid it writes."""

    inputs: int
    outputs: int
    kernel: int
    voxels: int
    transposed: bool = False
    head: bool = False

    @property
    def elements(self) -> int:
        """Numbers in its output."""
        return self.outputs * self.voxels

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.inputs * self.outputs * self.kernel + self.outputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates; a transposed one with kernel = stride reads one voxel per voxel written."""
        return self.inputs * self.outputs * self.voxels * (1 if self.transposed else self.kernel)


def blocks_of(kind: str, stages: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """nnU-Net's number of blocks per stage of the encoder and of the decoder."""
    if kind == RESIDUAL:
        return residual_blocks_of(stages), (1,) * (stages - 1)
    return (PLAIN_CONVOLUTIONS,) * stages, (PLAIN_CONVOLUTIONS,) * (stages - 1)


def unet(kind: str, shape: Topology, base: int, most: int, in_channels: int, num_classes: int) -> UNet:
    """A network of the usual depth for a topology."""
    blocks, decoder = blocks_of(kind, shape.stages)
    features = stage_features(shape.stages, base=base, most=most)
    return UNet(kind, shape, features, blocks, decoder, in_channels, num_classes)


def feature_elements(network: UNet) -> int:
    """Numbers in all feature maps of convolutions for one patch: nnU-Net's measure of memory.

    As there, only the head of the full resolution counts.
    """
    full = math.prod(network.topology.patch)
    return sum(item.elements for item in convolutions(network) if not item.head or item.voxels == full)


def parameters(network: UNet) -> int:
    """Weights and biases of the convolutions; norms add little."""
    return sum(convolution.parameters for convolution in convolutions(network))


def macs(network: UNet) -> int:
    """Multiply-accumulates of one forward pass of one patch."""
    return sum(convolution.macs for convolution in convolutions(network))


def convolutions(network: UNet) -> Iterator[Convolution]:
    """All convolutions, encoder first."""
    yield from _encoder(network)
    yield from _decoder(network)


def _encoder(network: UNet) -> Iterator[Convolution]:
    grid, channels = network.topology.patch, network.in_channels
    residual = network.type == RESIDUAL
    if residual:
        yield Convolution(channels, network.features[0], math.prod(network.topology.kernels[0]), math.prod(grid))
        channels = network.features[0]
    stages = zip(network.features, network.topology.strides, network.topology.kernels, network.blocks, strict=True)
    for width, stride, kernel, blocks in stages:
        grid = tuple(size // step for size, step in zip(grid, stride, strict=True))
        taps, voxels = math.prod(kernel), math.prod(grid)
        for number in range(blocks):
            yield Convolution(channels, width, taps, voxels)
            if residual:
                yield Convolution(width, width, taps, voxels)
                if channels != width or (number == 0 and max(stride) > 1):
                    yield Convolution(channels, width, 1, voxels)
            channels = width


def _decoder(network: UNet) -> Iterator[Convolution]:
    grids = list(_grids(network.topology))
    for number, convolutions_here in enumerate(network.decoder_blocks):
        stage = network.topology.stages - 2 - number
        width, voxels = network.features[stage], math.prod(grids[stage])
        step = math.prod(network.topology.strides[stage + 1])
        yield Convolution(network.features[stage + 1], width, step, voxels, transposed=True)
        taps, channels = math.prod(network.topology.kernels[stage]), 2 * width
        for _ in range(convolutions_here):
            yield Convolution(channels, width, taps, voxels)
            channels = width
        yield Convolution(width, network.num_classes, 1, voxels, head=True)


def _grids(shape: Topology) -> Iterator[Axes]:
    grid = shape.patch
    for stride in shape.strides:
        grid = tuple(size // step for size, step in zip(grid, stride, strict=True))
        yield grid
