"""What tells one vertebra from the next: how much of the spine a patch shows, and the order of the levels.

python -m benchmarks.accuracy.levels --data FOLDER trains the planned configuration of SPIDER's levels in several ways,
each by the clock, and scores it with and without `OrderAlongSpine`, on the validation cases of fold 0. A run that was
interrupted goes on where it was; one that is done is not repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import level_options, plan, run_verb, train
from benchmarks.accuracy.page import group_mean, level_numbers, number
from benchmarks.accuracy.studies import STUDIES
from benchmarks.machine import commit, describe
from benchmarks.process import ROOT
from medicalseg.postprocessing import set_postprocessing
from medicalseg.postprocessing.levels import SETTLES
from medicalseg.reports.markdown import table

STUDY = STUDIES["spider_levels"]
PAGE = "levels.md"
USUAL = [12, 96, 192]
ARMS: dict[str, tuple[str, ...]] = {
    "head-foot axis whole (planned)": (),
    "nnU-Net's shape, as many voxels": tuple(
        f"{dataset}.{key}={USUAL}"
        for dataset in ("train_dataset", "val_dataset")
        for key in ("patch_size", "sliding.window")
    ),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.levels", description=__doc__.splitlines()[0])
    result.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    result.add_argument("--max_time", default="30m", help="training time of each way (30m)")
    result.add_argument("--seed", type=int, default=0, help="seed of the trainings (0)")
    result.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="arithmetic of the training")
    result.add_argument("--work", type=Path, default=Path("output/accuracy"), help="folder of the runs")
    result.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of the page")
    return result


def main() -> None:
    """Train what is missing, score, write the table."""
    args = parser().parse_args()
    root = args.work / f"levels_{args.max_time}_seed{args.seed}"
    config = plan(STUDY, args.data, root)
    rows = [row for index, name in enumerate(ARMS) for row in arm(name, config, root / f"way{index}", args)]
    result = {
        "date": datetime.now().date().isoformat(),
        "machine": describe(),
        "commit": commit(ROOT),
        "max_time": args.max_time,
        "seed": args.seed,
        "precision": args.precision,
        "rows": rows,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "levels.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (args.out / PAGE).write_text(page(result), encoding="utf-8")


def arm(name: str, config: Path, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train one way and score it as the network gives it and with the levels put in order."""
    args.opts = list(ARMS[name])
    train(STUDY, config, folder, args)
    weights = folder / "run" / "fold_0" / "final_model"
    meta = json.loads((weights / "meta.json").read_text(encoding="utf-8"))
    rows = []
    for label, steps in endings(meta["task"]["postprocessing"]).items():
        model = folder / label.replace(" ", "_")
        shutil.copytree(weights, model, dirs_exist_ok=True)
        set_postprocessing(model, steps)
        found = numbers(score(config, model, args))
        rows.append({"patch": name, "labels": label, "iterations": meta["iteration"], **found})
    return rows


def endings(planned: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Postprocessing by name: none, levels in order, and in an order that starts at the lowest level."""
    order = [{key: value for key, value in step.items() if key != "anchor"} for step in planned]
    return {
        "as the network gives them": [],
        "in order": order,
        "in order, anchored": [{**step, "anchor": SETTLES} for step in order],
    }


def score(config: Path, model: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Figures of the validation cases, as `medicalseg val` writes them."""
    target = model.parent / f"val_{model.name}"
    if not (target / "metrics.json").is_file():
        words = ["val", "--config", str(config), "--model_path", str(model), "--save_dir", str(target)]
        run_verb([*words, "--bootstrap", "0", "--opts", *args.opts, *level_options(STUDY)], args.data)
    figures: dict[str, Any] = json.loads((target / "metrics.json").read_text(encoding="utf-8"))
    return figures


def numbers(figures: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of a score."""
    means = {name: group_mean(figures, ids) for name, ids in STUDY.groups}
    return {"Dice": means, "shares": level_numbers(figures)}


def page(result: dict[str, Any]) -> str:
    """The Markdown page."""
    budget, seed = result["max_time"], result["seed"]
    lines = [
        "# Levels of the spine: what tells them apart",
        "",
        f"SPIDER levels, validation cases of fold 0, {budget} of training for each patch, seed {seed},",
        f"{result['precision']}, {result['machine']['cpu']}, commit {result['commit']}, {result['date']}.",
        "Hard Dice on the original grid; shares of the voxels that carry the number of a neighbouring level, or of",
        "one farther off. Made by",
        f"`python -m benchmarks.accuracy.levels --data FOLDER --max_time {budget} --seed {seed}`.",
        "",
        *_table(result["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = ["patch", "labels", "steps", *rows[0]["Dice"], *rows[0]["shares"]]
    shown = [
        [
            row["patch"],
            row["labels"],
            str(row["iterations"]),
            *map(number, row["Dice"].values()),
            *map(number, row["shares"].values()),
        ]
        for row in rows
    ]
    return table([heads, *shown])


if __name__ == "__main__":
    sys.exit(main())
