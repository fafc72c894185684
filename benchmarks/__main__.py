"""Command line: `python -m benchmarks SUITE [SUITE ...]`."""

from __future__ import annotations

import argparse
import datetime
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report, suites
from benchmarks.frame import Work
from benchmarks.machine import commit, describe
from benchmarks.process import ROOT
from benchmarks.results import Measured, work_as_json
from benchmarks.runner import Runner
from medicalseg.ops import available_cores

LOG = logging.getLogger("benchmarks")
OUT = Path("docs", "benchmarks")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory beside the peers.")
    result.add_argument("suites", nargs="+", metavar="SUITE", help=f"{', '.join(suites.existing())}, or all")
    result.add_argument("--against", help="peers, separated by commas: torch, monai, nnunet, ... (default: all)")
    result.add_argument("--only", metavar="PATTERN", help="works or work/contender whose name has or matches it")
    result.add_argument("--quick", action="store_true", help="leave out what takes long")
    result.add_argument(
        "--threads", type=int, default=available_cores(), help="threads of each contender (default: %(default)s)"
    )
    result.add_argument("--repeats", type=int, default=7, help="rounds that count (default: %(default)s)")
    result.add_argument("--out", type=Path, default=OUT, help="folder of the results (default: %(default)s)")
    result.add_argument("--list", action="store_true", help="name works and contenders and stop")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites asked for; 2 if the call is wrong, 1 if a contender failed, else 0."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    if options.threads < 1 or options.repeats < 1:
        LOG.error("--threads and --repeats must be at least 1")
        return 2
    against = options.against.split(",") if options.against else None
    try:
        names = suites.chosen(options.suites)
        selected = {name: suites.works(name, options.quick, against, options.only) for name in names}
    except suites.SelectionError as error:
        LOG.error("%s", error)
        return 2
    if options.list:
        show(selected)
        return 0
    if not any(selected.values()):
        LOG.error("--only %s matches no work of %s; --list names them", options.only, ", ".join(names))
        return 2
    failed = [run(name, found, options, given) for name, found in selected.items() if found]
    return 1 if any(failed) else 0


def show(selected: dict[str, list[Work]]) -> None:
    """Print suites, works and contenders."""
    for suite, works in selected.items():
        for work in works:
            print(f"{suite}: {work.name}")
            for contender in work.contenders:
                print(f"    {contender.name}  [{', '.join(contender.requires)}]")


def run(suite: str, works: Sequence[Work], options: argparse.Namespace, given: Sequence[str]) -> bool:
    """Measure a suite, writing the results after every work; whether a contender failed."""
    runner = Runner(options.repeats, options.threads)
    result: dict[str, Any] = {
        "schema": report.SCHEMA,
        "suite": suite,
        "date": _now(),
        "command": shlex.join(["python", "-m", "benchmarks", *_without_out(given)]),
        "commit": commit(ROOT),
        "threads": options.threads,
        "repeats": options.repeats,
        "machine": describe(),
        "versions": {},
        "works": [],
    }
    failed = False
    for work in works:
        LOG.info("%s: %s", suite, work.name)
        measured = runner.measure(work)
        failed = failed or any(item.status == "failed" for item in measured)
        result["versions"].update(_versions(measured))
        entry = work_as_json(work, runner.threads(work), measured)
        result["works"].append({**entry, "date": _now(), "command": result["command"], "commit": result["commit"]})
        whole = report.merged(result, options.out / f"{suite}.json") if options.only or options.against else result
        report.write(options.out, whole)
    LOG.info("written: %s", (options.out / suite).with_suffix(".{json,md,png}"))
    return failed


def _versions(measured: Sequence[Measured]) -> dict[str, str]:
    return {name: version for item in measured for name, version in sorted(item.versions.items())}


def _without_out(given: Sequence[str]) -> list[str]:
    """The arguments but `--out`, which names a place on this machine and changes no figure."""
    kept = []
    words = iter(given)
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith("--out="):
            kept.append(word)
    return kept


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


if __name__ == "__main__":
    raise SystemExit(main())
