"""A volume's file to a label map's file by MONAI, with the transforms and the inferer that its bundles use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks import spine_files
from benchmarks.frame import Outcome, threads
from benchmarks.predict_models import MODELS, prepared
from benchmarks.torch_nets import trained_twin


def file_to_file(
    name: str,
    full: bool,
    window: Sequence[int] | None = None,
    channels_last: bool = True,
    bf16: bool = False,
    invert_logits: bool = False,
    allocator: bool = False,
) -> Callable[[], Outcome]:
    """A function that predicts once; building the network is not part of it.

    Args:
        name: of `predict_models.MODELS`.
        full: the volume with full resolution.
        window: sizes of a sliding window over the volume's own grid; None resizes the volume as a whole.
        channels_last: network and image in `torch.channels_last_3d`.
        bf16: under bfloat16 autocast.
        invert_logits: bring logits back linearly and take the largest there, as MONAI's bundles do; otherwise the
            labels go back by nearest neighbour, which is quicker.
        allocator: glibc's allocator told to keep large blocks, as medicalseg tells it.
    """
    folder = prepared(name)
    if allocator:
        from medicalseg.ops.process import keep_large_blocks

        keep_large_blocks()
    torch.set_num_threads(threads())
    network = trained_twin(MODELS[name], folder / f"{name}.npz")
    if channels_last:
        network = network.to(memory_format=torch.channels_last_3d)
    before = _before(None if window else MODELS[name].size)
    after = _after(before, tempfile.mkdtemp(prefix="monai-benchmark-"), invert_logits, bool(window))
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format

    def forward(image: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return network(image.contiguous(memory_format=layout)).float()

    infer = _sliding(window, forward) if window else forward

    def run() -> Outcome:
        with torch.inference_mode():
            clock = [time.perf_counter()]
            data = before({"image": str(spine_files.image(full))})
            clock.append(time.perf_counter())
            logits = infer(data["image"][None])[0]
            data["pred"] = logits if invert_logits else logits.argmax(0, keepdim=True)
            clock.append(time.perf_counter())
            after(data)
            clock.append(time.perf_counter())
        stages = dict(zip(("read and pre", "run", "post and write"), np.diff(clock).tolist(), strict=True))
        return Outcome({"milliseconds": {stage: round(1000 * seconds, 2) for stage, seconds in stages.items()}})

    return run


def _before(size: Sequence[int] | None) -> Callable[..., dict]:
    from monai import transforms as t

    steps = [
        t.LoadImaged("image"),
        t.EnsureChannelFirstd("image"),
        t.Orientationd("image", axcodes="PIL"),
        t.ScaleIntensityRangePercentilesd("image", lower=0.5, upper=99.5, b_min=0.0, b_max=1.0, clip=True),
    ]
    if size:
        steps.append(t.Resized("image", spatial_size=list(size), mode="trilinear", align_corners=True))
    return t.Compose([*steps, t.NormalizeIntensityd("image")])


def _after(before: Callable[..., dict], folder: str, invert_logits: bool, same_grid: bool) -> Callable[..., dict]:
    from monai import transforms as t

    # With one slice order and no resize there is only the orientation to undo, which never interpolates.
    nearest = not invert_logits or same_grid
    steps = [t.Invertd("pred", transform=before, orig_keys="image", nearest_interp=nearest, to_tensor=True)]
    steps += [t.AsDiscreted("pred", argmax=True)] if invert_logits else []
    save = t.SaveImaged(
        "pred", output_dir=folder, output_dtype=np.uint8, resample=False, separate_folder=False, print_log=False
    )
    return t.Compose([*steps, save])


def _sliding(window: Sequence[int], forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer(list(window), sw_batch_size=1, overlap=0.5, mode="gaussian", sigma_scale=0.125)
    return lambda image: inferer(image, forward)
