"""Pictures: PNG, JPEG, TIFF and BMP. They have no place in the patient.

A picture of W columns and H rows is an array (W, H, 1), a colour picture (3, W, H, 1); columns run to the patient's
left, rows down. The resolution that such a file may state is meant for printers and screens and is not used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from medicalseg.errors import VolumeError
from medicalseg.io.image_pixels import Kind, pages, pixels, pixels_beyond_pillow, too_large
from medicalseg.io.stored import Stored
from medicalseg.io.volume import Volume
from medicalseg.utils.colours import class_colour
from medicalseg.utils.files import atomic_path

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
SUFFIXES = tuple(FORMATS)
WRITABLE = (".png", ".tif", ".tiff")
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])

_LOSSY = ("jpeg", "tiff_jpeg", "webp")
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read(path: Path, *, keep_alpha: bool = False) -> Stored:
    """Read a picture as an image: a palette gives its colours.

    Args:
        path: the file.
        keep_alpha: keep what the file calls transparency as the last channel.

    Raises:
        VolumeError: damaged, too large, under a wrong name, or of a kind that is not read.
    """
    return _read(path, label=False, keep_alpha=keep_alpha)


def read_label(path: Path) -> Stored:
    """Read a picture as a label map: a palette gives its indices, a colour picture with equal channels one of them.

    Raises:
        VolumeError: as `read`; for colours; and for lossy compression, which changes ids.
    """
    return _read(path, label=True)


def is_stack(path: Path) -> bool:
    """Whether a file is a picture of several pages."""
    try:
        with _opened(path) as picture:
            return picture is not None and picture.format == "TIFF" and getattr(picture, "n_frames", 1) > 1
    except (VolumeError, OSError, ValueError, SyntaxError):
        return False


def has_colours(path: Path) -> bool:
    """Whether a file is a picture with red, green and blue, or a palette; only its header is read."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return False
    try:
        with Image.open(path, formats=[kind]) as picture:
            return picture.mode not in _GREY
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _read(path: Path, *, label: bool, keep_alpha: bool = False) -> Stored:
    with _opened(path) as picture:
        if picture is None:
            return _finished(pixels_beyond_pillow(path), alpha=False, label=label)
        if label and (picture.format in ("JPEG", "MPO") or picture.info.get("compression") in _LOSSY):
            raise VolumeError("has lossy compression (JPEG), which changes class ids; save label maps as PNG")
        kind = Kind.of(picture, path)
        parts = [pixels(page, kind, indices=label) for page in pages(picture)]
    if len({part.shape for part in parts}) > 1:
        raise VolumeError("has pages of different sizes; one picture, or pages of one size, are needed")
    array = pixels_beyond_pillow(path) if kind.beyond_pillow else np.stack(parts, axis=-1)
    if kind.beyond_pillow and array.dtype.itemsize * 8 < kind.bits:
        raise VolumeError(f"has {kind.samples} samples of {kind.bits} bits in a layout that is not read")
    return _finished(array, alpha=kind.alpha and not keep_alpha, label=label)


def _finished(array: np.ndarray, *, alpha: bool, label: bool) -> Stored:
    """(W, H, Z) or (C, W, H, Z) without its alpha, and what to say about it."""
    notes: tuple[str, ...] = ()
    if alpha and array.ndim == 4:
        if (array[-1] != array[-1].flat[0]).any():
            notes = ("its transparency (alpha channel) is left out",)
        array = array[:-1]
    if label and array.ndim == 4 and len(array) > 1:
        if not (array[1:] == array[:1]).all():
            raise VolumeError(
                "has colours; a label map has one value per pixel (mask_format: palette of an ImageDataset "
                "turns colours to ids)"
            )
        array = array[:1]
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    return Stored(np.asfortranarray(array), AFFINE, notes)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image | None]:
    """The checked picture; None for a TIFF that Pillow does not know."""
    expected = FORMATS[path.suffix.lower()]
    # A handle, not the name: by name Pillow maps raw TIFFs into memory and then turns them wrongly.
    with open(path, "rb") as handle:
        try:
            if expected == "PNG":
                Image.open(handle, formats=[expected]).verify()
                handle.seek(0)
            picture = Image.open(handle, formats=[expected])
        except UnidentifiedImageError as error:
            found = _format(path)
            if not found == "TIFF" == expected:
                also = f"; it is a {found} file, so rename it" if found and found != expected else ""
                raise VolumeError(f"is no {expected} file, or its beginning is damaged{also}") from error
            picture = None
        except Image.DecompressionBombError as error:
            raise VolumeError(too_large()) from error
        yield picture


def _format(path: Path) -> str | None:
    with open(path, "rb") as handle:
        head = handle.read(4)
    if head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    try:
        with Image.open(path) as picture:
            return picture.format
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def write(volume: Volume, path: Path) -> None:
    """Write a PNG or TIFF; atomic. The geometry is not kept.

    A label map becomes a PNG with a palette (ids as stored values, a colour per class), or 16-bit grey where an id is
    above 255. Images are grey of 8 or 16 bits or 8-bit RGB; a TIFF may hold float32, int32 and several slices as pages.

    Raises:
        VolumeError: values, channels or slices that the format cannot hold.
    """
    suffix = path.suffix.lower()
    if volume.shape[2] > 1 and suffix == ".png":
        raise VolumeError(f"a PNG holds one picture, not {volume.shape[2]} slices; use .tif or .nii.gz")
    slices = [volume.array[..., index] for index in range(volume.shape[2])]
    pictures = [_picture(part, volume, FORMATS[suffix]) for part in slices]
    with atomic_path(path) as temporary:
        if suffix == ".png":
            pictures[0].save(temporary, format="PNG")
        else:
            more = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
            pictures[0].save(temporary, format="TIFF", compression="tiff_deflate", **more)


def _picture(array: np.ndarray, volume: Volume, target: str) -> Image.Image:
    """A picture of (W, H) or (3, W, H)."""
    if array.ndim == 3 and len(array) > 1:
        if len(array) != 3 or array.dtype != np.uint8:
            raise VolumeError(f"pictures hold one channel, or three of type uint8, not {len(array)} of {array.dtype}")
        return Image.fromarray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    plane = np.ascontiguousarray((array[0] if array.ndim == 3 else array).T)
    number_type = _number_type(volume.array, target)
    picture = Image.fromarray(plane.astype(number_type))
    if volume.is_label and target == "PNG" and number_type == np.uint8:
        picture.putpalette(_palette())
    return picture


def _number_type(array: np.ndarray, target: str) -> np.dtype:
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        if array.dtype == np.uint8 or (array.dtype != np.uint16 and 0 <= low <= high <= 255):
            return np.dtype(np.uint8)
        if 0 <= low <= high <= np.iinfo(np.uint16).max:
            return np.dtype(np.uint16)
        if target == "TIFF" and np.iinfo(np.int32).min <= low <= high <= np.iinfo(np.int32).max:
            return np.dtype(np.int32)
    elif target == "TIFF" and array.dtype != np.float64:
        return np.dtype(np.float32)
    allowed = {"PNG": "whole numbers from 0 to 65535", "TIFF": "32-bit numbers"}[target]
    raise VolumeError(f"a {target} file holds {allowed}, not {array.dtype} from {low:g} to {high:g}; use .nii.gz")


def _palette() -> bytes:
    colours = [(0.0, 0.0, 0.0), *(class_colour(index) for index in range(1, 256))]
    return bytes(round(255 * part) for colour in colours for part in colour)
