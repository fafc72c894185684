"""Runs the contenders of a work in turn, each in its own process."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from benchmarks.frame import Contender, Work
from benchmarks.machine import available_megabytes, busy_seconds
from benchmarks.process import ContenderError, ContenderProcess
from benchmarks.results import FAILED, NOT_INSTALLED, OK, Measured

LOG = logging.getLogger("benchmarks")
SHORTEST_ROUND = 0.2
LONG_WARM_UP = 5.0
PAUSE = 0.3
KEPT_FREE_MB = 1000.0
PEAK_MARGIN = 1.1
Start = Callable[[Contender, int], ContenderProcess]


class Runner:
    """Measures a work.

    Processes stay open from round to round while memory lasts; else the one used last is closed, and later started and
    warmed up again. Between two turns there is a pause, in which the threads of the last one stop spinning. A process
    is warmed up by two repetitions, or by one that takes long.

    Args:
        rounds: rounds that count; a contender may ask for fewer.
        threads: threads of works that name no number.
        start: starts a contender's process.
        pause: seconds between turns.
    """

    def __init__(self, rounds: int, threads: int, start: Start = ContenderProcess, pause: float = PAUSE) -> None:
        self._rounds, self._threads, self._start, self._pause = rounds, threads, start, pause
        self._open: dict[str, tuple[Measured, ContenderProcess]] = {}

    def threads(self, work: Work) -> int:
        """Threads that the work's contenders may use."""
        return work.threads or self._threads

    def measure(self, work: Work) -> list[Measured]:
        """Figures of every contender, those that failed or are not installed included."""
        measured = [Measured(contender) for contender in work.contenders]
        for item in measured:
            missing = [name for name in item.contender.requires if not _installed(name)]
            if missing:
                item.status, item.reason = NOT_INSTALLED, f"not installed: {', '.join(missing)}"
        try:
            for number in range(self._rounds):
                for item in measured:
                    self._turn(item, number, self.threads(work))
            for item in measured:
                self._close(item)
        finally:
            for _, process in self._open.values():
                process.close()
            self._open.clear()
        return measured

    def _turn(self, item: Measured, number: int, threads: int) -> None:
        if item.status != OK:
            return
        if item.contender.rounds is not None and number >= item.contender.rounds:
            item.seconds.append(None)
            item.cpu_seconds.append(None)
            self._close(item)
            return
        self._make_room(item)
        try:
            _, process = self._open.get(item.contender.name) or (item, self._enter(item, threads))
            time.sleep(self._pause)
            before = busy_seconds()
            seconds, cpu_seconds = process.round(item.repetitions)
            item.seconds.append(seconds)
            item.cpu_seconds.append(cpu_seconds)
            if before is not None:
                others = ((busy_seconds() or before) - before) / item.repetitions - cpu_seconds
                item.other_cores.append(round(max(0.0, others / seconds), 2))
        except ContenderError as error:
            self._open.pop(item.contender.name, None)
            item.status, item.reason = FAILED, str(error)
        LOG.info("  round %d  %-44s %s", number + 1, item.contender.name, _outcome(item))

    def _enter(self, item: Measured, threads: int) -> ContenderProcess:
        process = self._start(item.contender, threads)
        self._open[item.contender.name] = (item, process)
        once, _ = process.round()
        if once < LONG_WARM_UP:
            once, _ = process.round()
        if not item.seconds:
            item.repetitions = max(1, math.ceil(SHORTEST_ROUND / max(once, 1e-9)))
        return process

    def _make_room(self, item: Measured) -> None:
        """Close processes, the last opened first, until this one's next peak fits beside what is left.

        The peak of one that was never measured is taken to be the highest of the others.
        """
        own = self._open.get(item.contender.name)
        others = [entry for entry in self._open.values() if entry[0] is not item]
        peaks = [own[1].megabytes("VmHWM")] if own else [item.peak_mb or 0.0]
        if not any(peaks):
            peaks = [process.megabytes("VmHWM") for _, process in others]
        missing = PEAK_MARGIN * max(peaks, default=0.0) - (own[1].megabytes("VmRSS") if own else 0.0)
        while others and available_megabytes() < KEPT_FREE_MB + max(0.0, missing):
            other, _ = others.pop()
            LOG.info("  closing %s to make room; it is started again for its next round", other.contender.name)
            self._close(other)

    def _close(self, item: Measured) -> None:
        """End the contender's process, if it is open, and keep its figures."""
        if item.contender.name not in self._open:
            return
        _, process = self._open.pop(item.contender.name)
        try:
            _store(item, process.quit())
        except ContenderError as error:
            item.status, item.reason = FAILED, str(error)


def _store(item: Measured, answer: dict[str, Any]) -> None:
    if item.peak_mb is None or (answer["peak_rss_mb"] or 0) > item.peak_mb:
        item.peak_mb, item.baseline_mb = answer["peak_rss_mb"], answer["baseline_rss_mb"]
    item.extra.update(answer["extra"])
    item.versions.update(answer["versions"])


def _outcome(item: Measured) -> str:
    if item.status != OK:
        return f"{item.status}: {item.reason}"
    last = item.seconds[-1] if item.seconds else None
    return "" if last is None else f"{last:.4g} s"


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
