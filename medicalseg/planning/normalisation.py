"""Crop and intensities: what is done to the grey values of each channel, and why."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.reasoned import Because

CROP_NONZERO_BELOW = 0.95
CROP_BODY_BELOW = 0.75
NONZERO_MASK_BELOW = 0.75
AIR_BELOW = -500.0
BRIGHTEST_TISSUE = 10_000.0
MOST_CASES = 0.8
CT_NAMES = ("ct", "cta", "cect", "ncct", "computed tomography")
MR_WORDS = frozenset(
    ["mr", "mri", "t1", "t2", "t1w", "t2w", "t1c", "t1ce", "t1gd", "t2f", "t2s", "pd", "pdw", "flair", "dwi", "adc"]
)
OTHER_WORDS = MR_WORDS | {"swi", "dixon", "dti", "tof", "mra", "us", "ultrasound", "pet", "suv", "rgb", "xray"}
UNTOUCHED_NAMES = ("nonorm", "nonormalization", "no norm")


def crop(fingerprint: Fingerprint) -> Because:
    """Which part of each image is used."""
    nonzero, body = fingerprint.share("nonzero"), fingerprint.share("body")
    if nonzero < CROP_NONZERO_BELOW and _inside(fingerprint, "nonzero"):
        return Because("nonzero", f"the box of nonzero voxels is {_percent(nonzero)} of a volume (median)")
    if body < CROP_BODY_BELOW:
        if _inside(fingerprint, "body"):
            return Because("body", f"the body's box is {_percent(body)} of a volume (median); all labels lie in it")
        return Because("none", "some labels lie outside of the body's box")
    return Because("none", f"images have no empty border: the body's box is {_percent(body)} of a volume (median)")


def is_ct(fingerprint: Fingerprint, channel: int) -> tuple[bool, str]:
    """Whether a channel is CT, and how that is known."""
    name = _name(fingerprint, channel)
    if name.lower() in CT_NAMES:
        return True, f"the channel is called {name}"
    if words_of(name) & OTHER_WORDS:
        return False, f"the channel is called {name}"
    facts = [case.channels[channel] for case in fingerprint.cases]
    alike = [item["whole"] and item["least"] < AIR_BELOW and 0 < item["high"] < BRIGHTEST_TISSUE for item in facts]
    share = float(np.mean(alike))
    if share >= MOST_CASES:
        return True, f"whole numbers down to air ({AIR_BELOW:g} and less) in {_percent(share)} of the cases, as HU are"
    return False, f"the channel is called {name or 'nothing'}, values are unlike Hounsfield units"


def words_of(name: str) -> set[str]:
    """Words of a channel's name, small, numbers behind letters kept: "T1c_pre" has t1c and pre."""
    return set(re.findall(r"[a-z0-9]+", name.lower()))


def intensity(fingerprint: Fingerprint) -> list[Because]:
    """Normalisation per channel; channels that get the same share a step."""
    steps = [_step(fingerprint, channel) for channel in range(fingerprint.channels)]
    found = [(channel, *step) for channel, step in enumerate(steps) if step is not None]
    if found and len(found) == len(steps) and all(value == found[0][1] for _, value, _ in found):
        names = ", ".join(dict.fromkeys(filter(None, (_name(fingerprint, channel) for channel, _, _ in found))))
        more = f" (all channels: {names})" if len(found) > 1 and names else ""
        return [Because(found[0][1], f"{found[0][2]}{more}")]
    return [Because({**value, "channels": [channel]}, reason) for channel, value, reason in found]


def _step(fingerprint: Fingerprint, channel: int) -> tuple[dict[str, Any], str] | None:
    if _name(fingerprint, channel).lower() in UNTOUCHED_NAMES:
        return None
    ct, how = is_ct(fingerprint, channel)
    if ct:
        numbers = fingerprint.intensities[channel]
        step = {"type": "standardize", "low": numbers["p0.5"], "high": numbers["p99.5"]}
        step |= {"mean": numbers["mean"], "std": max(numbers["std"], 1e-3)}
        return step, f"CT ({how}): clipped to percentiles 0.5 and 99.5 of all labelled voxels, by their mean and std"
    share = fingerprint.share("nonzero")
    if share < NONZERO_MASK_BELOW:
        return {"type": "zscore", "mask": "nonzero"}, (
            f"{how}: no unit, so each image by its own mean and std; zeros around the body are left out"
        )
    return {"type": "zscore", "mask": "body"}, f"{how}: no unit, so each image by its body's mean and std"


def _name(fingerprint: Fingerprint, channel: int) -> str:
    names = fingerprint.channel_names
    return names[channel] if channel < len(names) else ""


def _inside(fingerprint: Fingerprint, crop_name: str) -> bool:
    return all(case.labels_inside[crop_name] for case in fingerprint.cases)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
