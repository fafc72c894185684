"""Bilinear resizing to the size of another tensor, in eager and in traced code."""

from __future__ import annotations

from typing import Any

import paddle
from paddle.nn import functional as F


def image_size(x: paddle.Tensor) -> Any:
    """(H, W) of (N, C, H, W): integers in eager code, an int32 tensor where a traced graph may not know them."""
    return list(x.shape[2:]) if paddle.in_dynamic_mode() else paddle.shape(x)[2:]


def resize(x: paddle.Tensor, size: Any, align_corners: bool = False) -> paddle.Tensor:
    """(N, C, h, w) to (N, C, *size) by bilinear interpolation; `size` is what `image_size` gives.

    An exported graph interpolates volumes of one slice instead, since Paddle 3.3 cannot run its bilinear interpolation
    through oneDNN.
    """
    if isinstance(size, (list, tuple)):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
    size = paddle.concat([paddle.ones([1], size.dtype), size])
    options = {"mode": "trilinear", "align_corners": align_corners, "data_format": "NCDHW"}
    return F.interpolate(x.unsqueeze(2), size=size, **options).squeeze(2)
