"""Loss, optimizer, schedule, folds and validation, each with its reason."""

from __future__ import annotations

import math
from typing import Any

from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.reasoned import Because
from medicalseg.planning.settings import Settings
from medicalseg.planning.source import FOLDS
from medicalseg.utils.duration import seconds_of

GPU_ITERS = 250_000
CPU_ITERS = 10_000
MOST_HEADS = 5
BUSY = 0.9
RARE_CASES = 0.5
WARMUP = 50


def heads_of(stages: int) -> int:
    """Supervised heads: all stages of the decoder but the coarsest, which nnU-Net gives the weight 0; at least one."""
    return max(1, min(stages - 2, MOST_HEADS))


def head_weights(heads: int) -> list[float]:
    """Halved from head to head, together 1."""
    raw = [0.5**head for head in range(heads)]
    return [round(value / sum(raw), 4) for value in raw]


def loss(regions: bool, heads: int) -> dict[str, Any]:
    """Dice and cross-entropy; of regions Dice and binary cross-entropy."""
    if regions:
        mixed = {
            "type": "MixedLoss",
            "losses": [{"type": "DiceLoss", "sigmoid_norm": True, "include_background": True}, {"type": "BCELoss"}],
            "coef": [1, 1],
        }
        types = Because([mixed], "regions overlap: Dice and binary cross-entropy per region")
    else:
        types = Because(
            [{"type": "DiceCELoss"}],
            "Dice makes small classes count as much as large ones, cross-entropy is smooth; so no class weights "
            "(weight: frequency in it would weigh the cross-entropy)",
        )
    why = "one per head, fine to coarse: halved from head to head, sum 1" if heads > 1 else "one head"
    return {"types": types, "coef": Because(head_weights(heads), why)}


def optimizer(settings: Settings) -> dict[str, Any]:
    """nnU-Net's SGD on a GPU; AdamW where steps are few."""
    if settings.device == "gpu":
        block: dict[str, Any] = {
            "type": Because("Momentum", "nnU-Net's, for long trainings"),
            "momentum": Because(0.99, "nnU-Net's"),
            "use_nesterov": Because(True, "nnU-Net's"),
            "weight_decay": Because(3e-5, "nnU-Net's"),
        }
        norm = 12.0
    else:
        block = {
            "type": Because("AdamW", "a CPU takes few steps, and AdamW needs fewer than SGD"),
            "weight_decay": Because(0.01, "AdamW's default"),
        }
        norm = 1.0
    clip = {"name": "ClipGradByGlobalNorm", "clip_norm": norm}
    return block | {"grad_clip_cfg": Because(clip, "one bad batch does not throw the weights away")}


def precision(settings: Settings) -> tuple[str, str]:
    """Arithmetic of the training, and why."""
    if settings.precision == "fp32":
        return "fp32", f"full precision, as planned for this {settings.device}"
    what = "this processor multiplies" if settings.device == "cpu" else "this GPU computes fast in"
    return settings.precision, f"{what} it; --precision fp32 sets it aside, a machine without it trains in fp32"


def schedule(settings: Settings, iters: int) -> dict[str, Any]:
    """Polynomial decay to 0, on a CPU after a warm-up."""
    block: dict[str, Any] = {"type": Because("PolynomialDecay", "falls to 0 at the last step, however long it is")}
    ends = {"end_lr": Because(0, "small steps at the end"), "power": Because(0.9, "nnU-Net's; nearly a line")}
    if settings.device == "gpu":
        return block | {"learning_rate": Because(0.01, "nnU-Net's, of SGD"), **ends}
    warmup = max(1, min(WARMUP, iters // 20))
    return block | {
        "learning_rate": Because(0.003, "instance norm bears a high one, and few steps then reach far"),
        "warmup_iters": Because(warmup, "AdamW's moments are estimates of few gradients at first"),
        "warmup_start_lr": Because(1e-5, "nearly 0"),
        **ends,
    }


def length(settings: Settings, seconds: float | None) -> tuple[int, str]:
    """Number of iterations, and why.

    Args:
        settings: device and time budget.
        seconds: of a step; None if not known.
    """
    if settings.time_budget is None:
        if settings.device == "gpu":
            return GPU_ITERS, "nnU-Net's 1000 epochs of 250 steps"
        estimate = "" if seconds is None else f", about {duration(CPU_ITERS * seconds)} here"
        return CPU_ITERS, f"enough for most tasks on a CPU{estimate}; --max_time 30m fits a training to a time"
    budget = seconds_of(settings.time_budget)
    each = seconds or settings.step_seconds
    iters = max(1, math.floor(BUSY * budget / each / 10) * 10)
    return (
        iters,
        f"what fits into {settings.time_budget} at {each:.2g} s per step, {round(100 - 100 * BUSY)} % for the rest",
    )


def folds(groups: int, has_file: bool, fold: int = 0) -> dict[str, Any]:
    """Which cases validate.

    Args:
        groups: cases, or patients where several cases may be of one.
        has_file: the dataset brings its folds.
        fold: the one to start with.
    """
    if has_file:
        return {"fold": Because(fold, "of the dataset's splits_final.json; --folds 0 1 2 or all trains others")}
    if groups == 1:
        return {
            "fold": Because("all", "a single case: nothing can be held out, so the figures say nothing about others"),
            "val_on_train": Because(True, "figures are then those of the training case; reports say so"),
        }
    count = min(FOLDS, groups)
    why = (
        "nnU-Net's rule over the sorted cases"
        if count == FOLDS
        else f"only {groups} cases (or patients): each validates once"
    )
    return {"fold": Because(fold, "--folds 0 1 2 or all trains others"), "num_folds": Because(count, why)}


def class_sampling(fingerprint: Fingerprint) -> Because:
    """Whether a class is drawn of the case at hand or of the whole dataset."""
    cases = len(fingerprint.cases)
    rare = [label for label in fingerprint.foreground if 0 < fingerprint.cases_with(label) < RARE_CASES * cases]
    if rare:
        names = ", ".join(
            f"{fingerprint.names[label]} ({fingerprint.cases_with(label)} of {cases})" for label in rare[:3]
        )
        more = ", …" if len(rare) > 3 else ""
        return Because("dataset", f"class first, then a case that has it, so that rare ones are seen: {names}{more}")
    return Because("case", "every class is in at least half of the cases")


def duration(seconds: float) -> str:
    """Seconds as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
