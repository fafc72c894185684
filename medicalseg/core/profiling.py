"""`--profiler_options`: Paddle's profiler over some of the iterations."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from medicalseg.errors import UserError
from medicalseg.utils.logger import logger

STATES = ("CPU", "GPU", "All")
SORTED_KEYS = ("calls", "total", "max", "min", "ave")
TRACERS = ("Default", "OpDetail", "AllOpDetail")


@dataclass(frozen=True)
class ProfilerOptions:
    """The options, parsed.

    Attributes:
        batch_range: first and last iteration to look at, from 0.
        profile_path: folder for the trace.
        state: CPU, GPU or All.
        sorted_key: order of the summary table.
        tracer_option: how much detail; kept for old command lines, Paddle 3 has one level.
        exit_on_finished: end the run after the last profiled iteration.
    """

    batch_range: tuple[int, int] = (10, 20)
    profile_path: str = "./profile"
    state: str = "All"
    sorted_key: str = "total"
    tracer_option: str = "Default"
    exit_on_finished: bool = True

    @classmethod
    def parse(cls, text: str) -> ProfilerOptions:
        """From `batch_range=[50,60];profile_path=folder;state=All;...`.

        Raises:
            UserError: an unknown key or a wrong value.
        """
        values: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.replace(" ", "").split(";"))):
            key, separator, value = item.partition("=")
            if not separator or key not in cls.__dataclass_fields__:
                raise UserError(
                    f"--profiler_options '{item}': use key=value, keys are {', '.join(cls.__dataclass_fields__)}"
                )
            values[key] = _value(key, value)
        return cls(**values)


def _value(key: str, text: str) -> Any:
    allowed = {"state": STATES, "sorted_key": SORTED_KEYS, "tracer_option": TRACERS}.get(key)
    if allowed is not None and text not in allowed:
        raise UserError(f"--profiler_options {key}={text}: choose from {', '.join(allowed)}")
    if key == "exit_on_finished":
        return text.lower() in ("yes", "true", "t", "1")
    if key != "batch_range":
        return text
    try:
        first, last = (int(value) for value in ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        first, last = 0, -1
    if not 0 <= first < last:
        raise UserError(f"--profiler_options batch_range={text}: give [first,last] with 0 <= first < last")
    return first, last


class StepProfiler:
    """Counts steps and profiles those in the range.

    Args:
        options: the options, or None for no profiling.
    """

    def __init__(self, options: ProfilerOptions | None) -> None:
        self._options = options
        self._step = 0
        self._profiler: Any = None

    def step(self) -> bool:
        """Call before each iteration; True when the run should end."""
        options = self._options
        if options is None:
            return False
        if self._step == options.batch_range[0]:
            self._start(options)
        elif self._step == options.batch_range[1]:
            self.stop()
            return options.exit_on_finished
        elif self._profiler is not None:
            self._profiler.step()
        self._step += 1
        return False

    def _start(self, options: ProfilerOptions) -> None:
        from paddle import profiler

        targets = {"CPU": [profiler.ProfilerTarget.CPU], "GPU": [profiler.ProfilerTarget.GPU]}.get(options.state)
        self._profiler = profiler.Profiler(
            targets=targets, on_trace_ready=profiler.export_chrome_tracing(options.profile_path)
        )
        self._profiler.start()

    def stop(self) -> None:
        """Write what was measured, if something was."""
        if self._profiler is None or self._options is None:
            return
        from paddle import profiler

        keys = {"max": "CPUMax", "min": "CPUMin", "ave": "CPUAvg"}
        order = getattr(profiler.SortedKeys, keys.get(self._options.sorted_key, "CPUTotal"))
        self._profiler.stop()
        self._profiler.summary(sorted_by=order)
        self._profiler = None
        logger.info("The profile was written to %s.", self._options.profile_path)
