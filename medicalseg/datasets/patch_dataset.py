"""Training on patches of raw volumes in the layout of MSD, nnU-Net or BIDS."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets.base import Item
from medicalseg.datasets.cache import GIGABYTE
from medicalseg.datasets.case import Case, naming
from medicalseg.datasets.decathlon import DecathlonDataset
from medicalseg.datasets.patches.block_file import block_sides
from medicalseg.datasets.patches.corrupt import CorruptPrevious
from medicalseg.datasets.patches.draw import PatchDraw, Voxel
from medicalseg.datasets.patches.prepare import prepare_all
from medicalseg.datasets.patches.previous import PreviousStage, parted
from medicalseg.datasets.patches.slab import Slab, in_plane_order
from medicalseg.datasets.patches.store import PatchStore
from medicalseg.datasets.patches.stored_volume import StoredVolume, normalized
from medicalseg.datasets.sides import warn_of_mirrored_sides
from medicalseg.errors import ConfigError
from medicalseg.inference.cascade import one_hot, with_ids
from medicalseg.inference.decision import unpack
from medicalseg.inference.preprocess import GridRecord
from medicalseg.inference.slices import SliceSpec
from medicalseg.transforms import (
    BinaryMaskToConnectComponent,
    Compose,
    LabelRemap,
    NnUNetAugmentation,
    SpatialTransform,
    TopkLargestConnectComponent,
)
from medicalseg.transforms.flat import grid_of
from medicalseg.transforms.patch_view import PatchView, Readable
from medicalseg.utils.seeding import sample_seed

FOREGROUND = 0.33
LABEL_CHANGING = (LabelRemap, BinaryMaskToConnectComponent, TopkLargestConnectComponent)
_ALONE = Compose([], normalize="none")


def with_options_of(parent: Any) -> Any:
    """Lets a constructor's `**options` be checked as the parent's arguments.

    Args:
        parent: the class.
    """

    def decorate(function: Any) -> Any:
        own = inspect.signature(function)
        named = {name: item for name, item in own.parameters.items() if item.kind is not item.VAR_KEYWORD}
        others = inspect.signature(parent).parameters.values()
        more = [
            item.replace(kind=item.KEYWORD_ONLY) for item in others if item.name not in named and item.name != "cache"
        ]
        function.__signature__ = own.replace(parameters=[*named.values(), *more])
        return function

    return decorate


@manager.DATASETS.add_component
class PatchDataset(DecathlonDataset):
    """As `DecathlonDataset`, but a training sample is a patch, and cases are kept on the disk in compressed blocks.

    The place of a patch and how it is turned, scaled and deformed are drawn first; then only the blocks that it shows
    are read. A sample depends on (seed, epoch, index) and nothing else. In the modes "val" and "test" a sample is the
    whole preprocessed volume.

    `normalize` (by the numbers of the whole volume; default: "none" if `preprocess` has `intensity` steps, else
    "zscore") comes before the transforms. Outside of the volume the image is then 0 and the label background, as
    nnU-Net's.

    Args:
        dataset_root: the folder.
        transforms: a `SpatialTransform` or `NnUNetAugmentation` may come first, and takes its patch size and place
            from here; what follows runs on the patch.
        patch_size: [x, y, z] in voxels of the network's grid; needed in training and for `validation_patches`. Of
            slices the two sides of the plane, or None for whole slices.
        foreground: share of the patches that are centred on a voxel of a class.
        class_sampling: "case" draws one of the classes of the case whose turn it is; "dataset" one of all cases'
            classes, then a case that has it. Whole slices have neither.
        overhang: how far a patch may reach beyond the volume, as a share of its side; where the volume is smaller than
            the patch, how far it may lie from the middle.
        previous: folder of label maps CASE.nii.gz of an earlier stage, or the save_dir of its crossval (fold_K/
            validation/CASE.nii.gz); appended to patches, one channel per class, and to whole volumes as one of ids.
        previous_classes: foreground classes of `previous`; default: this dataset's own.
        corrupt_previous: arguments of `CorruptPrevious`, what is done to those channels in training so that the network
            does not trust them blindly; an empty mapping for nnU-Net's numbers, None to leave them as they are.
        slices: for networks that see images, see `CaseDataset`. Without `patch_size` a sample is a whole slice, and
            `foreground` and `normalize` are as there.
        **options: every other argument of `DecathlonDataset`. `cache_gb` bounds the blocks of all settings together;
            those of this dataset, and of others in this process, are never deleted.

    Raises:
        DataError: if the folder, the description, a file or the split is wrong.
        ConfigError: if an argument is wrong.
    """

    @with_options_of(DecathlonDataset)
    def __init__(
        self,
        dataset_root: str,
        transforms: Sequence[Any] | None = None,
        *,
        patch_size: Sequence[int] | None = None,
        foreground: float | str | None = None,
        class_sampling: str = "case",
        overhang: float = 0.0,
        previous: str | None = None,
        previous_classes: int | None = None,
        corrupt_previous: Mapping[str, Any] | None = MappingProxyType({}),
        **options: Any,
    ) -> None:
        whole_slices = options.get("slices") is not None and patch_size is None
        if whole_slices and class_sampling != "case":
            raise ConfigError("class_sampling: draws the centres of patches; give a patch_size too, or leave it out")
        options = {**options, "cache": "none", "foreground": foreground if whole_slices else None}
        super().__init__(dataset_root, transforms, **_usual_normalization(options))
        self.patch_size = None if patch_size is None else _checked_size(patch_size, self.task.slices)
        if self.patch_size is None and self.mode == "train" and self.task.slices is None:
            raise ConfigError("patch_size: PatchDataset needs [x, y, z] in voxels, such as [64, 64, 64]")
        share: Any = FOREGROUND if foreground is None or whole_slices else foreground
        self._draw = PatchDraw(self.patch_size or (1, 1, 1), share, class_sampling, overhang)
        self._normalize = self.transforms.normalize_name
        self._previous = self._earlier_stage(previous, previous_classes)
        if self._previous is not None:
            self.transforms = Compose(self.transforms.transforms, normalize="none")
        self._corrupt = None if corrupt_previous is None else CorruptPrevious(**corrupt_previous)
        self._spatial, self._then = self._cutting()
        warn_of_mirrored_sides(self.task, self.transforms.transforms)
        self._limit = int(options.get("cache_gb", 20) * GIGABYTE)
        folder, ids = self._cache_folder / "patches", self.task.num_ids
        sides = self._block_sides()
        self._store = PatchStore(folder, self._reader, sides, ids, self.task.ignore_index, self._previous)

    def prepare(self, num_workers: int = 0) -> None:
        """Preprocess all cases ahead, in parallel; what is there already stays.

        Args:
            num_workers: processes; 0 or 1 works in this one.

        Raises:
            DataError: if cases are wrong; names them.
        """
        prepare_all(self._store, self.cases, num_workers)
        self._store.make_room(self.cases, self._limit)
        if self.mode == "train" and self._draw.class_sampling == "dataset":
            self._draw.owners(self.cases, self._store.table)

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Preprocessed image and label of the whole volume.

        Of a cascade the image is normalised already, and the last channel holds the ids of the earlier stage
        (`medicalseg.inference.cascade`).
        """
        file, label, earlier = self._store.image(case), self._store.label(case), self._store.earlier(case)
        image = file.read()
        if earlier is not None:
            image = normalized(image, file, self._normalize)
            image = with_ids(image, earlier.read())
        return image, None if label is None else self._as_stored(label.read())

    def record(self, index: int) -> GridRecord:
        """What preprocessing noted when it made the image."""
        case = self.case(index)
        with naming(case):
            return self._store.record(case)

    def validation_patches(self, count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Patches of this dataset's cases as they are, without augmentation; the same for the same seed.

        Args:
            count: number of patches.
            seed: of their places.

        Yields:
            Image float32 (C, x, y, z) and label as in training: int64 ids (x, y, z), of sigmoids uint8 masks
            (K, x, y, z).

        Raises:
            ConfigError: if there is no `patch_size`.
        """
        if self.patch_size is None:
            raise ConfigError("patch_size: validation_patches needs one; give it to val_dataset too")
        order = np.random.default_rng([seed & 0xFFFFFFFF, 1]).permutation(max(count, len(self.cases)))
        for number in range(count):
            with sample_seed(seed, number):
                case = self.cases[int(order[number]) % len(self.cases)]
                image, label, _ = self._patch(case, augmented=False)
            yield image, label

    def class_frequencies(self) -> np.ndarray:
        """Share of the labelled voxels of all cases, on the network's grid, that each class has; float64 (K,)."""
        tables = [table for case in self.cases if (table := self._store.table(case)) is not None]
        counts = np.stack([table.counts for table in tables]).sum(0, dtype=np.float64)
        labelled = sum(int(np.prod(table.shape)) - table.ignored for table in tables)
        return counts[self.task.num_ids - self.num_classes :] / max(labelled, 1)

    def _training_item(self, case: Case) -> Item:
        return super()._training_item(case) if self.patch_size is None else self._patch(case, augmented=True)

    def _patch(self, case: Case, augmented: bool) -> Item:
        case, centre = self._draw.choose(case, self.cases, self._store.table)
        with naming(case):
            volume, spec = self._volume(case), self.task.slices
            if spec is not None:
                volume = Slab(volume, spec)
                centre = None if centre is None else in_plane_order(centre, spec)
            starts = self._draw.starts(volume.sides, centre)
            size = self._draw.patch_size
            view = self._spatial.view(size) if augmented and self._spatial else PatchView(size)
            image, moved = (self._then if augmented else _ALONE)(*view.cut(volume, starts))
            image, label = self._finished(image, np.asarray(moved), augmented)
            return image, self._labels.to_train(label, self._reader.codes), case.name

    def _finished(self, image: np.ndarray, label: np.ndarray, augmented: bool) -> tuple[np.ndarray, np.ndarray]:
        """Channels of the earlier stage taken out of the label; slices as pictures."""
        if self._previous is not None:
            label, earlier = parted(label)
            image = np.concatenate([image, self._earlier_channels(earlier, augmented)])
        if self.task.slices is None:
            return image, label
        image, label = (self.task.slices.as_images(array[..., 0]) for array in (image, label))
        return np.ascontiguousarray(image), np.ascontiguousarray(label)

    def _block_sides(self) -> Voxel:
        if self.patch_size is None or self.task.slices is None:
            return block_sides(self.patch_size)
        sides = [self.task.slices.num_slices * self.task.slices.stride] * 3
        for axis, side in zip(self.task.slices.plane, self.patch_size, strict=False):
            sides[axis] = side
        return block_sides(sides)

    def _volume(self, case: Case) -> Readable:
        store = self._store
        files = store.image(case), store.label(case), store.earlier(case)
        return StoredVolume(*files, self._reader.codes, self._labels.ignored, self._normalize)

    def _earlier_channels(self, earlier: np.ndarray, augmented: bool) -> np.ndarray:
        masks = one_hot(earlier, self.task.previous_classes)
        return self._corrupt(masks) if augmented and self._corrupt is not None else masks

    def _as_stored(self, label: np.ndarray) -> np.ndarray:
        if not self._reader.codes:
            return label
        return unpack(label.astype(np.int32), self.task.num_classes, self._labels.ignored)

    def _cutting(self) -> tuple[SpatialTransform | None, Compose]:
        """What cuts the patch, and what comes then."""
        spatial, rest = None, list(self.transforms.transforms)
        if rest and isinstance(rest[0], (SpatialTransform, NnUNetAugmentation)):
            spatial, then = rest[0].cutting()
            rest = [*then, *rest[1:]]
            given = grid_of(spatial.patch_size, self._draw.patch_size) if spatial.patch_size else None
            if self.patch_size is not None and given not in (None, self.patch_size):
                raise ConfigError(
                    f"transforms.0.patch_size: {list(given)} differs from the dataset's patch_size "
                    f"{list(self.patch_size)}; leave it out there"
                )
        return spatial, Compose(rest, normalize="none")

    def _earlier_stage(self, folder: str | None, classes: int | None) -> PreviousStage | None:
        """The earlier stage, noted in the task."""
        if folder is None:
            if classes is not None:
                raise ConfigError("previous_classes: needs 'previous', the folder of the earlier stage's label maps")
            return None
        if self.task.slices is not None or self.task.overlapping:
            kind = "volumes" if self.task.slices is not None else "classes of which a voxel has one"
            raise ConfigError(f"previous: is for networks for {kind}; remove it")
        for number, transform in enumerate(self.transforms.transforms):
            if isinstance(transform, LABEL_CHANGING):
                name = type(transform).__name__
                raise ConfigError(f"transforms.{number}: {name} changes labels, which does not go with 'previous'")
        stage = PreviousStage(Path(folder), self.task.num_ids - 1 if classes is None else classes)
        self.task = replace(self.task, previous_classes=stage.classes)
        return stage


def _usual_normalization(options: dict[str, Any]) -> dict[str, Any]:
    steps = options.get("preprocess") or {}
    given = options.get("normalize") is not None or "normalize" in steps
    return options if given or not steps.get("intensity") else {**options, "normalize": "none"}


def _checked_size(value: Sequence[int], slices: SliceSpec | None) -> Voxel:
    sides = list(value) if isinstance(value, (list, tuple)) else []
    if slices is not None and len(sides) == 3 and sides[slices.axis] == 1:
        sides.pop(slices.axis)
    wanted = 3 if slices is None else 2
    if len(sides) != wanted or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides):
        what = "three positive integers (voxels)" if slices is None else "two positive integers, the sides of a slice"
        raise ConfigError(f"patch_size: expected {what}, got {value!r}")
    return (sides[0], sides[1], sides[2]) if slices is None else (sides[0], sides[1], 1)
