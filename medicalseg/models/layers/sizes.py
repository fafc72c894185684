"""Which spatial sizes a network accepts, worked out from the kernels and strides of its stages."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from medicalseg.errors import ConfigError, UserError
from medicalseg.models.layers.arguments import is_count

Triple = tuple[int, int, int]
AXES = "XYZ"


def _as_size(value: Any, axes: int) -> tuple[int, ...] | None:
    if is_count(value):
        return (value,) * axes
    if isinstance(value, (list, tuple)) and len(value) == axes and all(map(is_count, value)):
        return tuple(value)
    return None


def as_sizes(value: Any, stages: int, axes: int, name: str) -> tuple[tuple[int, ...], ...]:
    """Check one size per stage, each a positive integer or one per axis.

    Args:
        value: what the configuration holds.
        stages: how many entries are needed.
        axes: 3 for volumes, 2 for images.
        name: the argument's name, for the message.

    Raises:
        ConfigError: the list has another length or an entry is not a size.
    """
    if not isinstance(value, (list, tuple)) or len(value) != stages:
        raise ConfigError(f"{name}: needs a list of {stages} entries, one per stage, got {value!r}")
    sizes = [_as_size(entry, axes) for entry in value]
    if None in sizes:
        wrong = value[sizes.index(None)]
        count, example = {2: ("two", [2, 1])}.get(axes, ("three", [2, 2, 1]))
        raise ConfigError(f"{name}: {wrong!r} is neither a positive integer nor {count} of them, as in {example}")
    return tuple(size for size in sizes if size is not None)


def as_triples(value: Any, stages: int, name: str) -> tuple[Triple, ...]:
    """As `as_sizes` for volumes: one integer or a triple (X, Y, Z) per stage.

    Raises:
        ConfigError: the list has another length or an entry is not a size.

    Example:
        >>> as_triples([2, (2, 2, 1)], 2, "pool_size")
        ((2, 2, 2), (2, 2, 1))
    """
    return tuple((x, y, z) for x, y, z in as_sizes(value, stages, 3, name))


class SizeRule:
    """The sizes that come back unchanged from a chain of unpadded down-samplings and their transposes.

    No dataclass, as Paddle 3's graph tracer cannot call methods of one.

    A stage with kernel k and stride s turns n voxels into (n - k) / s + 1, which must leave no remainder. Going up from
    a deepest size of b = 1, 2, ... voxels, the sizes that fit one axis are `smallest + m * step`, m = 0, 1, ...

    Args:
        kernels: kernel of each stage, from the input to the deepest level.
        strides: stride of each stage.

    Example:
        >>> rule = SizeRule(kernels=((2, 2, 4), (2, 2, 2)), strides=((2, 2, 1), (2, 2, 1)))
        >>> rule.smallest, rule.step
        ((4, 4, 5), (4, 4, 1))
        >>> rule.next_fitting((5, 8, 2))
        (8, 8, 5)
    """

    def __init__(self, kernels: Sequence[Triple], strides: Sequence[Triple]) -> None:
        self.kernels = tuple(kernels)
        self.strides = tuple(strides)

    @property
    def step(self) -> Triple:
        """Distance between fitting sizes, per axis (X, Y, Z), in voxels."""
        x, y, z = (prod(stride[axis] for stride in self.strides) for axis in range(3))
        return (x, y, z)

    @property
    def smallest(self) -> Triple:
        """Smallest fitting size per axis (X, Y, Z), in voxels."""
        size = [1, 1, 1]
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            size = [(n - 1) * s + k for n, k, s in zip(size, kernel, stride, strict=True)]
        return (size[0], size[1], size[2])

    def next_fitting(self, shape: Sequence[int]) -> Triple:
        """The smallest fitting size that is not below `shape`, per axis."""
        x, y, z = (
            low + max(0, -(-(n - low) // step)) * step
            for n, low, step in zip(shape, self.smallest, self.step, strict=True)
        )
        return (x, y, z)

    def check(self, shape: Sequence[int], network: str) -> None:
        """Refuse a size that does not fit.

        Args:
            shape: spatial size (X, Y, Z) in voxels.
            network: its name, for the message.

        Raises:
            UserError: names each axis that does not fit and the next size that does.
        """
        fitting = self.next_fitting(shape)
        if fitting == tuple(shape):
            return
        wrong = [
            f"{axis} {n} (fits: {low}, {low + step}, {low + 2 * step}, ...)"
            for axis, n, good, low, step in zip(AXES, shape, fitting, self.smallest, self.step, strict=True)
            if n != good
        ]
        given, good = ("x".join(map(str, size)) for size in (shape, fitting))
        raise UserError(
            f"{network} cannot take volumes of {given} voxels: {', '.join(wrong)}. "
            f"The next size that fits is {good}; resize, pad or crop to it."
        )
