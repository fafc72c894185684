"""Volumes and prepared arrays to check: what a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicalseg.cvlibs import manager
from medicalseg.datasets.decathlon_layout import read_layout
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.datasets.verify.source import Source, open_layout, open_source
from medicalseg.errors import ConfigError

TYPES = ("DecathlonDataset", "PatchDataset")
LABEL_KEYS = ("labels", "regions", "region_order", "ignore", "num_classes")


def describes_volumes(content: Mapping[str, Any]) -> bool:
    """Whether a configuration's datasets are folders of raw volumes."""
    return _section(content).get("type") in TYPES


def describes_arrays(content: Mapping[str, Any]) -> bool:
    """Whether a configuration's datasets are folders of prepared arrays with list files."""
    return _array_type(_section(content)) is not None


def _array_type(section: Mapping[str, Any]) -> type[MedicalDataset] | None:
    component = manager.DATASETS.components_dict.get(str(section.get("type")))
    return component if isinstance(component, type) and issubclass(component, MedicalDataset) else None


def _section(content: Mapping[str, Any]) -> Mapping[str, Any]:
    section = content.get("train_dataset") or content.get("val_dataset")
    return section if isinstance(section, Mapping) else {}


def _root(section: Mapping[str, Any]) -> Path:
    if "dataset_root" not in section:
        raise ConfigError("train_dataset: dataset_root is missing")
    return Path(section["dataset_root"])


def open_arrays(content: Mapping[str, Any]) -> Source:
    """The prepared folder of `train_dataset`, all of its lists, with the class names of the dataset's type.

    Raises:
        ConfigError: if the folder is missing from the configuration.
        DataError: if the folder or its lists are wrong.
    """
    section = _section(content)
    source, component = open_source(_root(section)), _array_type(section)
    if not source.labels and component is not None:
        names = dict(component.LABELS)
        source.labels = names if len(names) == section.get("num_classes", len(names)) else {}
    source.ignore_index = section.get("ignore_index", source.ignore_index)
    return source


def open_volumes(content: Mapping[str, Any]) -> Source:
    """The folder of `train_dataset`, with its label map; all labelled cases, whatever the fold.

    Raises:
        ConfigError: if the folder is missing from the configuration, or the label map is wrong.
        DataError: if the folder or its lists are wrong.
    """
    section = _section(content)
    layout = read_layout(_root(section), section.get("dataset_json"))
    label_map = layout.label_map(**{key: section.get(key) for key in LABEL_KEYS})
    source = open_layout(layout, label_map, section.get("images_dir"), section.get("labels_dir"))
    if label_map is None and layout.ignore_index is None:
        source.ignore_index = section.get("ignore_index", 255)
    source.unnamed = source.unnamed and section.get("num_classes") is None
    source.headers = bool(section.get("check_geometry", True))
    return source
