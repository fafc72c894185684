"""What an earlier export left in a folder, which a new one replaces."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from medicalseg.errors import CheckpointError
from medicalseg.inference.backends import ModelFiles

DEPLOY = "deploy.yaml"
MEMBERS = "member_*/deploy.yaml"


def named_files(folder: Path) -> set[Path]:
    """Files that the deploy.yaml of an export names: its model's, and those of its members with their deploy.yaml.

    Nothing outside `folder` and its folders member_*, and nothing if there is no deploy.yaml that can be read.
    """
    try:
        description = ModelFiles.read(folder / DEPLOY).description
    except CheckpointError:
        return set()
    files = {folder / name for name in description.get("sha256") or {} if name == Path(name).name}
    for name in description.get("members") or []:
        if Path(name).match(MEMBERS) and len(Path(name).parts) == 2:
            files |= {folder / name, *named_files((folder / name).parent)}
    return files


def remove(files: Collection[Path]) -> None:
    """Delete files, and the folders of members that are empty then."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in {file.parent for file in files if file.parent.match("member_*")}:
        with contextlib.suppress(OSError):
            folder.rmdir()
