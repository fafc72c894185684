"""Accuracy of planned configurations: plan, train by the clock, cross-validate, write the page.

python -m benchmarks.accuracy STUDY --data FOLDER. A run that was interrupted goes on where it was; one that is done is
not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy.page import write_result
from benchmarks.accuracy.studies import STUDIES, Study
from benchmarks.machine import commit, describe
from benchmarks.process import ROOT

PRIVATE = ("ensemble", "run")
"""Parts of a summary that name folders of this machine."""

COMMIT = "commit.txt"
"""What planned and trained a run; scoring may be of a later version."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    result.add_argument("study", choices=sorted(STUDIES), help="what to measure")
    result.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    result.add_argument("--seed", type=int, default=0, help="seed of the training (0)")
    result.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="arithmetic of the training")
    result.add_argument("--work", type=Path, default=Path("output/accuracy"), help="folder of the runs")
    result.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of the pages")
    result.add_argument("--opts", nargs="+", default=[], help="changes of the planned configuration (ablations)")
    result.add_argument("--max_time", help="another training time than the study's, to try it")
    result.add_argument("--label", default="", help="name of an ablation, part of the names of its files")
    return result


def main() -> None:
    """Run one study and write its page."""
    args = parser().parse_args()
    study = STUDIES[args.study]
    name = "_".join(filter(None, (args.study, args.label)))
    folder = args.work / f"{name}_seed{args.seed}"
    config = plan(study, args.data, folder)
    train(study, config, folder, args)
    summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))
    write_result(args.out, f"{name}_seed{args.seed}", report(summary, folder, args))


def plan(study: Study, data: Path, folder: Path) -> Path:
    """The planned configuration; made once.

    Raises:
        subprocess.CalledProcessError: planning failed.
    """
    config = folder / "plan" / study.name / f"{study.kind}.yml"
    if not config.is_file():
        words = ["plan", str(data / study.dataset), *study.plan, "--device", "cpu", "--name", study.name]
        words += [] if study.folds == ("all",) else ["--fold", study.folds[0]]
        run_verb([*words, "--kind", study.kind, "--out", str(folder / "plan"), "--overwrite"], data)
        (folder / COMMIT).write_text(f"{commit(ROOT)}\n", encoding="utf-8")
    return config


def train(study: Study, config: Path, folder: Path, args: argparse.Namespace) -> None:
    """Every fold by the clock, then its validation cases; goes on where an earlier run stopped.

    Raises:
        subprocess.CalledProcessError: a run failed.
    """
    words = ["crossval", "--config", str(config), "--save_dir", str(folder / "run"), "--folds", *study.folds]
    words += ["--max_time", args.max_time or study.max_time, "--seed", str(args.seed), "--precision", args.precision]
    words += ["--num_workers", "1", "--keep_checkpoint_max", "1", "--postprocessing"]
    words += ["auto" if study.folds == ("all",) else "none"]
    opts = [*args.opts, *level_options(study)]
    run_verb([*words, *(["--opts", *opts] if opts else [])], args.data)


def level_options(study: Study) -> list[str]:
    """Of a study of levels, the orders whose confusion is reported."""
    if not study.level_order:
        return []
    return [f"test_config.level_order={[list(order) for order in study.level_order]}"]


def report(summary: dict[str, Any], folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """What the page and the JSON file say."""
    runs = sorted(folder.glob("run/fold_*/final_model/meta.json"))
    return {
        "study": args.study,
        "label": args.label,
        "date": datetime.now().date().isoformat(),
        "machine": describe(),
        "commit": commit(ROOT),
        "trained_by": _read(folder / COMMIT),
        "seed": args.seed,
        "precision": args.precision,
        "max_time": args.max_time or STUDIES[args.study].max_time,
        "opts": list(args.opts),
        "threads": os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)),
        "iterations": {path.parts[-3]: json.loads(path.read_text())["iteration"] for path in runs},
        "summary": {key: value for key, value in summary.items() if key not in PRIVATE},
    }


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def run_verb(words: list[str], data: Path) -> None:
    """`medicalseg VERB …` with the data root.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    environment = {**os.environ, "MEDICALSEG_DATA_ROOT": str(data.resolve())}
    subprocess.run([sys.executable, "-m", "medicalseg", *words], check=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())
