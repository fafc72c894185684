"""What finished runs were and reached, read from the files they left, for a table over several of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.errors import DataError, MedicalSegError, UserError
from medicalseg.inference.slices import SliceSpec
from medicalseg.utils.checkpoint import META_FILE
from medicalseg.utils.files import read_json_object

METRICS, MANIFEST, CROSSVAL = "metrics.json", "run.json", "summary.json"
REPORT_FOLDERS = ("", "eval", "val")
LEVELS_TO_MANIFEST = 3
BEST = "best_model"
BACKGROUND = 0


@dataclass(frozen=True)
class Cost:
    """What a network takes; None = not known.

    Attributes:
        network: its class.
        dimensions: "2D", "2.5D" or "3D".
        parameters: trainable ones.
        macs: plain multiply-accumulates of one pass.
        input_shape: of that pass, (1, C, ...).
        passes: passes for one case: 1, or the number of slices of a volume.
    """

    network: str | None = None
    dimensions: str | None = None
    parameters: int | None = None
    macs: int | None = None
    input_shape: tuple[int, ...] | None = None
    passes: int | None = None

    @property
    def macs_per_case(self) -> int | None:
        """Multiply-accumulates of a whole image or volume."""
        return None if self.macs is None or self.passes is None else self.macs * self.passes


@dataclass(frozen=True)
class Run:
    """One evaluated network.

    Attributes:
        name: how the table calls it.
        report: its metrics.json.
        cost: of the network.
        grid: on which masks were compared.
        cases: names of the scored cases.
        foreground: mean Dice over the foreground classes.
        groups: mean Dice by class group.
        with_background: the groups that count the background.
        classes: mean Dice by name of every foreground class; None = not applicable.
        seconds: mean time per case: prediction, restoring, scoring.
        memory_mb: largest memory of the process, of the GPU where one was used.
        program: what wrote the report: train, val, predict, infer.
        processor: on which it ran, and on how many cores.
        notes: of the report.
        problems: what could not be found out.
    """

    name: str
    report: Path
    cost: Cost
    grid: str
    cases: tuple[str, ...]
    foreground: float | None
    groups: dict[str, float | None]
    with_background: tuple[str, ...]
    classes: dict[str, float | None]
    seconds: float | None
    memory_mb: float | None
    program: str | None
    processor: str | None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())


def load_runs(specs: Sequence[str]) -> list[Run]:
    """Read several runs.

    Args:
        specs: folders of trainings or of crossval (`save_dir`), or folders with a `metrics.json` of val, predict or
            infer; each may be written NAME=FOLDER.

    Raises:
        UserError: if a folder holds no report, two have the same name, or a file is damaged; names it.
    """
    folders = [_split(spec) for spec in specs]
    ends = _distinct([folder for name, folder in folders if not name])
    names = [name or ends.pop(0) for name, _ in folders]
    if len(set(names)) < len(names):
        raise UserError(f"two runs are called {max(names, key=names.count)}; give them different names, NAME=FOLDER")
    return [load_run(folder, name) for name, (_, folder) in zip(names, folders, strict=True)]


def load_run(folder: Path, name: str) -> Run:
    """Read one run; see `load_runs`."""
    report = _report_in(folder)
    content = _content(report)
    facts = content.get("run") or {}
    settings, task = _settings(report, facts)
    facts = _facts_of(task) | facts
    cost, problems = _cost(facts, settings, content)
    try:
        return Run(
            name=name,
            report=report,
            cost=cost,
            grid=str(content["grid"]),
            cases=tuple(str(case["case"]) for case in content["cases"]),
            foreground=content["foreground_mean"]["dice"],
            groups={key: group["dice"] for key, group in content["groups"].items()},
            with_background=tuple(key for key, group in content["groups"].items() if BACKGROUND in group["class_ids"]),
            classes=_foreground_classes(content),
            seconds=_mean([case.get("seconds") for case in content["cases"]]),
            memory_mb=facts.get("peak_gpu_memory_mb") or facts.get("peak_memory_mb"),
            program=facts.get("program"),
            processor=f"{facts['processor']}, {facts.get('cores')} cores" if facts.get("processor") else None,
            notes=tuple(content.get("notes") or ()),
            problems=tuple(problems),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{report}: is no report of medicalseg, or a damaged one: {error!r}") from error


def _content(report: Path) -> dict[str, Any]:
    """What a report says; of a cross-validation the stage to quote, whose network is that of the first fold."""
    content = read_json_object(report, DataError)
    if report.name != CROSSVAL:
        return content
    try:
        name, folds = str(content["headline"]), [fold["fold"] for fold in content["folds"]]
        stage = dict(content["stages"][name])
        weights = report.parent / f"fold_{folds[0]}" / f"{content['weights']}_model"
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{report}: is no summary of medicalseg crossval, or a damaged one: {error!r}") from error
    note = f"cross-validated on {len(folds)} folds, stage '{name}'"
    facts = {**(content.get("run") or {}), "program": "crossval", "weights": str(weights)}
    return {**stage, "notes": [*(stage.get("notes") or ()), note], "run": facts}


def _foreground_classes(content: Mapping[str, Any]) -> dict[str, float | None]:
    wanted = content["foreground_mean"]["class_ids"]
    return {str(entry["name"]): entry["dice"] for entry in content["classes"] if entry["id"] in wanted}


def _split(spec: str) -> tuple[str, Path]:
    name, equals, folder = spec.partition("=")
    if equals and not Path(spec).exists():
        return name, Path(folder)
    return "", Path(spec)


def _distinct(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError("the same folder is given twice; give it once, or each with a name: NAME=FOLDER")


def _report_in(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; give the save_dir of a training, crossval, val, predict or infer")
    found = next((folder / sub / METRICS for sub in REPORT_FOLDERS if (folder / sub / METRICS).is_file()), None)
    if found is None and (folder / CROSSVAL).is_file():
        return folder / CROSSVAL
    if found is None:
        raise UserError(
            f"{folder}: holds no {METRICS} or {CROSSVAL}, nor does its folder eval; train with --do_eval, or run "
            "medicalseg val (or predict or infer with --label_path) and give its --save_dir"
        )
    return found


def _settings(report: Path, facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and task of the training, from run.json around the report and meta.json beside the weights."""
    settings: dict[str, Any] = {}
    task: dict[str, Any] = {}
    around = list(report.parents)[:LEVELS_TO_MANIFEST]
    manifest = next((folder for folder in around if (folder / MANIFEST).is_file()), None)
    if manifest is not None:
        settings = dict(read_json_object(manifest / MANIFEST, DataError).get("config") or {})
    weights = [Path(facts["weights"]), Path(facts["weights"]).parent] if facts.get("weights") else []
    for folder in (*weights, *([manifest / BEST] if manifest is not None else [])):
        if (folder / META_FILE).is_file():
            meta = read_json_object(folder / META_FILE, DataError)
            return settings or dict(meta.get("config") or {}), dict(meta.get("task") or {})
    return settings, task


def _facts_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """What the block `run` of a report would say, from the task of a checkpoint."""
    if not task:
        return {}
    size = (task.get("preprocessing") or {}).get("size")
    return {"size": size, "slices": task.get("slices"), "outputs": task.get("num_classes")}


def _cost(facts: Mapping[str, Any], settings: Mapping[str, Any], content: Mapping[str, Any]) -> tuple[Cost, list[str]]:
    block = dict(facts.get("model") or settings.get("model") or {})
    known = Cost(network=block.get("type") or facts.get("network"), parameters=facts.get("parameters"))
    if not block:
        return known, ["its configuration was not found, so its cost is not known"]
    block.setdefault("num_classes", facts.get("outputs") or len(content.get("classes") or ()))
    try:
        return _counted({**settings, "model": block}, facts, str(block.get("type"))), []
    except (MedicalSegError, OSError, TypeError, ValueError) as error:
        return known, [f"its cost could not be counted: {error}"]


def _counted(settings: Mapping[str, Any], facts: Mapping[str, Any], name: str) -> Cost:
    import yaml

    from medicalseg.complexity import from_config, inspect_model
    from medicalseg.core.trained import open_untrained

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yml"
        file.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
        config = open_untrained(file)
    model = config.model
    slices = SliceSpec.from_dict(facts["slices"]) if facts.get("slices") else from_config.slices_of(config)
    size = facts.get("size") or from_config.volume_size(config)
    shape, source = from_config.input_shape(config, model, size=size, slices=slices)
    info = inspect_model(model, shape)
    axes = getattr(model, "spatial_axes", 3)
    stacked = slices is not None and slices.num_slices > 1
    passes: int | None = 1
    if axes == 2 and slices is not None:
        count = size[slices.axis] if size else None
        passes = None if count is None else int(count)
    sized = source != from_config.SMALLEST_SIZE
    return Cost(
        network=name,
        dimensions="3D" if axes == 3 else ("2.5D" if stacked else "2D"),
        parameters=info.trainable,
        macs=info.macs if sized else None,
        input_shape=info.input_shape if sized else None,
        passes=passes,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def differences(runs: Sequence[Run]) -> list[str]:
    """Why figures of these runs must not be compared as they stand, one sentence each; empty if nothing speaks against.

    Args:
        runs: from `load_runs`.
    """
    notes = []
    cases = _groups(runs, lambda run: tuple(sorted(run.cases)))
    if len(cases) > 1:
        shared = len(set.intersection(*(set(run.cases) for run in runs)))
        names = _told_apart(cases, lambda run: f"{len(run.cases)} cases")
        notes.append(f"scored on different cases, {shared} in common: {names}. Their Dice must not be compared.")
    for value, what, consequence in ASPECTS:
        groups = _groups(runs, value)
        if len(groups) > 1:
            notes.append(f"{what}: {_told_apart(groups, value)}. {consequence}")
    for run in runs:
        notes += [f"{run.name}: {problem}." for problem in run.problems]
    return notes


ASPECTS: tuple[tuple[Callable[[Run], Any], str, str], ...] = (
    (lambda run: f"{run.grid} grid", "scored on different grids", "Their Dice must not be compared."),
    (
        lambda run: tuple(run.classes),
        "different classes",
        "Their foreground means and groups are not of the same classes.",
    ),
    (
        lambda run: f"by {run.program}" if run.program else "not recorded",
        "reports of different programs",
        "Time and memory are not comparable.",
    ),
    (
        lambda run: run.processor or "not recorded",
        "different processors",
        "Time and memory are not comparable.",
    ),
)


def _groups(runs: Sequence[Run], value: Callable[[Run], Any]) -> list[list[Run]]:
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(value(run), []).append(run)
    return list(groups.values())


def _told_apart(groups: Sequence[Sequence[Run]], value: Callable[[Run], Any]) -> str:
    return "; ".join(f"{', '.join(run.name for run in group)} ({_few(value(group[0]))})" for group in groups)


def _few(value: Any, shown: int = 4) -> str:
    if not isinstance(value, tuple):
        return str(value)
    more = f", … {len(value)} in all" if len(value) > shown else ""
    return ", ".join(value[:shown]) + more
