"""The JSON, Markdown and plot of a suite."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.frame import MEMORY

SCHEMA = 1
NOISY = 0.1
VERDICTS = {True: "met", False: "**missed**", None: ""}


def write(folder: Path, report: Mapping[str, Any]) -> None:
    """Write `<suite>.json`, `.md` and, where matplotlib is installed, `.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    name = report["suite"]
    _replace(folder / f"{name}.json", json.dumps(report, indent=1) + "\n")
    picture = _plot(folder / f"{name}.png", report)
    _replace(folder / f"{name}.md", markdown(report, f"{name}.png" if picture else None))


def merged(report: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`report` with the works that only an earlier file has, if that was measured under the same conditions.

    A work that was now measured with fewer contenders than the file has does not replace what is there.
    """
    if not path.is_file():
        return dict(report)
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if not _agree(earlier, report):
        return dict(report)
    before = {work["name"]: len(work["contenders"]) for work in earlier["works"]}
    new = {work["name"]: work for work in report["works"] if len(work["contenders"]) >= before.get(work["name"], 0)}
    kept = [new.pop(work["name"], work) for work in earlier["works"]]
    return {**report, "works": [*kept, *new.values()], "versions": {**earlier["versions"], **report["versions"]}}


def _agree(earlier: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    """Whether figures may stand in one table: one machine, and one version of every package that both used."""

    def machine(one: Mapping[str, Any]) -> tuple[Any, ...]:
        kept = {key: value for key, value in one["machine"].items() if key != "load_before"}
        return one["schema"], one["suite"], one["threads"], kept

    versions = [one["versions"] for one in (earlier, report)]
    both = versions[0].keys() & versions[1].keys() & {"torch", "paddlepaddle", "monai", "numpy"}
    return machine(earlier) == machine(report) and all(versions[0][name] == versions[1][name] for name in both)


def markdown(report: Mapping[str, Any], picture: str | None) -> str:
    """The report as a page."""
    machine = report["machine"]
    parts = [
        f"# Benchmark: {report['suite']}",
        "Lower is better; ratios are ours / theirs, medians of interleaved rounds. What is compared and how to "
        "reproduce it: [README](README.md).",
        f"- **Machine**: {machine['cpu']} ({machine['cpu_family']}), {machine['cores']} cores, "
        f"{machine['memory_mb'] / 1024:.0f} GiB, {', '.join(machine['features']) or 'no AVX-512'}; {machine['os']}\n"
        f"- **Versions**: Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in _headline(report["versions"]).items())
        + f"\n- **Threads**: {report['threads']} unless a line says otherwise\n"
        f"- **Measured**: {_measured(report['works'])}\n"
        f"- **Noise**: {_noise(report['works'])}",
    ]
    if picture:
        parts.append(f"![Ratios of the {report['suite']} suite]({picture})")
    parts += [_pairs(report["works"]), _series(report["works"]), "## Every contender", _contenders(report["works"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(works: Sequence[Mapping[str, Any]]) -> str:
    """When, how and on which commit; works that were measured apart are told apart."""
    runs: dict[str, list[str]] = {}
    for work in works:
        run = f"{work['date'][:10]}, `{work['command']}`, medicalseg at commit {work['commit'] or 'unknown'}"
        runs.setdefault(run, []).append(_title(work))
    if len(runs) == 1:
        return next(iter(runs))
    return "".join(f"\n  - {', '.join(names)}: {run}" for run, names in runs.items())


def _noise(works: Sequence[Mapping[str, Any]]) -> str:
    busy = [value for work in works for entry in work["contenders"] for value in entry["other_cores"]]
    if not busy:
        return "unknown"
    mean = sum(busy) / len(busy)
    advice = "" if mean < NOISY else "; the machine was not quiet, so take times with care and look at CPU seconds"
    return f"other processes kept {mean:.2f} cores busy on average, {max(busy):.2f} at worst{advice}"


def _headline(versions: Mapping[str, str]) -> dict[str, str]:
    wanted = ("medicalseg", "paddlepaddle", "torch", "monai", "nnunetv2", "batchgeneratorsv2", "torchio")
    more = ("onnxruntime", "openvino", "numpy", "scipy", "SimpleITK")
    return {name: versions[name] for name in wanted + more if name in versions}


def _pairs(works: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for work in works:
        for pair in work["pairs"]:
            what = "peak memory" if pair["measure"] == MEMORY else "time"
            target = "" if pair["target"] is None else f"≤ {pair['target']:g}"
            verdict = VERDICTS[pair["met"]] if pair["ratio"] is not None else _cell(pair["reason"] or "not measured")
            cpu = "" if pair["cpu_ratio"] is None else f"{pair['cpu_ratio']:.2f}"
            rows.append([_title(work), what, pair["ours"], pair["theirs"], _ratio(pair), cpu, target, verdict])
    if not rows:
        return ""
    return "## Ratios and targets\n\n" + _table(
        ["work", "measure", "ours", "against", "ratio (rounds)", "CPU s", "target", ""], rows, right=(4, 5, 6)
    )


def _series(works: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(work["series"] for work in works if work["series"]))
    if not names:
        return ""
    tables = []
    for name in names:
        members = sorted((work for work in works if work["series"] == name), key=lambda work: work["units"])
        rows = []
        for contender in dict.fromkeys(entry["name"] for work in members for entry in work["contenders"]):
            costs = [_cost(work, contender) for work in members]
            growth = f"{costs[-1][0] / costs[0][0]:.2f}" if costs[0] and costs[-1] else "n/a"
            cells = ["n/a" if cost is None else f"{cost[0]:.0f} ns, {cost[1]:.0f} B" for cost in costs]
            rows.append([contender, *cells, growth])
        header = [name, *(_title(work).removeprefix(f"{name}: ") for work in members), "time, last / first"]
        tables.append(_table(header, rows, right=range(1, len(members) + 2)))
    return "\n\n".join(["## Cost per unit as the size grows", *tables])


def _cost(work: Mapping[str, Any], contender: str) -> tuple[float, float] | None:
    for entry in work["contenders"]:
        if entry["name"] == contender and entry["status"] == "ok":
            return entry["nanoseconds_per_unit"], entry["bytes_per_unit"] or 0.0
    return None


def _contenders(works: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for work in works:
        for entry in work["contenders"]:
            if entry["status"] == "ok":
                spread = f"{_seconds(entry['min'])}–{_seconds(entry['max'])}"
                figures = [_seconds(entry["median"]), spread, _seconds(entry["cpu_median"]), _per_unit(entry)]
                figures += [_megabytes(entry["peak_over_baseline_mb"]), _megabytes(entry["peak_rss_mb"])]
            else:
                status = entry["reason"] if entry["status"] == "not installed" else f"failed: {entry['reason']}"
                figures = [_cell(status), "", "", "", "", ""]
            rows.append([_title(work), entry["name"], *figures])
    header = [
        "work",
        "contender",
        "median s",
        "min–max s",
        "CPU s",
        "ns, bytes per unit",
        "peak MB over start",
        "peak MB",
    ]
    return _table(header, rows, right=(2, 3, 4, 5, 6, 7))


def _per_unit(entry: Mapping[str, Any]) -> str:
    if "nanoseconds_per_unit" not in entry:
        return ""
    memory = entry["bytes_per_unit"]
    return f"{entry['nanoseconds_per_unit']:.0f}" + ("" if memory is None else f", {memory:.0f}")


def _title(work: Mapping[str, Any]) -> str:
    return _cell(work["name"])


def _ratio(pair: Mapping[str, Any]) -> str:
    if pair["ratio"] is None:
        return "n/a"
    if pair["measure"] == MEMORY:
        return f"{pair['ratio']:.2f}"
    return f"{pair['ratio']:.2f} ({pair['ratio_min']:.2f}–{pair['ratio_max']:.2f})"


def _seconds(value: float) -> str:
    return f"{value:.3g}"


def _megabytes(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    rule = ["--:" if index in right else "---" for index in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def _plot(path: Path, report: Mapping[str, Any]) -> bool:
    try:
        from benchmarks.plot import ratios
    except ImportError:
        return False
    return ratios(path, report)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
