"""Several exported networks as one deployment: an ensemble, whose probabilities are averaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medicalseg import __version__
from medicalseg.core.export import add_previous, write_description
from medicalseg.errors import CheckpointError, UserError
from medicalseg.inference.backends import ModelFiles
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.files import output_folder, sha256
from medicalseg.utils.logger import logger

MEMBER = "member_{}"
SAME = ("num_classes", "in_channels", "head", "threshold", "preprocessing", "slices", "sliding", "restoring",
        "previous_classes")  # fmt: skip


def export_ensemble(
    tasks: Sequence[TaskSpec],
    export_member: Callable[[int, TaskSpec, Path], Path],
    save_dir: str | Path,
    previous: str | Path | None = None,
) -> Path:
    """Export networks into folders of one folder and write the deploy.yaml that lists them.

    Args:
        tasks: of the networks, which have to see the same input and give the same classes; the first one's
            postprocessing and names are those of the ensemble.
        export_member: exports network number k (from 0), with a task, to a folder; returns its deploy.yaml.
        save_dir: receives the folders member_1, member_2, … and deploy.yaml.
        previous: see `export`.

    Raises:
        UserError: if the networks cannot be averaged on one grid; names the field of the task.
    """
    check_alike(tasks)
    save_dir = output_folder(save_dir)
    save_dir.mkdir(parents=True, exist_ok=True)
    task = tasks[0]
    written = []
    for number, member in enumerate(tasks):
        plain = replace(member, postprocessing=())
        written.append(export_member(number, plain, save_dir / MEMBER.format(number + 1)))
    names = [file.relative_to(save_dir).as_posix() for file in written]
    content: dict[str, Any] = {
        "members": names,
        "input_shape": ModelFiles.read(written[0]).description.get("input_shape"),
        "output_op": task.head,
        "output_dtype": "float32",
        "task": task.to_dict(),
        "versions": {"medicalseg": __version__},
        "sha256": {name: sha256(file) for name, file in zip(names, written, strict=True)},
    }
    add_previous(content, previous, task, save_dir)
    earlier = _members_of(save_dir / "deploy.yaml")
    write_description(save_dir / "deploy.yaml", content)
    for name in earlier - {Path(name).parts[0] for name in names}:
        shutil.rmtree(save_dir / name, ignore_errors=True)
    return save_dir / "deploy.yaml"


def check_alike(tasks: Sequence[TaskSpec]) -> None:
    """Networks of an ensemble see one input, on one grid, and give the same classes.

    Raises:
        UserError: names the field of the task in which two differ.
    """
    first = tasks[0].to_dict()
    for number, task in enumerate(tasks[1:], start=2):
        for name in SAME:
            if task.to_dict()[name] != first[name]:
                raise UserError(
                    f"--model_path: network {number} differs from the first in task.{name} ({task.to_dict()[name]} and "
                    f"{first[name]}); an exported ensemble needs one grid: export them apart"
                )
        if task.postprocessing != tasks[0].postprocessing:
            logger.warning(
                "Network %d has other postprocessing than the first, whose steps the ensemble takes.", number
            )


def _members_of(deploy_yaml: Path) -> set[str]:
    """Folders of an earlier export's members; none if there is none that can be read."""
    try:
        names = ModelFiles.read(deploy_yaml).description.get("members") or []
    except CheckpointError:
        return set()
    return {
        Path(name).parts[0] for name in names if Path(name).match("member_*/deploy.yaml") and len(Path(name).parts) == 2
    }
