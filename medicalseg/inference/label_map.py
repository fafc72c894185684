"""Stored label values and the network's classes: gaps closed, values merged, regions that overlap, values ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.decision import MOST_STRUCTURES, unpack
from medicalseg.inference.label_values import as_values, check_values, values_by_name
from medicalseg.utils.words import few

BACKGROUND = "background"
TABLE = 1 << 17
PART = 1 << 18
_UNKNOWN = np.iinfo(np.int32).min
_IGNORED = _UNKNOWN + 1


@dataclass(frozen=True)
class LabelMap:
    """Which stored values belong to which class of a network.

    Attributes:
        classes: names, in the order of the network's channels.
        values: stored values per class; the first one is written for it.
        regions: the classes are regions that may overlap (sigmoids), class k has the id k + 1; else each voxel has one
            class (softmax), class k has the id k, and class 0 is the background.
        region_order: of regions the value that each paints into one written label map, later ones over earlier ones;
            None = one mask per region is written.
        ignore: stored values that are neither trained nor scored.
        background: of regions the stored values that are in none.

    Raises:
        ConfigError: if a value is wrong; names the key.
    """

    classes: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    regions: bool = False
    region_order: tuple[int, ...] | None = None
    ignore: tuple[int, ...] = ()
    background: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        key = "regions" if self.regions else "labels"
        if len(self.classes) != len(self.values) or not self.classes:
            raise ConfigError(f"{key}: expected stored values for every class, got {self.classes} and {self.values}")
        for name, values in zip(self.classes, self.values, strict=True):
            check_values(values, f"{key}.{name}")
        check_values(self.ignore, "ignore", least=0)
        used = {value for values in self.values for value in values}
        both = sorted(used & set(self.ignore))
        if both:
            raise ConfigError(f"ignore: the stored values {both} are also in '{key}'")
        (self._check_regions if self.regions else self._check_classes)(used)

    @classmethod
    def from_config(
        cls,
        labels: Any = None,
        regions: Any = None,
        region_order: Sequence[int] | None = None,
        ignore: int | Sequence[int] | None = None,
    ) -> LabelMap | None:
        """From a dataset's arguments; None where neither `labels` nor `regions` is given.

        Args:
            labels: stored value or list of values by name, in the order of the classes, as
                {background: 0, L5: 20, lumbar: [21, 22]}; or names by value, as {0: background, 20: L5}.
            regions: stored value or values by name of a region; regions may share values. A name "background" lists
                values of no region and is no channel.
            region_order: see `LabelMap.region_order`.
            ignore: stored value or values neither trained nor scored.

        Raises:
            ConfigError: if a value is wrong; names the key.
        """
        if labels is not None and regions is not None:
            raise ConfigError("labels, regions: give one of them: classes of which a voxel has one, or regions")
        if region_order is not None and regions is None:
            raise ConfigError("region_order: needs 'regions'")
        if labels is None and regions is None:
            if ignore is not None:
                raise ConfigError("ignore: needs 'labels' or 'regions' beside it, which say what the other values are")
            return None
        key = "labels" if regions is None else "regions"
        given = values_by_name(labels if regions is None else regions, key)
        background: tuple[int, ...] = (0,)
        if regions is not None:
            background = next((given.pop(name) for name in list(given) if name.lower() == BACKGROUND), background)
        ignored = () if ignore is None else as_values(ignore, "ignore")
        order = None if region_order is None else as_values(region_order, "region_order")
        return cls(tuple(given), tuple(given.values()), regions is not None, order, ignored, background)

    @property
    def names(self) -> dict[int, str]:
        """Names by id."""
        return dict(enumerate(self.classes, start=int(self.regions)))

    @property
    def num_classes(self) -> int:
        """Channels of the network's output."""
        return len(self.classes)

    @property
    def one_map(self) -> bool:
        """Whether predictions are written as one map of stored values."""
        return not self.regions or self.region_order is not None or self.num_classes == 1

    @property
    def stored_values(self) -> frozenset[int]:
        """All values that label files may hold."""
        return frozenset({*self._meaning})

    @property
    def stored_names(self) -> dict[int, str]:
        """What each stored value is: its class, all its regions, background or ignored."""
        names = dict.fromkeys(self.background, BACKGROUND) if self.regions else {}
        for name, values in zip(self.classes, self.values, strict=True):
            for value in values:
                names[value] = f"{names[value]}, {name}" if value in names else name
        return dict(sorted((names | dict.fromkeys(self.ignore, "ignored")).items()))

    def apply(self, stored: np.ndarray, ignore_index: int | None = None) -> np.ndarray:
        """The network's labels of stored values.

        Args:
            stored: (X, Y, Z) integers.
            ignore_index: what ignored values become.

        Returns:
            int32 ids (X, Y, Z); of regions uint8 masks (K, X, Y, Z).

        Raises:
            DataError: if a value belongs to no class; names it.
        """
        labels = self.labels(stored, ignore_index)
        return unpack(labels, self.num_classes, ignore_index) if self.regions else labels

    def labels(self, stored: np.ndarray, ignore_index: int | None = None) -> np.ndarray:
        """As `apply`, of regions as codes: bit k is set in region k, -1 where ignored.

        Returns:
            int32, shape of `stored`.

        Raises:
            DataError: if a value belongs to no class, or is ignored and there is no `ignore_index`.
        """
        stored = np.asarray(stored)
        low, high = (int(stored.min()), int(stored.max())) if stored.size else (0, 0)
        if high - min(low, 0) < TABLE:
            table = self._table(low, high)
            labels = _by_parts(lambda part: table[part], stored, np.int32)
        else:
            values, places = np.unique(stored, return_inverse=True)
            meanings = [self._meaning.get(int(value), _UNKNOWN) for value in values]
            labels = np.array(meanings, np.int32)[places.reshape(stored.shape)]
        if labels.size and labels.min() <= _IGNORED:
            self._check_known(stored, labels)
            if ignore_index is None:
                raise DataError(f"the stored values {list(self.ignore)} are ignored, which needs an ignore_index")
            labels[labels == _IGNORED] = -1 if self.regions else ignore_index
        return labels

    def to_stored(self, labels: np.ndarray) -> np.ndarray:
        """Stored values of the network's labels: the first value of a class, what the regions paint.

        Args:
            labels: ids, or codes of regions; others than the classes (ignored ones) become the first ignored value.

        Returns:
            The smallest type that holds all stored values, shape of `labels`.

        Raises:
            DataError: if regions have no `region_order` and so no single map.
        """
        if not self.one_map:
            raise DataError(f"the regions {list(self.classes)} overlap; one label map of them needs 'region_order'")
        written, unknown = self._written, self.ignore[0] if self.ignore else self._written[0]
        kind = _smallest_type([*written, unknown])

        def values_of(part: np.ndarray) -> np.ndarray:
            known = (part >= 0) & (part >> len(self.classes) == 0 if self.regions else part < len(self.classes))
            if not self.regions:
                return np.where(known, np.array(written, kind)[np.where(known, part, 0)], kind(unknown))
            result = np.full(part.shape, written[0], kind)
            for index, value in enumerate(written[1:]):
                result[part >> index & 1 == 1] = value
            result[~known] = unknown
            return result

        return _by_parts(values_of, np.asarray(labels), kind)

    def to_dict(self) -> dict[str, Any]:
        """JSON- and YAML-able form."""
        return {
            "classes": list(self.classes),
            "values": [list(values) for values in self.values],
            "regions": self.regions,
            "region_order": None if self.region_order is None else list(self.region_order),
            "ignore": list(self.ignore),
            "background": list(self.background),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> LabelMap | None:
        """Inverse of `to_dict`; None stays None.

        Raises:
            ConfigError: if a key is unknown or missing, or a value is wrong.
        """
        if content is None:
            return None
        names = {field.name for field in fields(cls)}
        if not isinstance(content, Mapping) or not {"classes", "values"} <= set(content) <= names:
            raise ConfigError(f"label_map: expected a dict with 'classes' and 'values', keys of {sorted(names)}")
        order = content.get("region_order")
        if not isinstance(content["values"], Sequence):
            raise ConfigError(f"label_map.values: expected a list of lists, got {content['values']!r}")
        return cls(
            classes=tuple(str(name) for name in content["classes"]),
            values=tuple(as_values(values, "label_map.values") for values in content["values"]),
            regions=bool(content.get("regions", False)),
            region_order=None if order is None else as_values(order, "label_map.region_order"),
            ignore=as_values(content.get("ignore", ()), "label_map.ignore"),
            background=as_values(content.get("background", (0,)), "label_map.background"),
        )

    @property
    def _meaning(self) -> dict[int, int]:
        """Id or code of every stored value."""
        meaning = dict.fromkeys(self.background, 0) if self.regions else {}
        for index, values in enumerate(self.values):
            for value in values:
                meaning[value] = meaning.get(value, 0) | 1 << index if self.regions else index
        return meaning | dict.fromkeys(self.ignore, _IGNORED)

    @property
    def _written(self) -> list[int]:
        """Value written for the background of regions, then for every class."""
        if not self.regions:
            return [values[0] for values in self.values]
        painted = self.region_order or tuple(values[0] for values in self.values)
        return [self.background[0], *painted]

    def _table(self, low: int, high: int) -> np.ndarray:
        """Meaning by value; negative values count from its end."""
        table = np.full(max(high, 0) - min(low, 0) + 1, _UNKNOWN, np.int32)
        for value, meaning in self._meaning.items():
            if low <= value <= high:
                table[value] = meaning
        return table

    def _check_known(self, stored: np.ndarray, labels: np.ndarray) -> None:
        unknown = labels == _UNKNOWN
        if unknown.any():
            values = [int(value) for value in np.unique(stored[unknown])]
            key, known = "regions" if self.regions else "labels", few(sorted(self.stored_values), 12)
            raise DataError(
                f"label value {few(values)} belongs to no class: '{key}' (of the configuration, else of dataset.json) "
                f"has {known}; add it to a class (several values may share one), to the background, or to 'ignore'"
            )

    def _check_classes(self, used: set[int]) -> None:
        seen: dict[int, str] = {}
        for name, values in zip(self.classes, self.values, strict=True):
            for value in values:
                if value in seen:
                    where = f"'{seen[value]}' and '{name}'"
                    raise ConfigError(
                        f"labels: the stored value {value} is in {where}; classes that overlap: 'regions'"
                    )
                seen[value] = name
        if seen.get(0, self.classes[0]) != self.classes[0] or (0 not in used and self.classes[0].lower() != BACKGROUND):
            raise ConfigError(f"labels: the first class must be the background, with the value 0; got {self.classes}")
        if self.region_order is not None:
            raise ConfigError("region_order: is about regions")

    def _check_regions(self, used: set[int]) -> None:
        if len(self.classes) > MOST_STRUCTURES:
            raise ConfigError(f"regions: at most {MOST_STRUCTURES}, got {len(self.classes)}")
        check_values(self.background, "regions.background")
        wrong = sorted(set(self.background) & (used | set(self.ignore)))
        if wrong:
            raise ConfigError(f"regions: the stored values {wrong} are background and also in a region or ignored")
        if self.region_order is None:
            return
        if len(self.region_order) != len(self.classes):
            raise ConfigError(
                f"region_order: expected one value per region ({len(self.classes)}), got {self.region_order}"
            )
        for name, values, value in zip(self.classes, self.values, self.region_order, strict=True):
            if value not in values:
                raise ConfigError(f"region_order: {value} is painted for '{name}', which has the values {list(values)}")


def _by_parts(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, kind: Any) -> np.ndarray:
    """A voxel-wise function of an array, some planes at a time, in the order of its memory."""
    if array.ndim == 0:
        return function(array)
    result = np.empty_like(array, dtype=kind)
    axis = int(np.argmax(np.abs(array.strides)))
    source, target = np.moveaxis(array, axis, 0), np.moveaxis(result, axis, 0)
    step = max(1, PART // max(1, array.size // max(1, len(source))))
    for first in range(0, len(source), step):
        target[first : first + step] = function(source[first : first + step])
    return result


def _smallest_type(values: Sequence[int]) -> Any:
    kinds = (np.uint8, np.uint16, np.int16, np.int32)
    low, high = min(values), max(values)
    return next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
