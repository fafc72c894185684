"""Several exported networks as one deployment: an ensemble, whose probabilities are averaged.

Networks that see the same are averaged on their grid, others on the image's own; whoever reads the deploy.yaml sees
which from the tasks of the members (`StaticNetwork.apart`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medicalseg import __version__
from medicalseg.core.export import add_previous, write_description
from medicalseg.core.export_leftovers import named_files, remove
from medicalseg.inference.alike import check_answers, tell_postprocessing
from medicalseg.inference.backends import ModelFiles
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.files import file_hash, output_folder

MEMBER = "member_{}"


def export_ensemble(
    tasks: Sequence[TaskSpec],
    export_member: Callable[[int, TaskSpec, Path], Path],
    save_dir: str | Path,
    previous: str | Path | None = None,
) -> Path:
    """Export networks into folders of one folder and write the deploy.yaml that lists them.

    Args:
        tasks: of the networks, which have to give the same classes; the first one's postprocessing and names are those
            of the ensemble.
        export_member: exports network number k (from 0), with a task, to a folder; returns its deploy.yaml.
        save_dir: receives the folders member_1, member_2, … and deploy.yaml.
        previous: see `export`.

    Raises:
        ConfigError: if the networks cannot be averaged; names the field of the task.
    """
    check_answers(tasks)
    tell_postprocessing(tasks)
    save_dir = output_folder(save_dir)
    save_dir.mkdir(parents=True, exist_ok=True)
    task, earlier = tasks[0], named_files(save_dir)
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
        "sha256": {name: file_hash(file) for name, file in zip(names, written, strict=True)},
    }
    cascade = next((each for each in tasks if each.previous_classes), task)
    add_previous(content, previous, cascade, save_dir)
    write_description(save_dir / "deploy.yaml", content)
    remove(earlier - named_files(save_dir))
    return save_dir / "deploy.yaml"
