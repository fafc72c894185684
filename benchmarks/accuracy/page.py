"""The page of accuracy figures, made anew from the JSON files of all runs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.studies import STUDIES, Study
from medicalseg.reports.markdown import table
from medicalseg.utils.words import counted

PAGE, FOLDER = "accuracy.md", "accuracy"
HEAD = """# Accuracy of planned configurations

Hard Dice of held-out cases on their original grid, by the rule of [the metrics page](../reference/metrics.md). Every
configuration was planned by `medicalseg plan` and trained by the clock; the weights are the last ones (their moving
average), so no held-out case had a say in them. Each run is repeated, or gone on with, by

```shell
python -m benchmarks.accuracy STUDY --data FOLDER --seed SEED
```

The files in [accuracy/](accuracy) hold every figure of every case.
"""


def write_result(folder: Path, name: str, result: dict[str, Any]) -> None:
    """Keep the figures of a run, and write the page of all of them."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_page(folder)


def write_page(folder: Path) -> None:
    """The page of all results in the folder."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / FOLDER).glob("*.json"))]
    parts = [HEAD]
    for name, study in STUDIES.items():
        runs = [result for result in results if result["study"] == name]
        if runs:
            parts.append("\n".join(section(study, runs)))
    (folder / PAGE).write_text("\n".join(parts), encoding="utf-8")


def section(study: Study, runs: Sequence[dict[str, Any]]) -> list[str]:
    """Everything about a study."""
    lines = [f"## {study.title}", "", f"Target: {study.target}.", "", *overview(study, runs)]
    lines += ["", study.remark] if study.remark else []
    for run in runs:
        lines += ["", f"### {title(run)}", "", *facts(run), "", *classes(run), "", *cases(run)]
    return [*lines, ""]


def overview(study: Study, runs: Sequence[dict[str, Any]]) -> list[str]:
    """A row per run: the headline and the groups."""
    groups = [name for name, _ in study.groups]
    measures = sorted({name for run in runs for name in level_numbers(headline(run))})
    rows = [["run", "foreground mean", *groups, *measures]]
    for run in runs:
        stage = headline(run)
        means = [group_mean(stage, ids) for _, ids in study.groups]
        numbers = level_numbers(stage)
        found = [stage["foreground_mean"]["dice"], *means, *(numbers.get(name) for name in measures)]
        rows.append([title(run), *map(number, found)])
    return table(rows)


def facts(run: dict[str, Any]) -> list[str]:
    """How the run was made."""
    steps = ", ".join(f"{fold}: {count}" for fold, count in run["iterations"].items())
    more = f" Changed: `{' '.join(run['opts'])}`." if run["opts"] else ""
    trained, scored = run.get("trained_by"), run["commit"]
    version = f"commit {scored}" if trained in (None, scored) else f"trained by commit {trained}, scored by {scored}"
    return [
        f"{run['max_time']} of training per fold on {run['machine']['cpu']}, {counted(int(run['threads']), 'thread')},",
        f"{run['precision']}, {version}, {run['date']}; steps of {steps}.{more}",
    ]


def classes(run: dict[str, Any]) -> list[str]:
    """A row per class."""
    rows = [["class", "Dice", "cases"]]
    for item in headline(run)["classes"][1:]:
        if item["dice"] is not None:
            rows.append([item["name"], number(item["dice"]), str(item["cases_with_reference"])])
    return table(rows)


def cases(run: dict[str, Any]) -> list[str]:
    """A row per case and its foreground mean, in columns."""
    stage = headline(run)
    rows = [["case", "foreground mean"]]
    rows += [[case["case"], number(case["foreground_mean"])] for case in stage["cases"]]
    return ["<details><summary>Cases</summary>", "", *table(rows), "", "</details>"]


def title(run: dict[str, Any]) -> str:
    """Label and seed."""
    return f"{run['label'] or 'as planned'}, seed {run['seed']}"


def headline(run: dict[str, Any]) -> dict[str, Any]:
    """The figures that may be quoted."""
    summary = run["summary"]
    stage: dict[str, Any] = summary["stages"][summary["headline"]]
    return stage


def group_mean(stage: dict[str, Any], ids: Sequence[int]) -> float | None:
    """Mean Dice of the classes that a reference has."""
    values = [item["dice"] for item in stage["classes"] if item["id"] in ids and item["dice"] is not None]
    return mean(values) if values else None


def level_numbers(stage: dict[str, Any]) -> dict[str, float]:
    """Of every order of levels: shares of voxels that carry a neighbour's number, or one farther off."""
    found = {}
    for levels in stage.get("levels") or []:
        span = f"{levels['names'][0]} … {levels['names'][-1]}"
        found[f"as a neighbour, {span}"] = levels["neighbour_share"]
        found[f"farther off, {span}"] = levels["farther_share"]
    return found


def number(value: float | None) -> str:
    """Four digits, or n/a."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.4f}"
