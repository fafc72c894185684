"""One forward pass of a network's twin in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.frame import Outcome, threads
from benchmarks.infer_models import AGREEMENT, MODELS, prepared, rounds
from benchmarks.torch_nets import trained_twin


def forward(
    name: str, channels_last: bool = False, bf16: bool = False, allocator: bool = False
) -> Callable[[], Outcome]:
    """A function that computes logits.

    Args:
        name: of `infer_models.MODELS`.
        channels_last: network and image in `torch.channels_last_3d`.
        bf16: under bfloat16 autocast.
        allocator: glibc's allocator told to keep large blocks, as medicalseg tells it.
    """
    folder = prepared(name)
    if allocator:
        from medicalseg.ops.process import keep_large_blocks

        keep_large_blocks()
    torch.set_num_threads(threads())
    model = trained_twin(MODELS[name], folder / f"{name}.npz")
    image = torch.from_numpy(np.load(folder / f"{name}-image.npy"))
    if channels_last:
        model = model.to(memory_format=torch.channels_last_3d)
        image = image.to(memory_format=torch.channels_last_3d)

    def logits() -> np.ndarray:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(image).float().numpy()

    return rounds(name, logits, bound=None if bf16 else AGREEMENT)
