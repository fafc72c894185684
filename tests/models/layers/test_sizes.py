"""Which sizes fit, against a plain simulation of the stages."""

from __future__ import annotations

import pytest

from medicalseg.errors import ConfigError, UserError
from medicalseg.models.layers import SizeRule, as_triples

RULES = [
    SizeRule(((2, 2, 4), (2, 2, 2), (2, 2, 2)), ((2, 2, 1), (2, 2, 1), (2, 2, 2))),
    SizeRule(((3, 1, 2), (2, 5, 3)), ((2, 1, 2), (3, 2, 1))),
    SizeRule(((2, 2, 2),), ((1, 3, 2),)),
]


def fits(size: int, kernels: list[int], strides: list[int]) -> bool:
    for kernel, stride in zip(kernels, strides, strict=True):
        if size < kernel or (size - kernel) % stride:
            return False
        size = (size - kernel) // stride + 1
    return True


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("axis", range(3))
def test_next_fitting_is_the_first_that_comes_back(rule: SizeRule, axis: int) -> None:
    kernels, strides = [k[axis] for k in rule.kernels], [s[axis] for s in rule.strides]
    for size in range(1, 60):
        expected = next(n for n in range(size, 200) if fits(n, kernels, strides))
        assert rule.next_fitting((size, size, size))[axis] == expected


def test_message_names_only_the_wrong_axes() -> None:
    with pytest.raises(UserError) as error:
        RULES[0].check((16, 17, 9), "Net")
    assert str(error.value) == (
        "Net cannot take volumes of 16x17x9 voxels: Y 17 (fits: 8, 16, 24, ...), Z 9 (fits: 6, 8, 10, ...). "
        "The next size that fits is 16x24x10; resize, pad or crop to it."
    )


@pytest.mark.parametrize("value", [None, 2, [2], [2, [2, 2]], [2, True], [2, "2"], [2, [2, 2, -1]], [2, 2.0]])
def test_wrong_triples(value: object) -> None:
    with pytest.raises(ConfigError, match="size:"):
        as_triples(value, 2, "size")


def test_tuples_and_lists() -> None:
    assert as_triples(([1, 2, 3], (4, 5, 6), 7), 3, "size") == ((1, 2, 3), (4, 5, 6), (7, 7, 7))
