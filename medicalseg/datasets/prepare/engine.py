"""Prepare a dataset: cases in parallel, each once, a broken one reported while the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medicalseg.datasets.prepare.case import Prepared, finished_case, prepare_case, record_path, targets
from medicalseg.datasets.prepare.job import CaseSource, Job
from medicalseg.datasets.splits import Split
from medicalseg.errors import DataError
from medicalseg.utils.files import write_json, write_text
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import DiskFullError, run_all
from medicalseg.utils.words import counted

MARK = "prepared_by.json"
FOLDERS = ("images", "labels", "originals", "cases")
PARTS = ("train", "val", "test")
SMALL_BYTES = 20_000_000


@dataclass
class Report:
    """What happened: names of cases, and why the broken ones are broken."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """2 if a case is broken, else 0."""
        return 2 if self.failed else 0


def run(job: Job, *, num_workers: int = 0, force: bool = False) -> Report:
    """Prepare all cases and write `split.json`, `dataset.json`, `train_list.txt` and `val_list.txt`.

    Lists are there only while all arrays and the description are of one recipe: they go before the first array is
    written and come back last.

    Args:
        job: what to do.
        num_workers: processes; 0 or 1 = this one.
        force: do finished cases again, and replace prepared data of another origin.

    Returns:
        Which cases were done, skipped, broken. Broken ones are left out of lists and description.

    Raises:
        DataError: nothing to prepare, no case could be prepared, or the folder holds data of another origin.
        RunError: the disk is full or a worker process died.
    """
    sources = [*job.cases, *job.test]
    _check(sources)
    if job.public_cases not in (None, len(job.cases)):
        logger.warning("%s found; the public data have %d", counted(len(job.cases), "case"), job.public_cases)
    split = job.split([source.name for source in job.cases])
    output = job.recipe.output
    _claim(output, job.origin, force)
    logger.info("preparing %d cases into %s", len(sources), output)
    entries, report = _all_cases(job, sources, num_workers, force)
    if not any(source.name in entries for source in job.cases):
        raise DataError(f"no case could be prepared; first: {next(iter(report.failed.values()))}")
    remove_lists(output)
    _write_description(job, split, entries, report)
    _write_lists(job, split, entries)
    logger.info(
        "%d cases prepared, %d were there, %d failed: %s",
        len(report.done), len(report.skipped), len(report.failed), output,
    )  # fmt: skip
    return report


def _all_cases(
    job: Job, sources: Sequence[CaseSource], num_workers: int, force: bool
) -> tuple[dict[str, dict[str, Any]], Report]:
    report = Report()
    entries = {} if force else _finished(job, sources)
    report.skipped += entries
    todo = [source for source in sources if source.name not in entries]
    if todo:
        remove_lists(job.recipe.output)
    work = partial(prepare_case, job.recipe)
    for source, result in run_all(work, todo, _workers(todo, num_workers), "prepare"):
        if isinstance(result, DiskFullError):
            raise result
        if not isinstance(result, Prepared):
            report.failed[source.name] = str(result)
            logger.error("case %s: %s", source.name, result)
            continue
        entries[source.name] = result.entry
        report.done.append(source.name)
        for note in result.notes:
            logger.warning("case %s: %s", source.name, note)
    return entries, report


def _finished(job: Job, sources: Sequence[CaseSource]) -> dict[str, dict[str, Any]]:
    found = {source.name: finished_case(job.recipe, source) for source in sources}
    return {name: entry for name, entry in found.items() if entry is not None}


def _workers(todo: Sequence[CaseSource], num_workers: int) -> int:
    """Starting processes takes longer than a few small files do."""
    size = sum(path.stat().st_size for source in todo for path in source.stored_files if path.is_file())
    folder = any(path.is_dir() for source in todo for path in source.files)
    return num_workers if folder or size > SMALL_BYTES else 0


def _check(sources: Sequence[CaseSource]) -> None:
    if not sources:
        raise DataError("there is no case to prepare")
    _check_names(sources, "images", lambda source: (source.name, source.images[0]))
    labelled = [source for source in sources if source.label is not None]
    _check_names(labelled, "labels", lambda source: (source.label_stem, source.label))


def _check_names(
    sources: Sequence[CaseSource], folder: str, target_and_file: Callable[[CaseSource], tuple[str, Path | None]]
) -> None:
    seen: dict[str, Path | None] = {}
    for source in sources:
        name, path = target_and_file(source)
        if name in seen:
            raise DataError(
                f"case {source.name}: {seen[name]} and {path} would both become {folder}/{name}.npy; rename one of "
                "them, or prepare their folders one at a time"
            )
        seen[name] = path


def check_origin(output: Path, origin: str, force: bool) -> bool:
    """Refuse to replace real data by generated data or the other way round, unless forced.

    Returns:
        Whether data of another origin is there.

    Raises:
        DataError: it is, and `force` is not given.
    """
    found = prepared_origin(output)
    if found in (None, origin):
        return False
    if not force:
        raise DataError(
            f"{output} holds {found} data and would be overwritten with {origin} data; "
            "choose another --dataset_root, or pass --force to replace it"
        )
    return True


def _claim(output: Path, origin: str, force: bool) -> None:
    """Mark the folder; data of another origin and what a killed run was writing are removed first."""
    if check_origin(output, origin, force):
        logger.warning("replacing %s data in %s", prepared_origin(output), output)
        _remove(output)
    sweep(output, FOLDERS)
    write_json(output / MARK, {"tool": "medicalseg prepare", "origin": origin})


def prepared_origin(output: Path) -> str | None:
    """ "real", "phantom", "other" (made by another tool), or None for a folder without prepared data."""
    try:
        return str(json.loads((output / MARK).read_text(encoding="utf-8"))["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        held = any(output.glob("images/*.npy")) or any(output.glob("*_list.txt"))
        return "other" if held else None


def sweep(output: Path, folders: Iterable[str]) -> None:
    """Remove half-written files of a killed run."""
    for folder in (output, *(output / name for name in folders)):
        for path in folder.glob(".tmp-*"):
            path.unlink(missing_ok=True)


def remove_lists(output: Path) -> None:
    """Take away what training starts from, so that nobody trains on arrays of two recipes."""
    for part in PARTS:
        (output / f"{part}_list.txt").unlink(missing_ok=True)


def _remove(output: Path) -> None:
    for pattern in ("*_list.txt", "images/*.npy", "labels/*.npy", "originals/*.nii.gz", "cases/*.json"):
        for path in output.glob(pattern):
            path.unlink()
    for name in ("dataset.json", "split.json", MARK):
        (output / name).unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    try:
        return "origin" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _write_lists(job: Job, split: Split, entries: dict[str, dict[str, Any]]) -> None:
    output = job.recipe.output
    by_name = {source.name: source for source in job.cases}
    for part, names in (("train", split.train), ("val", split.val), ("test", split.test)):
        lines = [_line(output, by_name[name]) for name in names if name in entries]
        if names and not lines:
            logger.warning("%s_list.txt is empty: every case of it is broken", part)
        if names or part != "test":
            write_text(output / f"{part}_list.txt", "".join(f"{line}\n" for line in lines))
    if job.test and not split.test:
        lines = [_line(output, source) for source in job.test if source.name in entries]
        write_text(output / "test_list.txt", "".join(f"{line}\n" for line in lines))


def _line(output: Path, source: CaseSource) -> str:
    files = [path.relative_to(output).as_posix() for path in targets(output, source)[:2]]
    return ("\t" if any(" " in name for name in files) else " ").join(files)


def _write_description(job: Job, split: Split, entries: dict[str, dict[str, Any]], report: Report) -> None:
    output = job.recipe.output
    split.write(output / "split.json")
    content: dict[str, Any] = dict(job.description)
    content["labels"] = {str(label): name for label, name in job.labels.items()}
    content["training"] = {source.name: entries[source.name] for source in job.cases if source.name in entries}
    content["test"] = {source.name: entries[source.name] for source in job.test if source.name in entries}
    content["preprocessing"] = job.recipe.preprocessing.to_dict()
    content["split"] = split.to_dict()
    content["class_groups"] = {name: list(ids) for name, ids in job.class_groups.items()}
    content["origin"] = job.origin
    content["broken"] = dict(sorted(report.failed.items()))
    write_json(output / "dataset.json", content)
    for path in job.copies:
        if not path.exists() or _is_ours(path):
            write_json(path, content)
    for name in report.failed:
        record_path(output, name).unlink(missing_ok=True)
