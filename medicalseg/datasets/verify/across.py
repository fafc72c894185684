"""What only shows when cases are compared: duplicates, missing classes, outliers, leaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from medicalseg.datasets.layout import HOW_TO_NAME, MANY_VALUES
from medicalseg.datasets.splits import LEAKING_NOTE, Split
from medicalseg.datasets.verify.finding import ERROR, WARNING, Finding
from medicalseg.datasets.verify.inspection import Facts
from medicalseg.datasets.verify.source import Source
from medicalseg.utils.words import few

OUTLIER_SCORE = 8.0
OUTLIER_CASES = 8
RARE_VOXELS = 8
STATISTICS = ("median", "p99", "std")


def compare_cases(source: Source, facts: Sequence[Facts]) -> list[Finding]:
    """All findings across cases."""
    findings = [*_duplicates(facts, source.splits), *_missing_classes(source.labels, facts)]
    findings += [*_rare_ids(source, facts), *_channels(facts), *_outliers(facts), *_leaks(source)]
    return findings


def unnamed_values(source: Source, facts: Sequence[Facts]) -> list[Finding]:
    """A warning where nothing says what the label values mean: `medicalseg plan` and a training ask for it."""
    values = sorted({value for item in facts for value in item.voxels})
    if not source.unnamed or not values:
        return []
    message = f"nothing says what the values {few(values, MANY_VALUES)} of the labels mean: {HOW_TO_NAME}"
    return [Finding(WARNING, "labels_unnamed", "", message)]


def class_table(labels: Mapping[int, str], facts: Sequence[Facts]) -> list[tuple[int, str, int, int]]:
    """Id, name, voxels and number of cases of every declared or found id."""
    ids = sorted({*labels, *(label for item in facts for label in item.voxels)})
    rows = []
    for label in ids:
        counts = [item.voxels[label] for item in facts if label in item.voxels]
        rows.append((label, labels.get(label, ""), sum(counts), len(counts)))
    return rows


def _duplicates(facts: Sequence[Facts], splits: Sequence[Split]) -> Iterator[Finding]:
    images: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {}
    for item in facts:
        for image in item.images:
            if image.get("min") != image.get("max"):
                images.setdefault(image["hash"], []).append(item.case)
        if item.label_hash:
            labels.setdefault(item.label_hash, []).append(item.case)
    twins: set[str] = set()
    for names in (names for names in images.values() if len(names) > 1):
        twins.update(names)
        for second in names[1:]:
            yield Finding(WARNING, "duplicate_image", second, _same("image", names[0], second))
        yield from _divided_twins(names, splits)
    for names in labels.values():
        for second in names[1:]:
            if not {names[0], second} <= twins:
                yield Finding(WARNING, "duplicate_label", second, _same("label", names[0], second))


def _divided_twins(names: Sequence[str], splits: Sequence[Split]) -> Iterator[Finding]:
    for number, split in enumerate(splits):
        for first, second in combinations(names, 2):
            if _divided(split, first, second):
                message = f"the same image as case {first}, which is on the other side of fold {number}"
                yield Finding(ERROR, "leaking_split", second, message)
                return


def _same(what: str, first: str, second: str) -> str:
    return f"two channels hold the same {what}" if first == second else f"the same {what} as case {first}"


def _divided(split: Split, first: str, second: str) -> bool:
    held_out = {*split.val, *split.test}
    return (first in split.train and second in held_out) or (second in split.train and first in held_out)


def _missing_classes(labels: Mapping[int, str], facts: Sequence[Facts]) -> Iterator[Finding]:
    found = {label for item in facts for label in item.voxels}
    if found:
        for label in sorted(set(labels) - found):
            yield Finding(WARNING, "class_missing", "", f"class {label} ({labels[label]}) occurs in no label")


def _rare_ids(source: Source, facts: Sequence[Facts]) -> Iterator[Finding]:
    if source.labels or len(facts) < 2:
        return
    for label, _, voxels, cases in class_table({}, facts):
        if label > 0 and cases == 1 and voxels <= RARE_VOXELS:
            case = next(item.case for item in facts if label in item.voxels)
            yield Finding(WARNING, "label_rare", case, f"id {label} occurs here only, in {voxels} voxels")


def _channels(facts: Sequence[Facts]) -> Iterator[Finding]:
    counts = {item.case: sum(image["channels"] for image in item.images) for item in facts if item.images}
    if counts:
        usual = int(np.bincount(list(counts.values())).argmax())
        for case, count in counts.items():
            if count != usual:
                yield Finding(ERROR, "channel_mismatch", case, f"{count} channels where most cases have {usual}")


def _outliers(facts: Sequence[Facts]) -> Iterator[Finding]:
    with_numbers = [item for item in facts if item.images and all("std" in image for image in item.images)]
    width = min((len(item.images) for item in with_numbers), default=0)
    if len(with_numbers) < OUTLIER_CASES:
        return
    for channel in range(width):
        reported: set[str] = set()
        for name in STATISTICS:
            values = np.array([item.images[channel][name] for item in with_numbers])
            scores = robust_scores(values)
            for item, value, score in zip(with_numbers, values, scores, strict=True):
                if abs(score) > OUTLIER_SCORE and item.case not in reported:
                    reported.add(item.case)
                    where = f"channel {channel}: " if width > 1 else ""
                    usual = f"usual {np.median(values):.4g}, robust z {score:.1f}"
                    yield Finding(WARNING, "intensity_outlier", item.case, f"{where}{name} {value:.4g} ({usual})")


def robust_scores(values: np.ndarray) -> np.ndarray:
    """Modified z-scores, 0.6745 (x - median) / MAD (Iglewicz and Hoaglin, 1993).

    Where more than half the values are equal the mean deviation stands for the MAD; all equal gives 0.
    """
    deviations = values - np.median(values)
    mad = float(np.median(np.abs(deviations)))
    if mad > 0:
        return 0.6745 * deviations / mad
    mean = float(np.mean(np.abs(deviations)))
    return deviations / (1.2533 * mean) if mean > 0 else np.zeros_like(deviations)


def _leaks(source: Source) -> Iterator[Finding]:
    for number, split in enumerate(source.splits):
        for part in ("val", "test"):
            shared = sorted(set(split.train) & set(getattr(split, part)))
            if shared:
                fold = f"fold {number}: " if len(source.splits) > 1 else ""
                message = (
                    f"{fold}{len(shared)} of {len(getattr(split, part))} {part} cases train too, first {shared[0]}"
                )
                yield Finding(WARNING if source.declared_leaking else ERROR, "leaking_split", "", message)
    if source.declared_leaking:
        yield Finding(WARNING, "leaking_split", "", f"declared: {LEAKING_NOTE}")
