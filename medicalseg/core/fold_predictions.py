"""The validation cases of a fold, predicted with the fold's weights and written as label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medicalseg.core.fit import check_network
from medicalseg.core.fold_split import REMEDY, refuse_learned
from medicalseg.core.folder_pairs import Pair
from medicalseg.core.prefetch import prefetch
from medicalseg.core.task import task_for
from medicalseg.core.train_cases import train_cases_of
from medicalseg.core.trained import asked_task, load_trained
from medicalseg.cvlibs import effective
from medicalseg.datasets.case import Case, naming
from medicalseg.datasets.patches.previous import PreviousStage
from medicalseg.errors import DataError
from medicalseg.inference import EagerNetwork, TaskSpec, inferer_for
from medicalseg.inference.inputs import InputCase
from medicalseg.inference.memory import MemoryPlan
from medicalseg.inference.mixture import Member
from medicalseg.inference.outputs import read_labels, structure_paths, write_labels
from medicalseg.inference.smaller import segment_within
from medicalseg.io import Volume, is_picture
from medicalseg.utils.checkpoint import weights_file
from medicalseg.utils.environment import choose_device
from medicalseg.utils.files import file_hash, read_json_object, write_json
from medicalseg.utils.logger import logger
from medicalseg.utils.progress import Progress

FOLDER = "validation"
POSTPROCESSED = "validation_postprocessed"
RECORD = "validation.json"
SUFFIXES = (".nii.gz", ".png")


@dataclass(frozen=True)
class FoldCases:
    """What a fold's network made of its validation cases.

    Attributes:
        fold: number of the fold.
        folder: of the fold's run.
        pairs: reference and prediction of every case, before any postprocessing is chosen.
        task: of the network, with the configuration's own postprocessing alone, which predictions have behind them.
        notes: what a reader of its figures must know.
    """

    fold: int
    folder: Path
    pairs: tuple[Pair, ...]
    task: TaskSpec
    notes: tuple[str, ...] = ()


def predict_fold(config: Any, fold: int, folder: Path, weights: str, options: Any) -> FoldCases:
    """Predict the validation cases of a fold on the road of `medicalseg predict`.

    Those that were predicted before with the same weights, settings and files are kept, those of cases that are no
    longer of the fold are removed.

    Args:
        config: `medicalseg.cvlibs.Config` of the fold.
        fold: its number.
        folder: of its run; label maps go to `validation/CASE.nii.gz` there.
        weights: folder of the weights there.
        options: `TrainOptions`.

    Raises:
        UserError: a case is among those that the weights learned from; names it.
        DataError: a case has no label, or cannot be predicted; names it.
    """
    dataset, model_path = config.val_dataset, folder / weights
    why = f"{model_path} was trained on that: {REMEDY}"
    refuse_learned(fold, [case.name for case in dataset.cases], sorted(train_cases_of(model_path) or ()), why)
    task = replace(task_for(config, model_path), postprocessing=tuple(config.dic.get("postprocessing") or ()))
    pairs = tuple(_pair(case, folder / FOLDER) for case in dataset.cases)
    made_by = {
        "weights": file_hash(weights_file(model_path)),
        "task": task.to_dict(),
        "test_config": config.test_config,
        "sw_num": options.sw_num,
    }
    _remove_others(folder, pairs, task)
    _keep_valid(folder / RECORD, made_by, _stamps(dataset.cases, _earlier_stage(config, task)), pairs, task)
    missing = [(case, _path(pair)) for case, pair in zip(dataset.cases, pairs, strict=True) if not written(pair, task)]
    if missing:
        logger.info("Fold %d: predicting %d of %d validation cases.", fold, len(missing), len(pairs))
        _predict(config, task, model_path, missing, options)
    return FoldCases(fold, folder, pairs, task)


def written(pair: Pair, task: TaskSpec) -> list[Path]:
    """The files of a prediction: one, or a picture for each structure; none where it is not complete."""
    path = _path(pair)
    if path.is_file():
        return [path]
    parts = _pictures(path, task)
    return parts if all(part.is_file() for part in parts) else []


def _pictures(path: Path, task: TaskSpec) -> list[Path]:
    return structure_paths(path, task) if task.overlapping and is_picture(path) else []


def _remove_others(folder: Path, pairs: Sequence[Pair], task: TaskSpec) -> None:
    """Remove predictions of cases that are not of the fold."""
    own = {path.name for pair in pairs for path in (_path(pair), *_pictures(_path(pair), task))}
    found = [path for name in (FOLDER, POSTPROCESSED) for path in (folder / name).glob("*")]
    others = [path for path in found if path.name.endswith(SUFFIXES) and path.name not in own]
    for path in others:
        path.unlink()
    if others:
        logger.info("%s: removed %d predictions of cases that are not of this fold.", folder, len(others))


def _stamps(cases: Sequence[Case], stage: PreviousStage | None) -> dict[str, list[Any]]:
    """Name, size and time of what each case is predicted from."""
    found = {}
    for case in cases:
        files = [*case.images, *([] if stage is None else [stage.path(case)])]
        states = [(path.name, path.stat() if path.exists() else None) for path in files]
        found[case.name] = [[name, state and state.st_size, state and state.st_mtime_ns] for name, state in states]
    return found


def _keep_valid(
    record: Path, made_by: Mapping[str, Any], stamps: Mapping[str, Any], pairs: Sequence[Pair], task: TaskSpec
) -> None:
    """Remove predictions that were made by other weights, with other settings or from other files; record these."""
    before = read_json_object(record, DataError) if record.is_file() else {}
    kept = before.pop("cases", {}) if isinstance(before.get("cases"), dict) else {}
    for pair in pairs:
        if before != made_by or kept.get(pair.name) != stamps[pair.name]:
            for path in (_path(pair), *_pictures(_path(pair), task)):
                path.unlink(missing_ok=True)
    write_json(record, {**made_by, "cases": stamps})


def _predict(config: Any, task: TaskSpec, model_path: Path, cases: Sequence[tuple[Case, Path]], options: Any) -> None:
    choose_device(options.device)
    model = load_trained(config, model_path, options.cpu_accel)
    check_network(model, task)
    inferer = inferer_for(asked_task(config.test_config, task, model, options.sw_num))
    member, memory = Member(task, EagerNetwork(model, task.decision), inferer), MemoryPlan()
    stage, progress = _earlier_stage(config, task), Progress(len(cases), "validation cases predicted")
    try:
        for (case, path), image in prefetch(lambda item: _read(item[0], task), cases, 1):
            with naming(case):
                previous = None if stage is None else read_labels(stage.path(case), task)
                labels, member = segment_within(image, member, memory, case.name, previous=previous)
                write_labels(image.with_array(labels.array, labels=True), task, path)
            progress.step()
    finally:
        progress.close()


def _pair(case: Case, folder: Path) -> Pair:
    reference = case.original or case.label
    if reference is None:
        raise DataError(f"case {case.name}: has no label, and crossval scores every validation case")
    suffix = ".png" if is_picture(case.images[0]) else ".nii.gz"
    return Pair(case.name, reference, folder / f"{case.name}{suffix}")


def _path(pair: Pair) -> Path:
    if pair.prediction is None:
        raise ValueError(f"{pair.name} has no place for its prediction")
    return pair.prediction


def _read(case: Case, task: TaskSpec) -> Volume:
    with naming(case):
        return InputCase(case.name, case.images, Path(f"{case.name}.nii.gz")).read(task)


def _earlier_stage(config: Any, task: TaskSpec) -> PreviousStage | None:
    """Where the labels lie that a cascade's second network starts from."""
    folder = effective.dataset_argument(config.dic, "val_dataset", "previous") if task.previous_classes else None
    return None if folder is None else PreviousStage(Path(folder), task.previous_classes)
