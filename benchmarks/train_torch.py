"""A training step in PyTorch, as its users write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks import torch_nets
from benchmarks.batches import batch
from benchmarks.frame import Outcome, threads

SMOOTH = 1e-5
EPSILON = 1e-6


def dice_ce(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Softmax Dice over the batch, background left out, plus cross-entropy: medicalseg's `DiceCELoss`."""
    probability = torch.softmax(logits, dim=1)
    with torch.no_grad():
        reference = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, label.unsqueeze(1), True)
    axes = (0, 2, 3, 4)
    joint = (probability * reference).sum(axes)
    size = probability.sum(axes) + reference.sum(axes)
    dice = (2 * joint + SMOOTH) / (size + SMOOTH).clip(min=EPSILON)
    return 1 - dice[1:].mean() + F.cross_entropy(logits, label)


def step(
    net: str,
    arguments: Mapping[str, Any],
    shape: Sequence[int],
    channels_last: bool = False,
    bf16: bool = False,
    allocator: bool = False,
    rate: float = 1e-4,
) -> Callable[[], Outcome]:
    """A function that takes one step.

    Args:
        net: function of `torch_nets`.
        arguments: its arguments.
        shape: (N, C, X, Y, Z) of the batch.
        channels_last: network and images in `torch.channels_last_3d`.
        bf16: forward pass under bfloat16 autocast.
        allocator: glibc's allocator told to keep large blocks, as medicalseg tells it.
        rate: learning rate of AdamW.
    """
    if allocator:
        from medicalseg.ops.process import keep_large_blocks

        keep_large_blocks()
    torch.set_num_threads(threads())
    torch.manual_seed(0)
    model = getattr(torch_nets, net)(**arguments).train()
    image, label = map(torch.from_numpy, batch(shape, int(arguments["num_classes"])))
    if channels_last:
        model = model.to(memory_format=torch.channels_last_3d)
        image = image.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)

    def run() -> Outcome:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(image)
        loss = dice_ce(logits.float(), label)
        loss.backward()
        optimizer.step()
        return Outcome({"loss": loss.item()})

    return run
