"""What a trained network does: its classes and its preprocessing, carried by every checkpoint and deployed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.decision import MOST_STRUCTURES, Decision, codes_of_ids, pack
from medicalseg.inference.intensity import nearest
from medicalseg.inference.label_map import BACKGROUND, LabelMap
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.slices import SliceSpec
from medicalseg.io import Volume

RESTORING = ("labels", "scores")


@dataclass(frozen=True)
class TaskSpec:
    """Classes, class groups and preprocessing of one segmentation task.

    Attributes:
        num_classes: channels of the network's output: of a softmax the classes, the background counted; of sigmoids
            the structures, without a background.
        labels: name per id; ids without a name are called "class N", 0 of a sigmoid "background". The structure of a
            sigmoid's channel k has the id k + 1.
        class_groups: ids per group name; a report prints one mean Dice for each.
        preprocessing: from a stored volume to the network's input.
        in_channels: channels of the image.
        ignore_index: label id that is neither trained nor scored; None = all count.
        notes: lines that every report repeats, such as a leaking split.
        head: "softmax" (every voxel has one class) or "sigmoid" (structures may overlap; a single one is binary).
        threshold: probability from which on a sigmoid's structure is present.
        slices: how a network for images sees the volume; None = a network for volumes.
        sliding: arguments of `SlidingWindow`, how volumes go through the network unless asked otherwise; None = in one
            piece.
        restoring: what is interpolated to the original grid: "labels" (decided on the network's grid) or "scores"
            (probabilities, decided on the original grid).
        postprocessing: blocks {type, ...} of `medicalseg.postprocessing`, applied in order to labels on the original
            grid.
        previous_classes: one-hot channels that the labels of an earlier network, of so many foreground ids, add to the
            input behind the image's channels (a cascade); 0 = none.
        label_map: which values stored in label files are which classes; None = files hold ids, or masks of structures.
        stored_channels: channels of an image before `preprocessing.channels` takes some of them; None = not known.
        contrasts: where the channels of an image were files of BIDS' contrasts, their suffixes in order ("T1w", "T2w").

    Raises:
        ConfigError: if a value is wrong; names the field.
    """

    num_classes: int
    labels: dict[int, str] = field(default_factory=dict)
    class_groups: dict[str, tuple[int, ...]] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    in_channels: int = 1
    ignore_index: int | None = 255
    notes: tuple[str, ...] = ()
    head: str = "softmax"
    threshold: float = 0.5
    slices: SliceSpec | None = None
    sliding: dict[str, Any] | None = None
    restoring: str = "labels"
    postprocessing: tuple[dict[str, Any], ...] = ()
    previous_classes: int = 0
    label_map: LabelMap | None = None
    stored_channels: int | None = None
    contrasts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_channels", "stored_channels"):
            value = getattr(self, name)
            if value is None and name == "stored_channels":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"task.{name}: expected a positive integer, got {value!r}")
        ignore = self.ignore_index
        if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int)):
            raise ConfigError(f"task.ignore_index: expected an integer or null, got {ignore!r}")
        try:
            Decision(self.head, self.threshold)
        except ConfigError as error:
            raise ConfigError(f"task.{error}") from error
        if self.head == "sigmoid" and self.num_classes > MOST_STRUCTURES:
            raise ConfigError(f"task.num_classes: at most {MOST_STRUCTURES} structures may overlap")
        if self.restoring not in RESTORING:
            raise ConfigError(f"task.restoring: expected one of {list(RESTORING)}, got {self.restoring!r}")
        previous = self.previous_classes
        if isinstance(previous, bool) or not isinstance(previous, int) or previous < 0:
            raise ConfigError(f"task.previous_classes: expected a number of classes from 0 on, got {previous!r}")
        object.__setattr__(self, "postprocessing", tuple(dict(step) for step in self.postprocessing))
        self._check_label_map()
        object.__setattr__(self, "labels", self._checked_labels())
        object.__setattr__(self, "class_groups", self._checked_groups())
        notes = (self.notes,) if isinstance(self.notes, str) else self.notes
        object.__setattr__(self, "notes", tuple(str(note) for note in notes))
        object.__setattr__(self, "contrasts", _checked_contrasts(self.contrasts))

    def name(self, label: int) -> str:
        """Name of a class id."""
        unnamed = BACKGROUND if label == 0 and self.head == "sigmoid" else f"class {label}"
        return self.labels.get(label, unnamed)

    @property
    def num_ids(self) -> int:
        """Ids that labels may have, the background's 0 counted."""
        return self.num_classes + 1 if self.head == "sigmoid" else self.num_classes

    @property
    def names(self) -> list[str]:
        """Names of all ids."""
        return [self.name(label) for label in range(self.num_ids)]

    @property
    def decision(self) -> Decision:
        """How the network's logits become labels."""
        return Decision(self.head, self.threshold)

    @property
    def spatial_axes(self) -> int:
        """Axes of what the network sees: 2 for images, 3 for volumes."""
        return 3 if self.slices is None else 2

    @property
    def network_channels(self) -> int:
        """Channels of the network's input: those of the image and of earlier labels, for every slice of a stack."""
        return (self.in_channels + self.previous_classes) * (1 if self.slices is None else self.slices.num_slices)

    @property
    def files_per_image(self) -> int:
        """Files that may be the channels of one image; 1 where they are the colours of a picture."""
        used = self.preprocessing.channels
        if self.preprocessing.colour == "rgb":
            return 1
        return self.in_channels if used is None else self.stored_channels or max(used) + 1

    @property
    def overlapping(self) -> bool:
        """Whether labels are codes of structures that may overlap, rather than ids."""
        return self.head == "sigmoid" and self.num_classes > 1

    def labels_of(self, reference: np.ndarray) -> np.ndarray:
        """A reference in the form of the network's labels.

        Args:
            reference: values as stored (X, Y, Z), which are ids unless there is a label map, or masks (K, X, Y, Z) of
                sigmoids' structures.

        Returns:
            (X, Y, Z): of a softmax ids, of sigmoids codes (int32), -1 where the id is `ignore_index`.

        Raises:
            DataError: if the masks are not those of the structures, or an id or value has none.
        """
        if reference.ndim == 4:
            if self.head != "sigmoid" or len(reference) != self.num_classes:
                kind = f"{self.num_classes} structures" if self.head == "sigmoid" else "ids, not masks"
                raise DataError(f"the label has {len(reference)} masks; the task has {kind}")
            return pack(reference, self.ignore_index)
        if self.label_map is not None:
            return self.label_map.labels(reference, self.ignore_index)
        if self.head == "softmax":
            return reference
        low, high = (int(reference.min()), int(reference.max())) if reference.size else (0, 0)
        if low < 0 or high > self.num_classes:
            ignored = [] if self.ignore_index is None else [self.ignore_index]
            known = np.isin(reference, [*range(self.num_ids), *ignored])
            if not known.all():
                raise DataError(f"label id {reference[~known][0]} is not among the ids 0 to {self.num_classes}")
        return codes_of_ids(reference, self.ignore_index)

    def restore(self, labels: np.ndarray, record: GridRecord) -> Volume:
        """Labels of the network, ids or codes, on the original grid; see `Preprocessing.restore`."""
        return self.preprocessing.restore(labels, record, self.num_classes if self.overlapping else None)

    def to_dict(self) -> dict[str, Any]:
        """JSON- and YAML-able form."""
        return {
            "num_classes": self.num_classes,
            "labels": {str(label): name for label, name in self.labels.items()},
            "class_groups": {name: list(ids) for name, ids in self.class_groups.items()},
            "preprocessing": self.preprocessing.to_dict(),
            "in_channels": self.in_channels,
            "ignore_index": self.ignore_index,
            "notes": list(self.notes),
            "head": self.head,
            "threshold": self.threshold,
            "slices": None if self.slices is None else self.slices.to_dict(),
            "sliding": None if self.sliding is None else dict(self.sliding),
            "restoring": self.restoring,
            "postprocessing": [dict(step) for step in self.postprocessing],
            "previous_classes": self.previous_classes,
            "label_map": None if self.label_map is None else self.label_map.to_dict(),
            "stored_channels": self.stored_channels,
            "contrasts": list(self.contrasts),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TaskSpec:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: if a key is unknown or missing, or a value is wrong.
        """
        if not isinstance(content, Mapping) or "num_classes" not in content:
            raise ConfigError(f"task: expected a dict with at least 'num_classes', got {content!r}")
        names = [item.name for item in fields(cls)]
        for key in content:
            if key not in names:
                raise ConfigError(f"task.{key}: unknown key; allowed: {names}{nearest(key, names)}")
        values = dict(content)
        values["preprocessing"] = Preprocessing.from_dict(values.get("preprocessing"))
        values["slices"] = SliceSpec.from_dict(values.get("slices"))
        values["label_map"] = LabelMap.from_dict(values.get("label_map"))
        return cls(**values)

    def _check_label_map(self) -> None:
        known = self.label_map
        if known is None:
            return
        if known.num_classes != self.num_classes:
            raise ConfigError(f"task.num_classes: {self.num_classes}, but the label map has {known.num_classes}")
        if known.regions != (self.head == "sigmoid"):
            wanted = "'sigmoid' for regions" if known.regions else "'softmax' for classes"
            raise ConfigError(f"task.head: expected {wanted} of a label map, got {self.head!r}")
        if known.ignore and self.ignore_index is None:
            raise ConfigError("task.ignore_index: is null, but the label map ignores values; give an id such as 255")
        if not self.labels:
            object.__setattr__(self, "labels", known.names)

    def _checked_labels(self) -> dict[int, str]:
        try:
            labels = {int(label): str(name) for label, name in dict(self.labels).items()}
        except (TypeError, ValueError) as error:
            raise ConfigError(f"task.labels: expected names by integer id, got {self.labels!r}") from error
        wrong = [label for label in labels if not 0 <= label < self.num_ids and label != self.ignore_index]
        if wrong:
            raise ConfigError(f"task.labels: ids {wrong} do not exist; ids are 0 to {self.num_ids - 1}")
        return dict(sorted(labels.items()))

    def _checked_groups(self) -> dict[str, tuple[int, ...]]:
        if not isinstance(self.class_groups, Mapping):
            raise ConfigError(f"task.class_groups: expected lists of ids by group name, got {self.class_groups!r}")
        return {str(name): self._checked_group(str(name), ids) for name, ids in self.class_groups.items()}

    def _checked_group(self, name: str, ids: Any) -> tuple[int, ...]:
        if not isinstance(ids, Sequence) or isinstance(ids, str) or not ids:
            raise ConfigError(f"task.class_groups.{name}: expected a list of ids, got {ids!r}")
        wrong = [label for label in ids if isinstance(label, bool) or not isinstance(label, int)]
        wrong += [label for label in ids if label not in wrong and not 0 <= label < self.num_ids]
        if wrong:
            raise ConfigError(f"task.class_groups.{name}: {wrong} are not among the ids 0 to {self.num_ids - 1}")
        return tuple(ids)


def _checked_contrasts(contrasts: Any) -> tuple[str, ...]:
    names = tuple(contrasts) if isinstance(contrasts, (list, tuple)) else (contrasts,)
    if any(not isinstance(name, str) or not name for name in names) or len(set(names)) < len(names):
        raise ConfigError(f"task.contrasts: expected different suffixes such as [T1w, T2w], got {contrasts!r}")
    return names
