"""How to run a training: what `medicalseg train` takes as flags."""

from __future__ import annotations

from dataclasses import dataclass

from medicalseg.core.profiling import ProfilerOptions
from medicalseg.errors import UserError
from medicalseg.utils.interval import Interval


@dataclass(frozen=True)
class TrainOptions:
    """How to run a training; what is trained stands in the configuration.

    Attributes:
        save_dir: folder for checkpoints, logs and curves.
        save_interval: iterations between checkpoints, or a share of the run such as "10%"; None: as the configuration
            says, else 1000, with `epochs` one epoch, with `max_time` 10%.
        val_interval: the same between evaluations of whole cases; None: with every checkpoint.
        pseudo_interval: the same between pseudo-Dices of patches; None: 5% where the data give patches.
        limit_iters: with `max_time`, end after the configuration's iterations too.
        resume: an `iter_N` folder, "auto" for the newest in `save_dir`, or None.
        keep_checkpoint_max: newest checkpoints to keep; 0 or less keeps all.
        num_workers: processes that make batches.
        do_eval: evaluate `val_dataset` at intervals and keep the best weights.
        log_iters: iterations between log lines; None: 100, with `max_time` at least 20 lines in a run.
        use_vdl: write VisualDL records.
        seed: seed of weights, data order, augmentation, dropout.
        device: cpu, gpu, gpu:N, xpu, or None for what there is.
        backend: how ranks talk: auto, gloo, nccl, bkcl.
        precision: fp32, fp16 or bf16; None follows the configuration.
        amp_level: O1 or O2.
        sync_bn: batch-norm statistics over all ranks (GPU).
        use_ema: keep a moving average of the weights and evaluate that; None follows the configuration.
        ema_decay: decay of that average, which asks for it; None follows the configuration.
        early_stop_intervals: end after this many evaluations without improvement; None follows the configuration.
        early_stop_min_delta: what counts as an improvement; None follows the configuration.
        cpu_accel: auto or off: oneDNN convolutions on the CPU.
        sw_num: windows per forward pass in a sliding-window evaluation; None evaluates volumes in one piece.
        save_predictions: write label maps of the first 5 evaluated cases and pictures to `save_dir/eval`.
        profiler: what to profile.
    """

    save_dir: str = "./output"
    save_interval: int | str | None = None
    val_interval: int | str | None = None
    pseudo_interval: int | str | None = None
    limit_iters: bool = False
    resume: str | None = None
    keep_checkpoint_max: int = 5
    num_workers: int = 0
    do_eval: bool = False
    log_iters: int | None = None
    use_vdl: bool = False
    seed: int = 0
    device: str | None = None
    backend: str = "auto"
    precision: str | None = None
    amp_level: str = "O1"
    sync_bn: bool = False
    use_ema: bool | None = None
    ema_decay: float | None = None
    early_stop_intervals: int | None = None
    early_stop_min_delta: float | None = None
    cpu_accel: str = "auto"
    sw_num: int | None = None
    save_predictions: bool = False
    profiler: ProfilerOptions | None = None

    def __post_init__(self) -> None:
        for name, least in (("log_iters", 1), ("num_workers", 0), ("early_stop_intervals", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} {value}: must be at least {least}")
        for name in ("save_interval", "val_interval", "pseudo_interval"):
            value = getattr(self, name)
            if value is not None:
                _check_interval(name, value)
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise UserError(f"--ema_decay {self.ema_decay}: must lie between 0 and 1")
        if self.ema_decay is not None and self.use_ema is False:
            raise UserError("--ema_decay and --use_ema False: give one of them")
        if self.early_stop_min_delta is not None and not self.early_stop_min_delta >= 0:
            raise UserError(f"--early_stop_min_delta {self.early_stop_min_delta}: must not be below 0")


def _check_interval(name: str, value: int | str) -> None:
    try:
        Interval.parse(value)
    except UserError as error:
        raise UserError(f"--{name} {error}") from error
