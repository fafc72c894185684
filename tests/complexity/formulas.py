"""Multiply-accumulates by torchprofile's rule in closed form; written without looking at any layer."""

from __future__ import annotations

REDUCTIONS = (8, 4, 2, 1)
HEADS = (1, 2, 5, 8)
RATIOS = (8, 8, 4, 4)


def segformer(side: int, widths: tuple[int, ...], depths: tuple[int, ...], decoder: int, training: bool) -> int:
    """SegFormer on one grey image of side x side pixels, one class."""
    total, source, first = 0, 1, True
    for stage, (c, depth, r, heads) in enumerate(zip(widths, depths, REDUCTIONS, HEADS, strict=True)):
        n = (side // 4 // 2**stage) ** 2
        m = n // r**2
        total += n * c * source * (49 if stage == 0 else 9) + n * c
        for _ in range(depth):
            total += 2 * n * c + n * c * c + 2 * m * c * c + n * c * c + 2 * n * m * c + heads * n * m
            total += m * c * c * r * r + m * c if r > 1 else 0
            total += 8 * n * c * c + 9 * n * 4 * c + 4 * n * 4 * c
            total += 0 if first or not training else 2 * n * c
            first = False
        total += n * c + n * c * decoder
        source = c
    quarter = (side // 4) ** 2
    total += 3 * 4 * quarter * decoder + quarter * 4 * decoder**2 + quarter * decoder + quarter * decoder
    return total + 4 * side * side


def simple_segnext(side: int, widths: tuple[int, ...], depths: tuple[int, ...], align: int, training: bool) -> int:
    """The simplified SegNeXt on one grey image of side x side pixels, one class."""
    total, half = 0, widths[0] // 2
    n = (side // 2) ** 2
    total += n * half * 9 + n * half
    for stage, (c, depth, ratio) in enumerate(zip(widths, depths, RATIOS, strict=True)):
        n = (side // 4 // 2**stage) ** 2
        source = widths[stage - 1] if stage else half
        total += n * c * source * 9 + (n * c if stage == 0 else 0)
        attention = 2 * n * c * c + n * c * (25 + 2 * (7 + 11 + 21)) + n * c * c
        forward = 2 * n * c * c * ratio + 9 * n * c * ratio
        total += depth * (attention + forward + 2 * n * c + 3 * n * c) + n * c
    n, c, r = (side // 8) ** 2, 512, 64
    total += 4 * n * sum(widths[1:]) + n * sum(widths[1:]) * c + 2 * n * c * c + n * c * align + n * align
    total += n * c * r + 6 * (2 * n * c * r + 2 * n * r * r + 2 * r * r * c) + (n * c * r + n * r * r + r * r * c)
    total += n * c * r
    total += n * r + 6 * (n * r + c * r) + n * r + (0 if training else 2 * c * r) + 2
    return total + 4 * side * side
