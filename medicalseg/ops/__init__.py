"""Fast layers where Paddle has none: convolutions of eager training on the CPU, through the oneDNN in Paddle's wheel.

`configure_process` needs no Paddle and is called before it is imported; the rest imports Paddle when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medicalseg.ops.library import supports_bf16
from medicalseg.ops.process import available_cores, configure_process

if TYPE_CHECKING:
    from medicalseg.ops.layers import accelerate, is_available

__all__ = ["accelerate", "available_cores", "configure_process", "is_available", "supports_bf16"]


def __getattr__(name: str) -> Any:
    if name in ("accelerate", "is_available"):
        from medicalseg.ops import layers

        return getattr(layers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
