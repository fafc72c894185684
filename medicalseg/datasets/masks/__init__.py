"""Masks of pictures in the ways they are kept: ids, colours, a plane per structure, polygons, run lengths."""

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.fit import SizeMismatchError
from medicalseg.datasets.masks.formats import FORMATS, MaskFormat
from medicalseg.datasets.masks.index import IndexMasks
from medicalseg.datasets.masks.place import Classes, MaskCase

__all__ = ["FORMATS", "Classes", "IndexMasks", "MaskCase", "MaskFormat", "Masks", "SizeMismatchError"]
