"""The fingerprint of a dataset: what its cases tell a plan, measured in parallel and kept per case."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.cache import cache_key, default_folder
from medicalseg.datasets.case import Case
from medicalseg.errors import DataError, MedicalSegError
from medicalseg.planning.case_facts import CROPS, ORIENTATION, CaseFacts, measure, spread
from medicalseg.planning.source import PlanSource
from medicalseg.utils.files import atomic_path, file_hash
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import DiskFullError, run_all

VERSION = 1


@dataclass(frozen=True)
class Fingerprint:
    """What a plan is made from.

    Attributes:
        names: name per class id, the background included.
        channel_names: name per channel; empty if not described.
        cases: facts of every labelled case, sorted by name.
        intensities: per channel mean, std, median and percentiles 0.5 and 99.5 of the foreground of all cases, each
            case weighing as much as the voxels drawn from it.
        hashes: SHA-256 per file, by case; empty if they were not asked for.
    """

    names: dict[int, str]
    channel_names: tuple[str, ...]
    cases: tuple[CaseFacts, ...]
    intensities: tuple[dict[str, float], ...]
    hashes: Mapping[str, str]

    @property
    def spacings(self) -> np.ndarray:
        """(cases, 3), mm, orientation RAS."""
        return np.array([case.spacing for case in self.cases])

    @property
    def shapes(self) -> np.ndarray:
        """(cases, 3), voxels as stored, orientation RAS."""
        return np.array([case.shape for case in self.cases])

    def cropped(self, crop: str) -> np.ndarray:
        """(cases, 3), voxels that a crop ("none", "nonzero" or "body") leaves."""
        return self.shapes if crop == "none" else np.array([case.boxes[crop] for case in self.cases])

    def share(self, crop: str) -> float:
        """Median share of a volume that a crop leaves."""
        return float(np.median(self.cropped(crop).prod(axis=1) / self.shapes.prod(axis=1)))

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return len(self.cases[0].channels)

    @property
    def foreground(self) -> list[int]:
        """Ids of the classes that are not the background."""
        return [label for label in self.names if label != 0]

    def cases_with(self, label: int) -> int:
        """Number of cases that hold a class."""
        return sum(case.voxels.get(label, 0) > 0 for case in self.cases)

    def frequency(self, label: int) -> float:
        """Share of all voxels that belong to a class."""
        return sum(case.voxels.get(label, 0) for case in self.cases) / int(self.shapes.prod(axis=1).sum())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: a summary, then every case."""
        return {
            "version": VERSION,
            "orientation": ORIENTATION,
            "summary": self._summary(),
            "classes": {self.names[label]: self._class(label) for label in self.foreground},
            "foreground_intensities": [dict(channel) for channel in self.intensities],
            "cases": [case.to_dict() for case in self.cases],
            "sha256": dict(self.hashes),
        }

    def _summary(self) -> dict[str, Any]:
        return {
            "cases": len(self.cases),
            "channels": list(self.channel_names) or self.channels,
            "median_shape": np.median(self.shapes, axis=0).tolist(),
            "median_spacing": np.median(self.spacings, axis=0).tolist(),
            "share_of_crops": {crop: round(self.share(crop), 4) for crop in CROPS},
            "axcodes": dict(Counter(case.axcodes for case in self.cases)),
        }

    def _class(self, label: int) -> dict[str, Any]:
        found = [case for case in self.cases if case.voxels.get(label)]
        volumes = [case.voxels[label] * float(np.prod(case.spacing)) for case in found]
        return {
            "id": label,
            "cases": len(found),
            "voxel_share": self.frequency(label),
            "median_volume_mm3": float(np.median(volumes)) if found else 0.0,
            "median_components": float(np.median([case.components[label] for case in found])) if found else 0.0,
        }


def take(source: PlanSource, num_workers: int = 0, cache_dir: Path | None = None) -> Fingerprint:
    """Measure every labelled case; cases whose files have not changed are read from the cache.

    Args:
        source: the dataset.
        num_workers: processes; each holds one case at a time.
        cache_dir: where cases are kept; default: the cache folder.

    Raises:
        DataError: a case cannot be read; names it.
        RunError: a worker process died, or the disk is full.
    """
    folder = (cache_dir or default_folder()) / "fingerprints"
    function = partial(_cached, source, folder)
    found: dict[str, tuple[CaseFacts, np.ndarray, dict[str, str]]] = {}
    problems = []
    for case, result in run_all(function, source.measured, num_workers, "fingerprint"):
        if isinstance(result, DiskFullError):
            raise result
        if isinstance(result, MedicalSegError):
            problems.append(f"case {case.name}: {str(result).removeprefix(f'case {case.name}: ')}")
        else:
            found[case.name] = result
    if problems:
        more = f" ({len(problems)} cases cannot be read)" if len(problems) > 1 else ""
        raise DataError(f"{sorted(problems)[0]}{more}; `medicalseg verify` lists all")
    results = [found[name] for name in sorted(found)]
    facts = tuple(result[0] for result in results)
    _check_channels(facts)
    hashes = {file: digest for result in results for file, digest in result[2].items()}
    return Fingerprint(source.names, source.channel_names, facts, _pooled([r[1] for r in results]), hashes)


def _cached(source: PlanSource, folder: Path, case: Case) -> tuple[CaseFacts, np.ndarray, dict[str, str]]:
    labels = None if source.label_map is None else source.label_map.to_dict()
    key = cache_key(case.files, [VERSION, "fingerprint", case.name, labels, source.ignore_index, source.channels])
    path = folder / f"{key}.npz"
    kept = _read(path)
    if kept is not None:
        return kept
    facts, samples = measure(source.reader, source.label_map, source.ignore_index, case)
    hashes = {f"{case.name}/{file.name}": file_hash(file) for file in case.files if file.is_file()}
    text = json.dumps({"facts": facts.to_dict(), "sha256": hashes})
    try:
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, samples=samples, text=np.frombuffer(text.encode(), np.uint8))
    except PermissionError as error:
        logger.debug("The fingerprint of %s is not kept: %s", case.name, error)
    return facts, samples, hashes


def _read(path: Path) -> tuple[CaseFacts, np.ndarray, dict[str, str]] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as content:
            kept = json.loads(content["text"].tobytes())
            return CaseFacts.from_dict(kept["facts"]), content["samples"], kept["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.debug("%s cannot be used and is made anew: %s", path, error)
        return None


def _pooled(samples: Sequence[np.ndarray]) -> tuple[dict[str, float], ...]:
    values = np.concatenate(samples, axis=1)
    if not values.shape[1]:
        raise DataError("no case has a labelled voxel: there is nothing to learn from")
    return tuple(spread(channel) for channel in values)


def _check_channels(cases: Sequence[CaseFacts]) -> None:
    counts = Counter(len(case.channels) for case in cases)
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(case for case in cases if len(case.channels) != usual)
        raise DataError(f"case {odd.case}: has {len(odd.channels)} channels, other cases have {usual}")
