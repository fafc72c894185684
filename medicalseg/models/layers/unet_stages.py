"""What decides the shape of a U-Net of stages: features, kernels and strides, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from medicalseg.errors import ConfigError
from medicalseg.models.layers.arguments import count, counts
from medicalseg.models.layers.sizes import SizeRule, as_sizes


class Stages(NamedTuple):
    """One entry per stage, from the finest to the deepest; sizes have one number per spatial axis.

    Attributes:
        features: channels.
        kernels: kernel of the stage's convolutions.
        strides: stride of the stage's first convolution; that of the first stage is 1.
    """

    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def size_rule(self) -> SizeRule:
        """Volumes that come back in their own size: multiples of the product of the strides."""
        strides = [(stride[0], stride[1], stride[2]) for stride in self.strides]
        return SizeRule(strides, strides)


def make_stages(network: str, axes: int, features: Any, kernel_size: Any, strides: Any) -> Stages:
    """The stages a configuration asks for.

    Args:
        network: its name, for messages.
        axes: 3 for volumes, 2 for images.
        features: channels of each stage, at least two stages.
        kernel_size: one odd integer, or one entry per stage: an odd integer or one per axis; None is 3.
        strides: one entry per stage, the first of them 1; None is 1, 2, 2, ...

    Raises:
        ConfigError: one of them is wrong; names it.
    """
    widths = counts(f"{network}.features", features)
    stages = len(widths)
    if stages < 2:
        raise ConfigError(f"{network}.features: needs the channels of at least 2 stages, got {features!r}")
    kernels = 3 if kernel_size is None else kernel_size
    kernels = [kernels] * stages if isinstance(kernels, int) else kernels
    checked = as_sizes(kernels, stages, axes, f"{network}.kernel_size")
    even = [list(kernel) for kernel in checked if not all(k % 2 for k in kernel)]
    if even:
        example = [1, *[3] * (axes - 1)]
        raise ConfigError(f"{network}.kernel_size: {even[0]} holds an even number; use odd ones such as {example}")
    given = [1] + [2] * (stages - 1) if strides is None else strides
    steps = as_sizes(given, stages, axes, f"{network}.strides")
    if set(steps[0]) != {1}:
        raise ConfigError(f"{network}.strides: the first stage keeps the size, so its stride is 1, not {given[0]!r}")
    return Stages(widths, checked, steps)


def count_heads(deep_supervision: Any, stages: int, network: str) -> int:
    """How many heads a network of `stages` stages has, the main one included.

    Args:
        deep_supervision: False: 1; True: one at every stage but the deepest; an integer: that many.
        stages: its stages.
        network: its name, for the message.

    Raises:
        ConfigError: it is something else, or more than there are places for.
    """
    if isinstance(deep_supervision, bool):
        return stages - 1 if deep_supervision else 1
    if isinstance(deep_supervision, int) and 1 <= deep_supervision <= stages - 1:
        return deep_supervision
    raise ConfigError(
        f"{network}.deep_supervision: needs true, false or a number of heads from 1 to {stages - 1} for {stages} "
        f"stages, got {deep_supervision!r}"
    )


def per_stage(value: int | Sequence[int] | None, default: Sequence[int], name: str) -> tuple[int, ...]:
    """`value` as one positive integer per stage: one for all, a list, or None for the default.

    Raises:
        ConfigError: it is something else.
    """
    if value is None:
        return tuple(default)
    if isinstance(value, int):
        return (count(name, value),) * len(default)
    return counts(name, value, len(default))
