"""The pixels of an open picture as arrays, with the numbers the file stores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its usual name
from PIL import Image, ImageOps

from medicalseg.errors import VolumeError

_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 277, 338, 339
_TRANSPARENCY = (1, 2)
_UNSIGNED = 1
_WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
_ONE_VALUE = ("1", "L", "P", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_SEVERAL_VALUES = ("LA", "RGB", "RGBA")
_PNG_SAMPLES = {2: 3, 4: 2, 6: 4}
_PNG_GREY_ALPHA = 4


@dataclass(frozen=True)
class Kind:
    """How a picture stores its samples.

    Attributes:
        bits: of one sample.
        samples: per pixel, the transparency counted.
        alpha: the last sample is transparency.
        unsigned: whole numbers from 0.
        mode: Pillow's name of them.
        file_format: Pillow's name of the format.
    """

    bits: int
    samples: int
    alpha: bool
    unsigned: bool
    mode: str
    file_format: str

    @classmethod
    def of(cls, picture: Image.Image, path: Path) -> Kind:
        """Look at the header of an open picture."""
        bits, samples, unsigned, alpha = 8, len(picture.getbands()), True, picture.mode in _WITH_ALPHA
        if picture.format == "PNG":
            bits, colours = _png_header(path)
            samples = _PNG_SAMPLES.get(colours, 1)
            if bits == 16 and colours == _PNG_GREY_ALPHA:
                raise VolumeError("is grey of 16 bits with transparency, which is not read; save it without alpha")
        elif picture.format == "TIFF":
            tags = picture.tag_v2  # type: ignore[attr-defined]
            bits, samples = int(max(tags.get(_BITS_PER_SAMPLE, (1,)))), int(tags.get(_SAMPLES_PER_PIXEL, 1))
            extra = tags.get(_EXTRA_SAMPLES, ())
            alpha = samples in (2, 4) and len(extra) == 1 and extra[0] in _TRANSPARENCY
            unsigned = int(max(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))) == _UNSIGNED
        return cls(bits, samples, alpha, unsigned, picture.mode, picture.format or "")

    @property
    def beyond_pillow(self) -> bool:
        """Whether Pillow would cut the samples to 8 bits, multiply them with transparency or leave some of them out."""
        if self.mode in ("P", "PA") or self.samples == 1:
            return False
        return self.bits > 8 or (self.file_format == "TIFF" and self.samples != 3)

    def as_stored(self, array: np.ndarray) -> np.ndarray:
        """Numbers as Pillow gives them, back in the type and range of the file."""
        if array.dtype == bool:
            return array.astype(np.uint8)
        if self.mode == "L" and self.bits in (2, 4):
            return array // np.uint8(255 // (2**self.bits - 1))
        if array.dtype == np.int32:
            kind = {16: np.uint16 if self.unsigned else np.int16, 32: np.uint32 if self.unsigned else np.int32}
            return array.astype(kind.get(self.bits, np.int32))
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def pages(picture: Image.Image) -> Iterator[Image.Image]:
    """The pages of a TIFF; of other kinds the one picture.

    Raises:
        VolumeError: an animation.
    """
    count = getattr(picture, "n_frames", 1)
    if count > 1 and picture.format == "PNG":
        raise VolumeError(f"is an animation of {count} pictures; one picture is needed")
    for number in range(count if picture.format == "TIFF" else 1):
        picture.seek(number)
        yield picture


def pixels(picture: Image.Image, kind: Kind, *, indices: bool) -> np.ndarray:
    """One page, (W, H) or (C, W, H), turned upright as its orientation tag says.

    Args:
        picture: an open picture, at this page.
        kind: of the picture.
        indices: of a palette give the indices, not the colours.

    Raises:
        VolumeError: colours that are not read (CMYK ...).
    """
    picture.load()
    turned = ImageOps.exif_transpose(picture) or picture
    if turned.mode in ("P", "PA"):
        turned = turned.getchannel(0) if indices and turned.mode == "PA" else turned
        turned = turned if indices else _coloured(turned)
    elif turned.mode == "YCbCr":
        turned = turned.convert("RGB")
    if turned.mode not in (*_ONE_VALUE, *_SEVERAL_VALUES):
        raise VolumeError(f"has {turned.mode} colours, which are not read; save it as grey or RGB")
    array = kind.as_stored(np.asarray(turned))
    return array.T if array.ndim == 2 else array.transpose(2, 1, 0)


def pixels_beyond_pillow(path: Path) -> np.ndarray:
    """A picture with samples that Pillow does not give, (C, W, H, Z).

    Raises:
        VolumeError: SimpleITK cannot read it either, or it is too large.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if Image.MAX_IMAGE_PIXELS and math.prod(reader.GetSize()[:2]) > 2 * Image.MAX_IMAGE_PIXELS:
            raise VolumeError(too_large())
        image = reader.Execute()
    except RuntimeError as error:
        raise VolumeError("is damaged, or of a kind that is not read; save it with 8 bits per sample") from error
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., None]
    array = array if image.GetDimension() == 3 else array[None]
    return array.transpose(3, 2, 1, 0)


def too_large() -> str:
    """What is said about a picture with more pixels than Pillow's limit."""
    return f"has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels; cut it into tiles"


def _coloured(picture: Image.Image) -> Image.Image:
    """A palette picture in its colours, or as grey where they all are."""
    colours = picture.convert("RGB")
    red, green, blue = (np.asarray(channel) for channel in colours.split())
    return colours.getchannel(0) if np.array_equal(red, green) and np.array_equal(red, blue) else colours


def _png_header(path: Path) -> tuple[int, int]:
    """Bits per sample, and the number that tells which samples there are (PNG specification, 11.2.1)."""
    with open(path, "rb") as handle:
        header = handle.read(26)
    return header[24], header[25]
