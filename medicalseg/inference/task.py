"""What a trained network does: its classes and its preprocessing, carried by every checkpoint and deployed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from medicalseg.errors import ConfigError
from medicalseg.inference.intensity import nearest
from medicalseg.inference.preprocess import Preprocessing


@dataclass(frozen=True)
class TaskSpec:
    """Classes, class groups and preprocessing of one segmentation task.

    Attributes:
        num_classes: classes, the background counted.
        labels: name per id; ids without a name are called "class N".
        class_groups: ids per group name; a report prints one mean Dice for each.
        preprocessing: from a stored volume to the network's input.
        in_channels: channels of that input.
        ignore_index: label id that is neither trained nor scored; None = all count.
        notes: lines that every report repeats, such as a leaking split.

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

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_channels"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"task.{name}: expected a positive integer, got {value!r}")
        ignore = self.ignore_index
        if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int)):
            raise ConfigError(f"task.ignore_index: expected an integer or null, got {ignore!r}")
        object.__setattr__(self, "labels", self._checked_labels())
        object.__setattr__(self, "class_groups", self._checked_groups())
        notes = (self.notes,) if isinstance(self.notes, str) else self.notes
        object.__setattr__(self, "notes", tuple(str(note) for note in notes))

    def name(self, label: int) -> str:
        """Name of a class id."""
        return self.labels.get(label, f"class {label}")

    @property
    def names(self) -> list[str]:
        """Names of all classes by id."""
        return [self.name(label) for label in range(self.num_classes)]

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
        return cls(**values)

    def _checked_labels(self) -> dict[int, str]:
        try:
            labels = {int(label): str(name) for label, name in dict(self.labels).items()}
        except (TypeError, ValueError) as error:
            raise ConfigError(f"task.labels: expected names by integer id, got {self.labels!r}") from error
        wrong = [label for label in labels if not 0 <= label < self.num_classes and label != self.ignore_index]
        if wrong:
            raise ConfigError(f"task.labels: ids {wrong} do not exist among {self.num_classes} classes")
        return dict(sorted(labels.items()))

    def _checked_groups(self) -> dict[str, tuple[int, ...]]:
        if not isinstance(self.class_groups, Mapping):
            raise ConfigError(f"task.class_groups: expected lists of ids by group name, got {self.class_groups!r}")
        return {str(name): self._checked_group(str(name), ids) for name, ids in self.class_groups.items()}

    def _checked_group(self, name: str, ids: Any) -> tuple[int, ...]:
        if not isinstance(ids, Sequence) or isinstance(ids, str) or not ids:
            raise ConfigError(f"task.class_groups.{name}: expected a list of ids, got {ids!r}")
        wrong = [label for label in ids if isinstance(label, bool) or not isinstance(label, int)]
        wrong += [label for label in ids if label not in wrong and not 0 <= label < self.num_classes]
        if wrong:
            raise ConfigError(f"task.class_groups.{name}: {wrong} are not ids among {self.num_classes} classes")
        return tuple(ids)
