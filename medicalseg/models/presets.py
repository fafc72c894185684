"""Numbers that nnU-Net 2.8.1 gives its U-Nets: channels and blocks per stage, memory budgets of the presets."""

from __future__ import annotations

from typing import NamedTuple

BASE_FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}
FIRST_BLOCKS = (1, 3, 4)
BLOCKS = 6


class Preset(NamedTuple):
    """What sets nnU-Net's presets apart: how much memory the plan may take, and with it patch, batch and stages.

    Feature maps are counted as the elements that all convolutions write for one patch.

    Attributes:
        network: registered name, "2D" to be added for images.
        memory_gb: GPU memory aimed at, in GB.
        elements: feature map elements of a patch (X, Y, Z) with which a batch of 2 takes that memory.
        elements_2d: those of a patch (H, W) with which a batch of 12 does.
    """

    network: str
    memory_gb: int
    elements: int
    elements_2d: int


PRESETS = {
    "plain": Preset("PlainConvUNet", 8, 560_000_000, 85_000_000),
    "ResEncM": Preset("ResidualEncoderUNet", 8, 680_000_000, 135_000_000),
    "ResEncL": Preset("ResidualEncoderUNet", 24, 2_100_000_000, 380_000_000),
    "ResEncXL": Preset("ResidualEncoderUNet", 40, 3_600_000_000, 560_000_000),
}


def stage_features(stages: int, axes: int = 3, base: int = BASE_FEATURES, most: int | None = None) -> tuple[int, ...]:
    """Channels of each stage, the finest first: doubled from stage to stage, at most 320 for volumes, 512 for images.

    Args:
        stages: how many.
        axes: 3 for volumes, 2 for images.
        base: channels of the first.
        most: another largest number of channels.

    Example:
        >>> stage_features(6)
        (32, 64, 128, 256, 320, 320)
    """
    return tuple(min(base * 2**stage, most or MOST_FEATURES[axes]) for stage in range(stages))


def residual_blocks_of(stages: int) -> tuple[int, ...]:
    """Residual blocks of each stage of the encoder, the finest first.

    Example:
        >>> residual_blocks_of(6)
        (1, 3, 4, 6, 6, 6)
    """
    return tuple((*FIRST_BLOCKS, *[BLOCKS] * stages)[:stages])
