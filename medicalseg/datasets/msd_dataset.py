"""nnU-Net training on patches from a plan file, under the name and with the arguments PaddleSeg3D has for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import build
from medicalseg.datasets.nnunet_settings import dataset_settings, lacks_intensities
from medicalseg.datasets.patch_dataset import PatchDataset, with_options_of
from medicalseg.errors import ConfigError, DataError
from medicalseg.utils import files
from medicalseg.utils.logger import logger
from medicalseg.utils.nnunet_plan import NNUNetPlan, plan_file, read_plan

NEXT_STAGE = "pred_next_stage"
IGNORED = {
    "dataset_directory": (None, "the plan lies in preprocessed_dir"),
    "cropped_data_dir": (None, "cases are cropped and kept in the cache folder (MEDICALSEG_CACHE)"),
    "use_multi_augmenter": (True, "samples are made by the loader's workers (--num_workers)"),
    "unpack_data": (True, "cases are kept in compressed blocks"),
    "num_batches_per_epoch": (250, "an epoch is every case repeat_times, and a training takes iters steps"),
}


@manager.DATASETS.add_component
class MSDDataset(PatchDataset):
    """`PatchDataset` for `NNUNet`: grid, grey values, patches and windows are the plan's, augmentation is nnU-Net's.

    The network's grid has the plan's axes, (z, y, x) unless it transposed them. PaddleSeg3D's dataset gives whole
    batches of the plan's size, whatever `batch_size` is; here a sample is one patch, and the config's `batch_size`
    counts. Only a 1 in the file of a dataset without `plan_path`, as all of PaddleSeg3D's are, stands for the plan's
    batch. In the modes "val" and "test" a sample is a whole volume, as of every dataset, and scores are those of the
    original grid.

    Where `preprocessed_dir` has no plan yet, one is made of the labelled cases and kept there as JSON; see
    `medicalseg.planning.nnunet_plan`. Folds are PaddleSeg3D's: KFold(5, shuffle, seed 12345) over the sorted cases.

    Args:
        plans_name: file of the plan in `preprocessed_dir`.
        num_batches_per_epoch: kept for PaddleSeg3D's configurations; without effect.
        fold: number of the fold, or "all".
        dataset_directory: without effect.
        raw_data_dir: folder of the data, MSD's or nnU-Net's layout (imagesTr, labelsTr, dataset.json).
        decathlon_dir: the same in nnU-Net's layout; used if `raw_data_dir` is not there.
        cropped_data_dir: without effect.
        preprocessed_dir: folder of the plan.
        plan2d: make a plan for slices, where there is none.
        plan3d: make one for volumes.
        stage: which of the plan's networks; may be left out if it has one.
        cascade: stage 1 gets the labels of stage 0 as channels: those in `previous`.
        dataset_root: folder of the data if neither of the two above is given.
        result_dir: as in `PatchDataset`.
        use_multi_augmenter: without effect.
        transforms: instead of nnU-Net's augmentation.
        num_classes: classes, background included, if `dataset.json` is not to tell.
        unpack_data: without effect.
        mode: "train", "val" or "test".
        ignore_index: label id that is neither trained nor scored.
        num_threads: processes that read the cases for a plan, or its grey values; no more than there are cores.
        plan_path: the plan, instead of `preprocessed_dir` and `plans_name`.
        previous: label maps of stage 0, see `PatchDataset`; default: folder `pred_next_stage` in `preprocessed_dir`.
        preprocess: fields of `Preprocessing` that are not to be the plan's.
        **options: every other argument of `PatchDataset`; they replace what the plan says.

    Attributes:
        planned_batch: patches of the plan's batch.

    Raises:
        DataError: the folder, the description, a file or the split is wrong.
        ConfigError: an argument or the plan is wrong.
    """

    HOW_TO_GET = (
        "get MSD's Task06_Lung.tar from medicaldecathlon.com, unpack it, and name its folder as dataset_root "
        "(or raw_data_dir)"
    )

    @with_options_of(PatchDataset)
    def __init__(
        self,
        plans_name: str | None = None,
        num_batches_per_epoch: int = 250,
        fold: int | str = 0,
        dataset_directory: str | None = None,
        raw_data_dir: str | None = None,
        decathlon_dir: str | None = None,
        cropped_data_dir: str | None = None,
        preprocessed_dir: str | None = None,
        plan2d: bool = False,
        plan3d: bool = False,
        stage: int | None = None,
        cascade: bool = False,
        dataset_root: str | None = None,
        result_dir: str | None = None,
        use_multi_augmenter: bool = True,
        transforms: Sequence[Any] | None = None,
        num_classes: int | None = None,
        unpack_data: bool = True,
        mode: str = "train",
        ignore_index: int | None = 255,
        num_threads: int = 4,
        *,
        plan_path: str | None = None,
        previous: str | None = None,
        preprocess: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        _tell_ignored(locals())
        root = self._root(raw_data_dir, decathlon_dir, dataset_root)
        place = _plan_place(plan_path, preprocessed_dir, plans_name)
        flat = None if plan_path else _flat(plan2d, plan3d, place.name)
        self.plan = _plan(place, root, flat, min(num_threads, os.cpu_count() or 1))
        number = self.plan.stage_number(stage)
        planned = self.plan.stages[number]
        self.planned_batch = planned.batch_size
        settings = dataset_settings(self.plan, planned, mode == "train")
        settings["preprocess"] |= dict(preprocess or {})
        if cascade and number == 1:
            settings["previous"] = previous or _previous(preprocessed_dir)
            settings["previous_classes"] = self.plan.num_classes
        augmentation = [build(block, "transforms") for block in settings.pop("transforms", [])]
        super().__init__(
            str(root),
            augmentation if transforms is None else transforms,
            num_classes=num_classes,
            mode=mode,
            ignore_index=ignore_index,
            result_dir=None if result_dir is None or _is_top(result_dir) else result_dir,
            fold=fold,
            **{**settings, **options},
        )
        self._check_plan()
        if mode == "train":
            logger.info("The plan's batch has %d patches.", self.planned_batch)

    @staticmethod
    def takes_planned_batch(arguments: Mapping[str, Any]) -> bool:
        """Whether a configuration's `batch_size: 1` stands for the plan's batch.

        Args:
            arguments: the block of the configuration.
        """
        return not arguments.get("plan_path")

    @classmethod
    def _root(cls, *folders: str | None) -> Path:
        """The first folder that is there."""
        named = [Path(folder) for folder in folders if folder and not _is_top(folder)]
        for folder in named:
            if folder.is_dir():
                return folder
        listed = ", ".join(map(str, named)) or "raw_data_dir or dataset_root is not given"
        raise DataError(f"no such folder: {listed} (seen from {Path.cwd()}); {cls.HOW_TO_GET}")

    def _check_plan(self) -> None:
        """Refuse the plan of another dataset."""
        for what, planned, found in (
            ("classes besides the background", self.plan.num_classes, self.num_classes - 1),
            ("channels", self.plan.num_modalities, self.task.in_channels),
        ):
            if planned != found:
                raise ConfigError(
                    f"plan_path: {self.plan.source} is for {planned} {what}, {self.dataset_root} has {found}; "
                    "give this dataset's plan"
                )


def _tell_ignored(given: Mapping[str, Any]) -> None:
    for name, (default, why) in IGNORED.items():
        if given[name] != default:
            logger.info("MSDDataset.%s is ignored: %s.", name, why)


def _is_top(folder: str) -> bool:
    """Whether it is the file system's root, which PaddleSeg3D's configurations give where nothing is meant."""
    return Path(folder) == Path(Path(folder).anchor or "/")


def _flat(plan2d: bool, plan3d: bool, name: str) -> bool:
    """Whether a plan that is to be made is for slices."""
    if plan2d != plan3d:
        return plan2d
    return "2d" in name.lower()


def _plan_place(plan_path: str | None, folder: str | None, name: str | None) -> Path:
    if plan_path:
        return Path(plan_path)
    if not folder or not name:
        raise ConfigError(
            "plan_path: needed, or both preprocessed_dir and plans_name: the plan that NNUNet is built from"
        )
    return Path(folder) / name


def _plan(place: Path, root: Path, make_flat: bool | None, num_workers: int) -> NNUNetPlan:
    """The plan, made if it is not there and may be."""
    try:
        plan_file(place)
    except ConfigError:
        if make_flat is None:
            raise
        _make(place.with_suffix(".json"), root, make_flat, num_workers)
    plan = read_plan(place)
    if not lacks_intensities(plan):
        return plan
    from medicalseg.planning.nnunet_plan import measured_intensities

    logger.info("%s does not tell the grey values of the foreground; they are measured (once, then kept).", place)
    numbers = {int(channel): values for channel, values in measured_intensities(root, num_workers).items()}
    return replace(plan, intensities={**numbers, **plan.intensities})


def _make(place: Path, root: Path, flat: bool, num_workers: int) -> None:
    from medicalseg.planning.nnunet_plan import nnunet_plan

    logger.info("No plan at %s; making one from the cases of %s.", place, root)
    content = nnunet_plan(root, flat, num_workers)
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(place, content)


def _previous(preprocessed_dir: str | None) -> str:
    folder = Path(preprocessed_dir or "") / NEXT_STAGE
    if preprocessed_dir and folder.is_dir():
        return str(folder)
    raise ConfigError(
        "previous: stage 1 of a cascade needs the label maps of stage 0: run `medicalseg crossval` with the lowres "
        "configuration, and give its save_dir here"
    )
