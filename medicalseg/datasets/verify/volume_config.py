"""Volumes to check: what a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicalseg.datasets.decathlon_layout import read_layout
from medicalseg.datasets.verify.source import Source, open_layout
from medicalseg.errors import ConfigError

TYPES = ("DecathlonDataset", "PatchDataset")
LABEL_KEYS = ("labels", "regions", "region_order", "ignore", "num_classes")


def describes_volumes(content: Mapping[str, Any]) -> bool:
    """Whether a configuration's datasets are folders of raw volumes."""
    section = content.get("train_dataset") or content.get("val_dataset") or {}
    return isinstance(section, Mapping) and section.get("type") in TYPES


def open_volumes(content: Mapping[str, Any]) -> Source:
    """The folder of `train_dataset`, with its label map; all labelled cases, whatever the fold.

    Raises:
        ConfigError: if the folder is missing from the configuration, or the label map is wrong.
        DataError: if the folder or its lists are wrong.
    """
    section = content.get("train_dataset") or content.get("val_dataset") or {}
    if "dataset_root" not in section:
        raise ConfigError("train_dataset: dataset_root is missing")
    layout = read_layout(Path(section["dataset_root"]), section.get("dataset_json"))
    label_map = layout.label_map(**{key: section.get(key) for key in LABEL_KEYS})
    source = open_layout(layout, label_map, section.get("images_dir"), section.get("labels_dir"))
    if label_map is None and layout.ignore_index is None:
        source.ignore_index = section.get("ignore_index", 255)
    source.unnamed = source.unnamed and section.get("num_classes") is None
    return source
