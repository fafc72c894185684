"""Where pictures and their masks usually lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medicalseg.io import is_picture, suffix_of

IMAGE_FOLDERS = ("images", "imgs")
MASK_FOLDERS = ("masks", "labels", "annotations")


def picture_folders(root: Path | None, images: Path | None = None, masks: Path | None = None) -> tuple[str, str] | None:
    """Folders of images and masks, relative to `root`: those given, else by their usual names; None if no pictures."""
    if root is None:
        given = images is not None and masks is not None and has(images, is_picture)
        return (str(images.resolve()), str(masks.resolve())) if given and images and masks else None
    image_folder = next((name for name in IMAGE_FOLDERS if has(root / name, is_picture)), None)
    mask_folder = next((name for name in MASK_FOLDERS if has(root / name, is_mask)), None)
    return None if image_folder is None or mask_folder is None else (image_folder, mask_folder)


def why_no_pictures(root: Path) -> str | None:
    """Why a folder with images/ is none with pictures and masks; None where it has no such folder or has both."""
    name = next((name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if name is None or picture_folders(root) is not None:
        return None
    if not has(root / name, is_picture):
        return f"no picture in {name}/"
    masks = next(
        (f"no mask files in {mask}/" for mask in MASK_FOLDERS if (root / mask).is_dir()), "no masks/ or labels/"
    )
    return (
        f"pictures in {name}/, but {masks}: check them with --config FILE, a configuration whose datasets tell how "
        "the masks are kept (mask_format)"
    )


def is_mask(path: Path) -> bool:
    """Whether a name is that of a mask: a picture, a volume or polygons."""
    return bool(suffix_of(path)) or path.suffix == ".txt"


def has(folder: Path, wanted: Callable[[Path], bool]) -> bool:
    """Whether a folder has a file that is wanted; hidden ones do not count."""
    if not folder.is_dir():
        return False
    return any(wanted(path) for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
