"""Resident memory of predicting a large CT, measured in a process of its own, beside the estimate.

`python -m benchmarks.memory` predicts a generated volume with a small network of random weights through the road of
`medicalseg predict`. The baseline is the process with Paddle, the library and the network loaded. `--check` compares
the labels with a computation that holds the sums of all classes for the whole volume.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from medicalseg.inference import EagerNetwork, SlidingWindow, TaskSpec

CLASSES = 20
FEATURES = [4, 8]
SPACING = (0.7, 0.7, 1.0)
COARSER = 1.5


def main() -> int:
    """Measure what the flags ask for; one JSON line per case."""
    arguments = _parser().parse_args()
    if arguments.child:
        print(json.dumps(_measure(arguments)))
        return 0
    with tempfile.TemporaryDirectory(prefix="medicalseg-memory-", dir=arguments.folder) as folder:
        image = _image(Path(folder), arguments.size)
        for restoring in arguments.restoring:
            command = [sys.executable, "-m", "benchmarks.memory", "--child", str(image), "--restoring", restoring]
            command += ["--window", *map(str, arguments.window), "--size", *map(str, arguments.size)]
            command += ["--check"] if arguments.check else []
            command += ["--uncertainty"] if arguments.uncertainty else []
            command += ["--memory", arguments.memory] if arguments.memory else []
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(result.stdout.strip().splitlines()[-1], flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    add = parser.add_argument
    add("--size", type=int, nargs=3, default=[512, 512, 600], help="of the CT (default: 512 512 600)")
    add("--window", type=int, nargs=3, default=[128, 128, 128], help="(default: 128 128 128)")
    add("--restoring", nargs="+", choices=("labels", "scores"), default=["labels", "scores"])
    add("--check", action="store_true", help="compare the labels with those of the unbounded computation")
    add("--uncertainty", action="store_true", help="write the uncertainty map too")
    add("--memory", help="limit given to the prediction, as --memory of medicalseg predict")
    add("--folder", help="where the temporary files go")
    add("--child", help=argparse.SUPPRESS)
    return parser


def _image(folder: Path, size: list[int]) -> Path:
    """A body of soft tissue in air with parts of bone and noise, int16, written plane by plane in effect."""
    import numpy as np

    from medicalseg.io import Volume, write_volume

    rng = np.random.default_rng(0)
    array = np.empty(size, np.int16, order="F")
    x, y = (np.linspace(-1, 1, n)[:, None] for n in size[:2])
    distance = x**2 + y.T**2
    for index in range(size[2]):
        plane = np.where(distance < 0.7 + 0.1 * np.sin(index / 20), 40, -1024)
        plane = np.where((distance < 0.05) & (index % 40 < 25), 600, plane)
        array[..., index] = plane + rng.integers(-15, 15, distance.shape) * (plane > -1024)
    path = folder / "ct.nii.gz"
    write_volume(Volume(array, np.diag([*SPACING, 1.0])), path)
    return path


def _task(restoring: str) -> TaskSpec:
    from medicalseg.inference import Preprocessing, TaskSpec

    spacing = SPACING if restoring == "labels" else tuple(COARSER * step for step in SPACING)
    window = {"type": "window", "low": -1000, "high": 1000}
    preprocessing = Preprocessing(orientation="RAS", intensity=(window,), spacing=spacing, image_order=1)
    return TaskSpec(CLASSES, preprocessing=preprocessing, restoring=restoring)


def _network(task: TaskSpec) -> EagerNetwork:
    """A network without training, the same every time."""
    import paddle

    from medicalseg import ops
    from medicalseg.inference import EagerNetwork
    from medicalseg.models import PlainConvUNet

    paddle.seed(1)
    model = PlainConvUNet(in_channels=1, num_classes=CLASSES, features=FEATURES, kernel_size=3, strides=[1, 2])
    model.eval()
    return EagerNetwork(ops.accelerate(model), task.decision)


def _measure(arguments: argparse.Namespace) -> dict[str, object]:
    import psutil

    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.predict import predict_cases
    from medicalseg.inference import SlidingWindow
    from medicalseg.inference.inputs import find_inputs
    from medicalseg.inference.memory import MemoryWatch, parse_memory

    task = _task(arguments.restoring[0])
    sliding, network = SlidingWindow(arguments.window), _network(task)
    cases = find_inputs(arguments.child)
    baseline = psutil.Process().memory_info().rss
    started = time.perf_counter()
    with MemoryWatch() as watch, tempfile.TemporaryDirectory(dir=Path(arguments.child).parent) as folder:
        report = predict_cases(
            cases,
            task,
            network,
            folder,
            sliding=sliding,
            uncertainty=arguments.uncertainty,
            memory=parse_memory(arguments.memory) if arguments.memory else None,
        )
        seconds = time.perf_counter() - started
        labels = _digest(report.written)
    result: dict[str, object] = {
        "size": arguments.size,
        "window": arguments.window,
        "classes": CLASSES,
        "restoring": arguments.restoring[0],
        "uncertainty": arguments.uncertainty,
        "baseline_gib": round(baseline / 2**30, 3),
        "peak_above_baseline_gib": round((watch.peak - baseline) / 2**30, 3),
        "high_water_above_baseline_gib": round((_high_water() - baseline) / 2**30, 3),
        "estimate_gib": round(report.estimated_memory / 2**30, 3),
        "seconds": round(seconds, 1),
        "labels_sha256": labels,
        "failed": report.failed,
    }
    if arguments.check:
        result["unbounded_sha256"] = _unbounded(cases[0].read().array, network, task, sliding)
        result["identical"] = result["unbounded_sha256"] == labels
    return result


def _high_water() -> int:
    """Bytes of VmHWM."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def _digest(written: dict[str, Path]) -> str:
    from medicalseg.io import read_label

    array = read_label(next(iter(written.values()))).array
    return _sha256(array)


def _sha256(array: np.ndarray) -> str:
    import numpy as np

    return hashlib.sha256(np.asfortranarray(array.astype(np.uint8)).tobytes(order="F")).hexdigest()


def _unbounded(array: np.ndarray, network: object, task: TaskSpec, sliding: SlidingWindow) -> str:
    """Sums of all classes over the whole volume in one array, divided, and interpolated in one piece."""
    import numpy as np

    from medicalseg.inference.scores import scores_to_original
    from medicalseg.io import Volume

    image, record = task.preprocessing.apply(Volume(array, np.diag([*SPACING, 1.0])))
    grid = sliding.grid(image.shape[1:])
    sums = np.zeros((CLASSES, *image.shape[1:]), np.float32)
    weights = np.zeros(image.shape[1:], np.float32)
    for corner in grid.corners():
        region = grid.region(corner)
        window = image[(slice(None), *region)]
        if (window == window[:, :1, :1, :1]).all():
            continue
        sums[(slice(None), *region)] += network.logits(window[None])[0] * sliding._weights  # type: ignore[attr-defined]
        weights[region] += sliding._weights
    untouched = weights == 0
    weights[untouched] = 1
    if task.restoring == "labels":
        labels = sums.argmax(axis=0)
        labels[untouched] = 0
        return _sha256(task.restore(labels, record).array)
    sums /= weights
    sums -= sums.max(axis=0)
    np.exp(sums, out=sums)
    sums /= sums.sum(axis=0)
    sums[:, untouched] = 0
    sums[0, untouched] = 1
    return _sha256(scores_to_original(sums, record, task.decision).labels)


if __name__ == "__main__":
    sys.exit(main())
