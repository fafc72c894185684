"""From nothing to a deployed 20-class spine segmenter in about ten minutes on two CPU cores.

Runs the five verbs one after the other on generated spine volumes, as the commands it prints; any of them can be typed
by hand. Running it again reuses the data and resumes or repeats the training. Everything goes to the folders data/ and
output/quickstart/ below the current directory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "quickstart" / "unet3d.yml"
DATA = Path("data/quickstart_spine")
PREPARED = DATA / "MRI_spine_seg_phase0_class20_big_12"
RAW_IMAGES = Path("phantom/MRI_spine_seg_raw/MRI_train/train/MR")
VAL_LIST = DATA / "val_images.txt"
OUTPUT = Path("output/quickstart")


def steps(cases: int, iters: int | None) -> list[tuple[str, list[str]]]:
    """Title and arguments of every step."""
    config, weights = relative(CONFIG), str(OUTPUT / "best_model")
    override = ["--iters", str(iters)] if iters else []
    return [
        (
            "make the built-in data: generated sagittal spine MR with 20 classes",
            ["prepare_mri_spine_seg.py", "--phantom", str(cases), "--size", "64", "64", "12"]
            + ["--dataset_root", str(DATA)],
        ),
        (
            "train a U-Net, evaluating on held-out cases as it goes",
            ["train.py", "--config", config, "--save_dir", str(OUTPUT), "--do_eval", "--use_vdl"]
            + ["--resume", "auto", "--log_iters", "50", "--save_interval", "500", "--keep_checkpoint_max", "1"]
            + override,
        ),
        (
            "evaluate the best checkpoint on the original grid",
            ["val.py", "--config", config, "--model_path", weights, "--save_dir", str(OUTPUT / "val")],
        ),
        (
            "export for Paddle Inference, checked against the trained network",
            ["export.py", "--config", config, "--model_path", weights, "--save_dir", str(OUTPUT / "export")],
        ),
        (
            "run the exported model on the held-out scans, from NIfTI to NIfTI",
            ["infer.py", "--config", str(OUTPUT / "export/deploy.yaml"), "--image_path", str(VAL_LIST)]
            + ["--label_path", str(PREPARED / "originals"), "--save_dir", str(OUTPUT / "infer"), "--benchmark"],
        ),
    ]


def relative(path: Path) -> str:
    """`path` as seen from the current directory, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def script(name: str) -> str:
    """Path of a script in tools/ or deploy/python/."""
    folder = ROOT / ("deploy/python" if name == "infer.py" else "tools")
    return relative(folder / name)


def run(title: str, arguments: list[str], number: int, total: int) -> None:
    """Run one step, showing its command; stop the program if it fails."""
    command = [sys.executable, script(arguments[0]), *arguments[1:]]
    shown = " ".join(["python", *map(shlex.quote, command[1:])])
    print(f"\n[{number}/{total}] {title}\n$ {shown}\n", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(f"quickstart: step {number} failed with exit code {code}: {shown}")


def list_validation_images() -> None:
    """Write the raw volumes of the validation cases to a list file, so that only they are segmented and scored."""
    split = json.loads((PREPARED / "split.json").read_text(encoding="utf-8"))
    lines = [str(RAW_IMAGES / f"{case}.nii.gz") for case in split["val"]]
    VAL_LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


def summary(started: float) -> None:
    """Print the figures and where the pictures are."""
    val = json.loads((OUTPUT / "val/metrics.json").read_text(encoding="utf-8"))
    infer = json.loads((OUTPUT / "infer/metrics.json").read_text(encoding="utf-8"))
    print(f"\nDone in {(time.time() - started) / 60:.1f} minutes. Mean Dice on held-out cases, original grid:\n")
    print(f"  {'':24}{'trained network':>17}{'deployed model':>17}")
    rows = {"foreground mean": ("foreground_mean", "dice"), **{n: ("groups", n, "dice") for n in val["groups"]}}
    for name, keys in rows.items():
        figures = [follow(report, keys) for report in (val, infer)]
        print(f"  {name:24}" + "".join(f"{figure:>17.4f}" for figure in figures))
    print(f"\n  pictures     {OUTPUT}/val/overlays/*.png, {OUTPUT}/progress.png")
    print(f"  label maps   {OUTPUT}/infer/*.nii.gz")
    print(f"  model        {OUTPUT}/export/deploy.yaml")
    print(f"  curves       visualdl --logdir {OUTPUT}")


def follow(report: dict, keys: tuple[str, ...]) -> float:
    """The number at a path of keys; NaN where there is none."""
    value: object = report
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=160, help="generated cases (160)")
    parser.add_argument("--iters", type=int, help="training iterations, instead of the configuration's")
    args = parser.parse_args()
    if importlib.util.find_spec("paddle") is None:
        parser.error("PaddlePaddle is not installed: run `pip install -e '.[cpu]'` in the checkout")
    started = time.time()
    todo = steps(args.cases, args.iters)
    for number, (title, arguments) in enumerate(todo, start=1):
        run(title, arguments, number, len(todo))
        if number == 1:
            list_validation_images()
    summary(started)


if __name__ == "__main__":
    main()
