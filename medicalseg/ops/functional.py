"""What a network writes instead of `+`, `paddle.concat` and using a tensor twice, so that accelerated layers stay fast.

Each function is the ordinary Paddle operation unless its input comes from an accelerated layer; a network written with
them may set `channels_last = True` (see `medicalseg.ops.accelerate`). They can be traced by `paddle.jit.to_static`.

Example:
    >>> x, shortcut = fork(x)
    >>> x = add(block(x), shortcut)
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.ops import combine
from medicalseg.ops.layout import is_fast


@paddle.jit.not_to_static
def fork(x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """`x` twice, for two users: a skip connection or a residual."""
    if not is_fast(x) or not paddle.is_grad_enabled() or x.stop_gradient:
        return x, x
    first, second = combine.ForkFunction.apply(x)
    return first, second


@paddle.jit.not_to_static
def add(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    """a + b."""
    if a.shape != b.shape or not is_fast(a):
        return a + b
    return combine.AddFunction.apply(a, b) if paddle.is_grad_enabled() else combine.sum_of(a, b)


@paddle.jit.not_to_static
def concat(parts: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """(N, C_i, *spatial) one behind the other along the channels."""
    same = len({(part.shape[0], *part.shape[2:]) for part in parts}) == 1
    if not same or not any(is_fast(part) for part in parts):
        return paddle.concat(list(parts), axis=1)
    return combine.ConcatFunction.apply(*parts) if paddle.is_grad_enabled() else combine.join(parts)


@paddle.jit.not_to_static
def plain(x: paddle.Tensor) -> paddle.Tensor:
    """An ordinary float32 tensor of the same numbers, such as a loss or another library takes."""
    if not is_fast(x):
        return x
    return combine.PlainFunction.apply(x) if paddle.is_grad_enabled() else combine.layout.as_plain(x)
