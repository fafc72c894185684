"""`medicalseg plan` as a function: verify, take the fingerprint, decide, check by a dry run, write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medicalseg.cvlibs import Config
from medicalseg.errors import DataError, UserError
from medicalseg.planning import compose
from medicalseg.planning.anatomy import AXIS_NAMES, read_anatomy
from medicalseg.planning.dry_run import DryRun, dry_run
from medicalseg.planning.fingerprint import Fingerprint, take
from medicalseg.planning.memory import GIGABYTE, CpuBudget
from medicalseg.planning.network_block import check_network, shape_rule
from medicalseg.planning.normalisation import crop
from medicalseg.planning.patch import shrink
from medicalseg.planning.reasoned import plain, to_yaml
from medicalseg.planning.settings import Settings, size_text
from medicalseg.planning.source import PlanSource
from medicalseg.planning.spacing import LOWRES_SHARE
from medicalseg.planning.stages import WHOLE, Planner, Stage, is_flat
from medicalseg.planning.texts import head, remarks
from medicalseg.utils.files import atomic_path, write_json
from medicalseg.utils.logger import logger

ATTEMPTS = 6
SLOWER = 1.5
SMALLER = "made smaller until a dry run stayed within --memory"
Make = Callable[[Planner], Stage]


@dataclass(frozen=True)
class Planned:
    """One configuration.

    Attributes:
        path: where it was written.
        stage: what was decided.
        measured: the dry run; None without one.
    """

    path: Path
    stage: Stage
    measured: DryRun | None


@dataclass(frozen=True)
class Outcome:
    """What a plan gave.

    Attributes:
        fingerprint: of the dataset.
        configs: the configurations, in the order in which they are to be trained.
        notes: what a user should know.
    """

    fingerprint: Fingerprint
    configs: tuple[Planned, ...]
    notes: tuple[str, ...]


@dataclass
class Writer:
    """Where and how configurations are written.

    Attributes:
        folder: of the configurations.
        overwrite: replace what is there.
        check: take the steps of a dry run.
        notes: collected on the way.
    """

    folder: Path
    overwrite: bool = False
    check: bool = True
    notes: list[str] = field(default_factory=list)


def plan(
    source: PlanSource,
    settings: Settings,
    folder: Path,
    *,
    num_workers: int = 0,
    overwrite: bool = False,
    check: bool = True,
    cache_dir: Path | None = None,
) -> Outcome:
    """Plan and write configurations and `fingerprint.json`.

    Args:
        source: the dataset; verified before.
        settings: what the user asked for.
        folder: of the configurations.
        num_workers: processes that read cases.
        overwrite: replace configurations that are there.
        check: dry run on this machine.
        cache_dir: where fingerprints of cases are kept; default: the cache folder.

    Raises:
        DataError: a case cannot be read, or there is nothing to learn.
        UserError: a configuration is there already, or the request does not fit the data.
    """
    check_network(settings.network_type, settings.kinds)
    writer = Writer(folder, overwrite, check)
    _refuse_existing(writer, settings.kinds or ("3d",))
    fingerprint = take(source, num_workers, cache_dir)
    subject = compose.Subject(source, fingerprint, read_anatomy(fingerprint), crop(fingerprint), settings)
    kinds = _kinds(subject)
    _refuse_existing(writer, kinds)
    writer.notes += remarks(subject)
    configs = [planned for kind in kinds for planned in _write_kind(subject, kind, writer)]
    write_json(folder / "fingerprint.json", fingerprint.to_dict())
    return Outcome(fingerprint, tuple(configs), tuple(dict.fromkeys(writer.notes)))


def _kinds(subject: compose.Subject) -> tuple[str, ...]:
    kinds, flat = subject.settings.kinds, is_flat(subject.fingerprint)
    if flat and any(kind != "2d" for kind in kinds):
        raise UserError(f"--kind {' '.join(kinds)}: most volumes have a single slice; --kind 2d is for such data")
    if "cascade" in kinds and subject.source.regions and subject.source.num_classes > 1:
        raise UserError("--kind cascade: regions overlap, and a cascade hands on classes of which a voxel has one")
    if "cascade" in kinds:
        kinds = tuple(kind for kind in kinds if kind != "3d_lowres")
    return kinds or (("2d",) if flat else ("3d",))


def _planner(subject: compose.Subject) -> Planner:
    rule = shape_rule(subject.settings.network_type)
    return Planner(
        subject.fingerprint, subject.anatomy, subject.settings, subject.crop.value, subject.source.num_classes, rule
    )


def _write_kind(subject: compose.Subject, kind: str, writer: Writer) -> list[Planned]:
    if kind == "2d":
        return [_write(subject, Planner.slices, "2d", writer)]
    if kind == "3d":
        planned = _write(subject, Planner.full, "3d", writer)
        share = planned.stage.coverage
        if share < LOWRES_SHARE and not subject.settings.kinds:
            writer.notes.append(
                f"a patch shows {100 * share:.0f} % of the median volume: if large context matters, "
                "plan --kind cascade (or 3d_lowres) as well"
            )
        return [planned]
    if kind == "3d_lowres":
        planned = _write(subject, _lowres, "3d_lowres", writer)
        if planned.stage.spacing_reason == WHOLE:
            writer.notes.append(
                "3d_lowres by nnU-Net's rule would be hardly coarser: it shows the whole volume instead"
            )
        return [planned]
    coarse = _write(subject, lambda planner: planner.coarse(planner.fine()), "3d_lowres", writer)
    return [coarse, _write(subject, Planner.fine, "cascade", writer, previous=_first_stage(writer.folder))]


def _lowres(planner: Planner) -> Stage:
    full = planner.full()
    return planner.lowres(full) or planner.coarse(full)


def _first_stage(folder: Path) -> str:
    return str(Path("output") / folder.name / "3d_lowres")


def _write(subject: compose.Subject, make: Make, name: str, writer: Writer, previous: str | None = None) -> Planned:
    path = writer.folder / f"{name}.yml"
    stage = make(_planner(subject))
    measured = None
    if writer.check and subject.settings.device == "gpu" and not _has_gpu():
        writer.notes.append("no GPU here: the plan rests on nnU-Net's estimate of memory, not on a dry run")
    elif writer.check:
        stage, measured = _settle(subject, stage, name, writer, previous)
        slower = _slower(subject, stage, measured)
        if slower is not None:
            subject = dataclasses.replace(subject, settings=slower)
            stage, measured = _settle(subject, make(_planner(subject)), name, writer, previous)
        if measured.busy:
            writer.notes.append(
                "the machine was busy: the dry run's seconds say little, the estimate was used for them"
            )
    tree = compose.compose(subject, stage, _seconds(stage, measured), previous)
    _save(path, to_yaml(tree, head(subject, stage, path, measured, previous)))
    if Config(path, log_notes=False).dic != plain(tree):
        raise DataError(f"{path}: does not read back as it was planned; please report this")
    return Planned(path, stage, measured)


def _settle(
    subject: compose.Subject, stage: Stage, name: str, writer: Writer, previous: str | None
) -> tuple[Stage, DryRun]:
    """The stage made to fit by dry runs, and what the last one measured."""
    limit = subject.settings.memory * GIGABYTE
    for _ in range(ATTEMPTS):
        measured = _try(subject, stage, name, writer, previous)
        if measured is not None and measured.peak_bytes <= limit:
            return stage, measured
        smaller = _smaller(stage, _planner(subject))
        if smaller is None:
            break
        peak = "ran out of memory" if measured is None else f"took {measured.peak_bytes / GIGABYTE:.2f} GB"
        logger.info("%s: the dry run %s, the limit is %g GB; planning smaller.", name, peak, subject.settings.memory)
        stage = smaller
    memory = size_text(subject.settings.memory)
    least = "" if measured is None else f" (the last that was tried took {size_text(measured.peak_bytes / GIGABYTE)})"
    raise UserError(f"{name}: no patch fits into --memory {memory}{least}; give more, or plan with --no_dry_run")


def _slower(subject: compose.Subject, stage: Stage, measured: DryRun) -> Settings | None:
    """Settings of a slower core, if this machine is not busy and took much longer than was planned for."""
    estimate, settings = stage.estimated_seconds, subject.settings
    planned_for = stage.budget.seconds if isinstance(stage.budget, CpuBudget) else 0.0
    if measured.busy or estimate is None or measured.seconds <= SLOWER * planned_for:
        return None
    logger.info("A step took %.2g s, not %.2g s: planning for a slower processor.", measured.seconds, estimate)
    return dataclasses.replace(settings, speed=settings.speed * estimate / measured.seconds)


def _seconds(stage: Stage, measured: DryRun | None) -> float | None:
    return stage.estimated_seconds if measured is None or measured.busy else measured.seconds


def _try(subject: compose.Subject, stage: Stage, name: str, writer: Writer, previous: str | None) -> DryRun | None:
    tree = compose.compose(subject, stage, stage.estimated_seconds, previous)
    channels = plain(tree["model"])["in_channels"]
    draft = writer.folder / f".draft-{name}.yml"
    writer.folder.mkdir(parents=True, exist_ok=True)
    try:
        _save(draft, to_yaml(tree))
        shape = (stage.fit.batch, channels, *stage.fit.topology.patch)
        settings = subject.settings
        return dry_run(
            draft, shape, precision=settings.precision, device=settings.device, regions=subject.source.regions
        )
    finally:
        draft.unlink(missing_ok=True)


def _smaller(stage: Stage, planner: Planner) -> Stage | None:
    fit = stage.fit
    if fit.batch > 2:
        reduced = dataclasses.replace(fit, batch=max(2, fit.batch // 2))
        return dataclasses.replace(stage, fit=reduced, batch_reason=SMALLER)
    spacing, median = stage.spacing, stage.median
    if stage.slice_axis is not None:
        plane = [axis for axis in reversed(range(3)) if axis != stage.slice_axis]
        spacing, median = tuple(spacing[k] for k in plane), tuple(median[k] for k in plane)
    shape = shrink(fit.topology, spacing, median, stage.whole, planner.shape)
    if shape is None:
        return None
    reason = f"{', '.join(AXIS_NAMES[axis] for axis in stage.whole)} whole; {SMALLER}" if stage.whole else SMALLER
    return dataclasses.replace(stage, fit=dataclasses.replace(fit, topology=shape, shrunk=True), patch_reason=reason)


def _refuse_existing(writer: Writer, names: Sequence[str]) -> None:
    for name in ("3d_lowres", *names) if "cascade" in names else names:
        path = writer.folder / f"{name}.yml"
        if path.exists() and not writer.overwrite:
            raise UserError(f"{path} is there already; give --overwrite to replace it, or another --name or --out")
    if writer.folder.exists() and not writer.folder.is_dir():
        raise UserError(f"{writer.folder} is a file; give another --out or --name")


def _save(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _has_gpu() -> bool:
    import paddle

    return bool(paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count())


def dataset_name(source: PlanSource) -> str:
    """Name of a dataset's configurations: its folder's, with its description's where that is not the default."""
    name = source.root.resolve().name
    description = Path(source.folder_arguments.get("dataset_json", "dataset.json")).stem
    return name if description == "dataset" else f"{name}_{description.removeprefix('dataset_')}"
