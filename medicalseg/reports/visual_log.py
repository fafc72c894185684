"""An evaluation in VisualDL."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from medicalseg.errors import MissingDependencyError


def write_visual_log(save_dir: str | os.PathLike[str]) -> None:
    """Write the means of `metrics.json` and the overlays of a report's folder as VisualDL records beside them.

    Raises:
        MissingDependencyError: if VisualDL is not installed.
    """
    try:
        from visualdl import LogWriter
    except ImportError as error:
        raise MissingDependencyError(f"--use_vdl needs VisualDL ({error}): pip install visualdl") from error
    folder = Path(save_dir)
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    scalars = {"Evaluate/Dice": content["foreground_mean"]["dice"], "Evaluate/auc_roc": content["auc_roc"]}
    scalars |= {f"Evaluate/Dice ({name})": group["dice"] for name, group in content["groups"].items()}
    with LogWriter(str(folder)) as writer:
        for tag, value in scalars.items():
            if value is not None:
                writer.add_scalar(tag, value, 0)
        for path in sorted((folder / "overlays").glob("*.png")):
            picture = np.round(255 * imread(path)[..., :3]).astype(np.uint8)
            writer.add_image(f"Evaluate/{path.stem}", picture, 0)
