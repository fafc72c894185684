"""A volume's file to a label map's file by medicalseg, as `medicalseg infer` does it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import spine_files
from benchmarks.frame import Outcome
from benchmarks.predict_models import prepared


def file_to_file(
    name: str, full: bool, window: Sequence[int] | None = None, options: Mapping[str, Any] | None = None
) -> Callable[[], Outcome]:
    """A function that predicts once; loading the model is not part of it.

    Args:
        name: of `predict_models.MODELS`.
        full: the volume with full resolution.
        window: sizes of a sliding window over the volume's own grid; None resizes the volume as a whole.
        options: of `RuntimeOptions`.
    """
    folder = prepared(name)

    from medicalseg.core.predict import predict_cases
    from medicalseg.inference import SlidingWindow
    from medicalseg.inference.inputs import find_inputs
    from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
    from medicalseg.utils.logger import logger

    logger.setLevel("WARNING")
    network = StaticNetwork(folder / f"{name}-{'none' if window else 'argmax'}", RuntimeOptions(**(options or {})))
    sliding = SlidingWindow(list(window)) if window else None
    cases = find_inputs(spine_files.image(full))
    target = Path(tempfile.mkdtemp(prefix="medicalseg-benchmark-"))

    def run() -> Outcome:
        report = predict_cases(cases, network.task, network, target, sliding=sliding)
        if report.failed:
            raise RuntimeError(str(report.failed))
        means = report.timings.mean()
        return Outcome(
            {
                "milliseconds": {stage: round(1000 * seconds, 2) for stage, seconds in means.items()},
                "share outside the network": round(1 - means["run"] / sum(means.values()), 3),
            }
        )

    return run
