"""Does bfloat16 cost accuracy? The hippocampus U-Net in both precisions, several seeds, learning curves side by side.

python -m benchmarks.accuracy.precision --data FOLDER, the folder that holds `hippocampus` (MSD Task04). A run that was
interrupted goes on from its newest checkpoint; one that is done is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.machine import describe
from benchmarks.process import ROOT

CONFIG = "configs/hippocampus/unet3d.yml"
PRECISIONS = ("fp32", "bf16")
COLORS = {"fp32": "#2c5f8a", "bf16": "#c0392b"}
STYLES = ("-", "--", ":", "-.")
PAGE = ROOT / "docs" / "benchmarks"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--data", type=Path, required=True, help="folder that holds the hippocampus data set")
    result.add_argument("--iters", type=int, default=500, help="steps of each run (500)")
    result.add_argument("--interval", type=int, default=50, help="steps between evaluations (50)")
    result.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="seeds (1 2)")
    result.add_argument("--work", type=Path, default=Path("output/precision"), help="folder of the runs")
    result.add_argument("--out", type=Path, default=PAGE, help="folder of the result (docs/benchmarks)")
    return result


def main() -> None:
    """Train what is missing, then write precision.json, .md and .png."""
    args = parser().parse_args()
    runs = [
        train(args.data, args.work / f"{precision}-{seed}", precision, seed, args.iters, args.interval)
        for seed in args.seeds
        for precision in PRECISIONS
    ]
    report = {"date": datetime.now().date().isoformat(), "machine": describe(), "iters": args.iters, "runs": runs}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "precision.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (args.out / "precision.md").write_text(page(report), encoding="utf-8")
    plot(args.out / "precision.png", runs)


def train(data: Path, folder: Path, precision: str, seed: int, iters: int, interval: int) -> dict[str, Any]:
    """Train one run, or go on with it, and return its curves.

    Raises:
        subprocess.CalledProcessError: the training failed.
    """
    command = [sys.executable, str(ROOT / "tools/train.py"), "--config", str(ROOT / CONFIG), "--save_dir", str(folder)]
    command += ["--precision", precision, "--seed", str(seed), "--iters", str(iters), "--save_interval", str(interval)]
    command += ["--do_eval", "--resume", "auto", "--keep_checkpoint_max", "1", "--num_workers", "1"]
    history = folder / "history.json"
    if not history.is_file() or _curves(history)["eval_iter"][-1:] != [iters]:
        subprocess.run(command, check=True, env={**os.environ, "MEDICALSEG_DATA_ROOT": str(data.resolve())})
    curves = _curves(history)
    kept = {key: curves[key] for key in ("eval_iter", "eval_dice", "iter", "loss")}
    return {"precision": precision, "seed": seed, **kept}


def page(report: dict[str, Any]) -> str:
    """The Markdown page: last and best Dice of every run, and the spread."""
    runs = report["runs"]
    lines = [
        "# bfloat16 and accuracy",
        "",
        f"`{CONFIG}`, {report['iters']} steps; hard Dice of the foreground, held-out cases of fold 0, original grid.",
        f"{report['machine']['cpu']}, {report['machine']['cores']} cores, {report['date']}.",
        f"Made by `python -m benchmarks.accuracy.precision --data FOLDER --iters {report['iters']}`;",
        "`precision.json` holds the curves.",
        "",
        "![Learning curves](precision.png)",
        "",
        "| precision | seed | Dice at the end | best Dice |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {run['precision']} | {run['seed']} | {run['eval_dice'][-1]:.4f} | {max(run['eval_dice']):.4f} |"
        for run in runs
    ]
    ends = {name: [run["eval_dice"][-1] for run in runs if run["precision"] == name] for name in PRECISIONS}
    between = abs(mean(ends["fp32"]) - mean(ends["bf16"]))
    within = max(max(values) - min(values) for values in ends.values())
    lines += [
        "",
        f"Between the means of the precisions: {between:.4f}. Between seeds of one precision: up to {within:.4f}.",
    ]
    return "\n".join(lines) + "\n"


def plot(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Dice and loss against steps: a colour per precision, a line style per seed."""
    seeds = sorted({run["seed"] for run in runs})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for run in runs:
        style = {"color": COLORS[run["precision"]], "ls": STYLES[seeds.index(run["seed"]) % len(STYLES)]}
        left.plot(run["eval_iter"], run["eval_dice"], label=f"{run['precision']}, seed {run['seed']}", **style)
        right.plot(run["iter"], run["loss"], **style)
    left.set(xlabel="step", ylabel="hard Dice, held-out cases", title="evaluation")
    right.set(xlabel="step", ylabel="loss", title="training")
    left.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _curves(path: Path) -> dict[str, list[float]]:
    curves: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
    return curves


if __name__ == "__main__":
    main()
