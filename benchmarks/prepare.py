"""Suite `prepare`: raw volumes to training arrays, image and label."""

from __future__ import annotations

from benchmarks.frame import Contender, Pair, Work

SUITE = "prepare"
OURS, PATCHES = "medicalseg prepare", "medicalseg PatchDataset"
NNUNET, MONAI = "nnU-Net", "MONAI PersistentDataset"
SPACING = (1.2, 1.2, 1.8)


def works(quick: bool) -> list[Work]:
    """SPIDER's volumes to 1.2 x 1.2 x 1.8 mm, and cropped hippocampus volumes as they are."""
    spine = work("spine", 2 if quick else 6, SPACING)
    if quick:
        return [spine]
    return [spine, work("hippocampus", 40, (1.0, 1.0, 1.0)), in_processes("hippocampus", 223, (1.0, 1.0, 1.0))]


def work(dataset: str, count: int, spacing: tuple[float, float, float]) -> Work:
    """`count` cases of a dataset brought to one spacing, in one process; a round prepares all of them."""
    common = {"dataset": dataset, "count": count, "spacing": list(spacing)}
    contenders = [
        Contender(OURS, "benchmarks.prepare_ours:all_cases", common, ("paddle",)),
        Contender(PATCHES, "benchmarks.prepare_patches:all_cases", common, ("paddle",)),
        Contender(NNUNET, "benchmarks.prepare_nnunet:all_cases", common, ("torch", "nnunetv2")),
        Contender(MONAI, "benchmarks.prepare_monai:all_cases", common, ("torch", "monai")),
    ]
    pairs = [Pair(OURS, NNUNET), Pair(OURS, MONAI), Pair(PATCHES, NNUNET, 1.0)]
    return Work(f"{count} {dataset} cases to {' x '.join(map(str, spacing))} mm", contenders, pairs, units=count)


def in_processes(dataset: str, count: int, spacing: tuple[float, float, float], processes: int = 2) -> Work:
    """All there is to do before training on patches, in several processes, their start included."""
    common = {"dataset": dataset, "count": count, "spacing": list(spacing), "processes": processes}
    contenders = [
        Contender(PATCHES, "benchmarks.prepare_patches:all_cases", common, ("paddle",)),
        Contender(NNUNET, "benchmarks.prepare_nnunet:all_cases", common, ("torch", "nnunetv2")),
    ]
    name = f"{count} {dataset} cases for patches, {processes} processes"
    return Work(name, contenders, [Pair(PATCHES, NNUNET, 1.0)], units=count)
