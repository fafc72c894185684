"""Suite `loader`: batches of every shipped 3D config from one data worker, beside Paddle's loader on the same dataset.

Data is real where MEDICALSEG_DATA_ROOT names a folder that has it; otherwise arrays of the config's size are made in
the system's folder for temporary files, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

from benchmarks.frame import Contender, Pair, Work

SUITE = "loader"
OURS, PADDLE = "medicalseg, 1 worker", "Paddle DataLoader, 1 worker"
CONFIGS = {
    "quickstart": ("quickstart/vnet.yml", 200),
    "hippocampus": ("hippocampus/unet3d.yml", 30),
    "spider_spine": ("spider_spine/vnet_levels.yml", 30),
    "mri_spine_seg": ("mri_spine_seg/vnet.yml", 12),
    "lung_coronavirus": ("lung_coronavirus/vnet_lung_coronavirus_128_128_128_15k.yml", 10),
}
"""A config of each folder (the others there load the same); batches of a round, many more than wait ready."""
_LONG = 1 << 20
_WAITS = 5


def works(quick: bool) -> list[Work]:
    """One work for each folder of configs, without the two of large volumes if `quick`."""
    names = [name for name in CONFIGS if not quick or CONFIGS[name][1] >= 30]
    return [config_work(name) for name in names]


def config_work(name: str) -> Work:
    """A config's training batches, as fast as one worker makes them."""
    config, batches = CONFIGS[name]
    given = {"config": config, "batches": batches}
    contenders = [
        Contender(OURS, "benchmarks.loader:ours", given, ("paddle",)),
        Contender(PADDLE, "benchmarks.loader:paddle_loader", given, ("paddle",)),
    ]
    return Work(f"{name}, {batches} batches", contenders, [Pair(OURS, PADDLE)], threads=1)


def ours(config: str, batches: int) -> Callable[[], object]:
    """`BatchLoader`, as the trainer uses it."""
    from medicalseg.core.loader import BatchLoader, collate_samples

    dataset, sampler = _dataset(config)
    return _timed(iter(BatchLoader(dataset, sampler, collate_samples, 1)), batches, sampler.batch_size)


def paddle_loader(config: str, batches: int) -> Callable[[], object]:
    """`paddle.io.DataLoader` with shared memory where it works."""
    import paddle

    from medicalseg.core.loader import collate_samples

    dataset, sampler = _dataset(config)
    loader = paddle.io.DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate_samples, num_workers=1, places=paddle.CPUPlace()
    )
    return _timed(iter(loader), batches, sampler.batch_size)


def _dataset(config: str):  # type: ignore[no-untyped-def]
    import os

    from benchmarks.loader_data import cache_folder, data_root
    from medicalseg.core.sampler import IterationSampler
    from medicalseg.cvlibs import Config
    from medicalseg.ops.process import configure_process

    configure_process(1)
    os.environ["MEDICALSEG_CACHE"] = str(cache_folder())
    built = Config(f"configs/{config}", opts=[f"data_root={data_root(config.partition('/')[0])}"])
    dataset = built.train_dataset
    for number in range(len(dataset.cases)):
        dataset[(0, number)]
    return dataset, IterationSampler(len(dataset), built.batch_size, _LONG)


def _timed(batches, count: int, size: int) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    """Rounds of `count` batches; their `extra` says how long a batch is waited for that is ready."""
    kept: dict[str, float] = {}

    def run() -> object:
        start = time.perf_counter()
        for _ in range(count):
            next(batches)
        each = (time.perf_counter() - start) / count
        if not kept:
            kept["ms to take a batch that is ready"] = round(1000 * _waiting(batches, 2.5 * each), 2)
        kept["samples per second"] = round(size / each, 1)
        return SimpleNamespace(extra=kept)

    return run


def _waiting(batches, pause: float) -> float:  # type: ignore[no-untyped-def]
    waits = []
    for _ in range(_WAITS):
        time.sleep(pause)
        start = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - start)
    return sorted(waits)[_WAITS // 2]
