"""What a plan says of itself: the head of a configuration, and remarks on the data."""

from __future__ import annotations

import shlex
from pathlib import Path

from medicalseg.planning.anatomy import AXIS_NAMES
from medicalseg.planning.compose import Subject
from medicalseg.planning.dry_run import DryRun
from medicalseg.planning.memory import GIGABYTE, CpuBudget, training_bytes
from medicalseg.planning.settings import Settings
from medicalseg.planning.source import FOLDS
from medicalseg.planning.stages import Stage
from medicalseg.utils.words import counted


def head(subject: Subject, stage: Stage, path: Path, measured: DryRun | None, previous: str | None) -> list[str]:
    """The comment at the top of a configuration.

    Args:
        subject: the dataset.
        stage: what was decided.
        path: of the configuration.
        measured: the dry run; None without one.
        previous: of a cascade's second stage, the folder of the first stage's crossval.
    """
    settings, fingerprint = subject.settings, subject.fingerprint
    foreground = counted(len(fingerprint.foreground), "foreground class", "foreground classes")
    what = "second stage of a cascade" if previous else {"2d": "slices"}.get(stage.kind, stage.kind)
    lines = [
        f"{subject.source.root.name}, {what}: planned by `medicalseg plan` for the {settings.device}, "
        f"{settings.memory:g} GB, {settings.precision}.",
        f"{_measured(subject)}, {counted(fingerprint.channels, 'channel')}, {foreground}; median volume "
        f"{' x '.join(map(str, stage.median))} at this spacing.",
        "Axes: x from left to right, y from back to front, z upwards.",
        _cost_line(stage, measured, settings),
        "An ordinary configuration: edit what you know better. fingerprint.json beside it has the measurements.",
    ]
    if previous:
        first = path.with_name("3d_lowres.yml")
        lines.append(f"Before: medicalseg crossval --config {shlex.quote(str(first))} --save_dir {previous}")
    lines.append(f"Train: medicalseg train --config {shlex.quote(str(path))} --do_eval")
    return lines


def _measured(subject: Subject) -> str:
    count, source = len(subject.fingerprint.cases), subject.source
    if source.fold is None:
        return counted(count, "case")
    return f"{count} of {len(source.cases)} cases measured, those that train in fold {source.fold}"


def _cost_line(stage: Stage, measured: DryRun | None, settings: Settings) -> str:
    if measured is not None:
        quiet = stage.estimated_seconds
        busy = f" on a busy machine (estimate: {quiet:.2f} s)" if measured.busy and quiet is not None else ""
        return (
            f"Dry run here, {counted(settings.cores, 'core')}: {measured.seconds:.2f} s per step of "
            f"{stage.fit.batch}{busy}, {measured.peak_bytes / GIGABYTE:.2f} GB at most (data workers not counted)."
        )
    if isinstance(stage.budget, CpuBudget):
        shape = stage.fit.topology
        used = training_bytes(stage.budget.network(shape), stage.fit.batch, settings.precision) / GIGABYTE
        step = f"{stage.estimated_seconds:.2f} s per step of {stage.fit.batch}"
        return f"Estimated, not tried: {step}, {used:.2f} GB at most."
    return "Memory by nnU-Net's estimate, not tried on a GPU here."


def remarks(subject: Subject) -> list[str]:
    """What a user should know beside the configurations."""
    fingerprint, anatomy = subject.fingerprint, subject.anatomy
    notes = []
    missing = [fingerprint.names[label] for label in fingerprint.foreground if not fingerprint.cases_with(label)]
    if missing:
        notes.append(
            f"no case has {', '.join(missing)}: the class stays in the network (ids are kept) but cannot be learnt"
        )
    if len(fingerprint.cases) < FOLDS:
        notes.append(f"{counted(len(fingerprint.cases), 'case')} only: figures of so few say little")
    if len(anatomy.mirror_axes) < 3:
        notes.append(f"mirroring: {anatomy.mirror_reason}")
    notes += [
        f"{found.names[0]} and {found.names[1]} lie in one order along {AXIS_NAMES[found.axis]} in all {found.cases} "
        f"cases and are about as large: if only their place tells them apart, take {found.axis} out of mirror_axes"
        for found in anatomy.hints
    ]
    if anatomy.levels:
        share = (
            "" if anatomy.agreement is None else f"; {100 * anatomy.agreement:.0f} % of neighbours lie so in the data"
        )
        names = [fingerprint.names[label] for label in anatomy.levels]
        notes.append(f"levels along head-foot: {names[0]} to {names[-1]} ({len(names)} labels{share})")
    return notes
