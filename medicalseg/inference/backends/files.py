"""The files that deploy.yaml names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medicalseg.errors import CheckpointError
from medicalseg.inference.backends.runtime import first_line
from medicalseg.utils.files import file_hash


@dataclass(frozen=True)
class ModelFiles:
    """An exported model on disk.

    Attributes:
        path: its deploy.yaml.
        description: the content of `Deploy` in it.
    """

    path: Path
    description: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, deploy: str | Path) -> ModelFiles:
        """Read a deploy.yaml, or the one in a folder.

        Raises:
            CheckpointError: if it is missing, unreadable or incomplete.
        """
        path = Path(deploy) / "deploy.yaml" if Path(deploy).is_dir() else Path(deploy)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); tools/export.py writes it") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: not a YAML file: {first_line(error)}") from error
        description = content.get("Deploy") if isinstance(content, dict) else None
        if not isinstance(description, dict) or not (
            {"model", "params"} <= description.keys() or "onnx" in description or description.get("members")
        ):
            raise CheckpointError(f"{path}: has no 'Deploy' with 'model' and 'params'; tools/export.py writes it")
        if "task" not in description:
            raise CheckpointError(
                f"{path}: has no 'task' (preprocessing and classes): export the model with this version"
            )
        return cls(path, description)

    @property
    def members(self) -> list[Path]:
        """The deploy.yaml of every network of an ensemble; none of a single network.

        Raises:
            CheckpointError: if one is missing or was changed.
        """
        names = self.description.get("members") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"{self.path}: 'members' must be a list of files, got {names!r}")
        return [self._checked(name) for name in names]

    @property
    def previous(self) -> Path | None:
        """The deploy.yaml of the network whose labels this one, the second of a cascade, is given; None of others.

        Raises:
            CheckpointError: if it is missing or was changed.
        """
        name = self.description.get("previous")
        return None if name is None else self._checked(str(name))

    def has(self, *keys: str) -> bool:
        """Whether deploy.yaml names a file under each key."""
        return all(self.description.get(key) for key in keys)

    def verified(self, key: str) -> Path:
        """The file that deploy.yaml names under `key`.

        Raises:
            CheckpointError: if it is missing or its SHA-256 is another.
        """
        return self._checked(str(self.description[key]))

    def _checked(self, name: str) -> Path:
        file = self.path.parent / name
        if not file.is_file():
            raise CheckpointError(f"{file}: named by deploy.yaml but missing")
        expected = self.description.get("sha256", {}).get(name)
        if expected is not None and file_hash(file) != expected:
            raise CheckpointError(f"{file}: SHA-256 differs from deploy.yaml: the file was changed or is incomplete")
        return file

    def refusal(self, backend: str, precision: str) -> str | None:
        """Why the check at export found this backend at this precision unfit; None if it did not."""
        for entry in self.description.get("checks") or ():
            if (entry.get("backend"), entry.get("precision")) == (backend, precision) and not entry.get("accepted"):
                return (
                    f"at export only {100 * float(entry['agreement']):.2f} % of the labels agreed with the network "
                    f"(at least {100 * float(entry['bound']):.1f} % are needed)"
                )
        return None
