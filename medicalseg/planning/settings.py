"""What a user asks of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medicalseg.errors import UserError
from medicalseg.models.presets import PRESETS, Preset

KINDS = ("2d", "3d", "3d_lowres", "cascade")
NETWORKS = {"plain": "PlainConvUNet", "resenc": "ResidualEncoderUNet", "unet3d": "UNet3D", "vnet": "VNet"}
DEVICES = ("cpu", "gpu")
STEP_SECONDS = 1.0
MEMORY = 8.0
DEFAULT_PRESETS = {"plain": "plain", "resenc": "ResEncM"}


@dataclass(frozen=True)
class Settings:
    """How to plan.

    Attributes:
        device: "cpu" or "gpu".
        memory: gigabytes (2**30 bytes) that training may use.
        kinds: which configurations; empty = 3d, and what else seems useful is said.
        network: a short name of `NETWORKS`, or a registered name.
        preset: name in `medicalseg.models.presets`; None = the network's usual one.
        time_budget: length of the training as a text such as "30m"; None = a number of iterations.
        step_seconds: on the CPU, how long a step may take.
        precision: fp32, bf16 or fp16; what the user will train with.
        cores: cores that compute.
        speed: of a core, as a multiple of the measured one.

    Raises:
        UserError: a value is wrong.
    """

    device: str = "cpu"
    memory: float = MEMORY
    kinds: tuple[str, ...] = ()
    network: str = "plain"
    preset: str | None = None
    time_budget: str | None = None
    step_seconds: float = STEP_SECONDS
    precision: str = "fp32"
    cores: int = 1
    speed: float = 1.0

    def __post_init__(self) -> None:
        _among("--device", self.device, DEVICES)
        for kind in self.kinds:
            _among("--kind", kind, KINDS)
        if self.memory <= 0:
            raise UserError(f"--memory {size_text(self.memory)}: needs more than 0 gigabytes")
        if self.step_seconds <= 0:
            raise UserError(f"--step_seconds {self.step_seconds:g}: needs more than 0 seconds")
        if self.preset is not None:
            _among("--preset", self.preset, tuple(PRESETS))
            wanted = PRESETS[self.preset].network
            if self.network in NETWORKS and wanted != NETWORKS[self.network]:
                raise UserError(f"--preset {self.preset} is of {wanted}; --network {self.network} is not")

    @property
    def network_type(self) -> str:
        """Registered name of the network for volumes."""
        return NETWORKS.get(self.network, self.network)

    @property
    def planned(self) -> Preset | None:
        """The numbers of the network's preset; None where there are none."""
        name = self.preset or DEFAULT_PRESETS.get(self.network)
        return PRESETS[name] if name else None


def gigabytes(text: str) -> float:
    """Gigabytes of `8G`, `8GB`, `800M` or `8`.

    Raises:
        UserError: it is none of these.

    Example:
        >>> gigabytes("512M")
        0.5
    """
    plain = text.strip().upper().removesuffix("IB").removesuffix("B")
    units = {"G": 1.0, "M": 1 / 1024, "T": 1024.0}
    unit = units.get(plain[-1:])
    try:
        value = float(plain[:-1]) * unit if unit else float(plain)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(f"--memory {text}: expected a size such as 8G or 800M")
    return value


def size_text(gigabytes: float) -> str:
    """Gigabytes as a person writes them.

    Example:
        >>> size_text(8), size_text(0.25)
        ('8G', '256M')
    """
    return f"{gigabytes:g}G" if gigabytes >= 1 else f"{1024 * gigabytes:.4g}M"


def _among(flag: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(f"{flag} {value}: expected one of {', '.join(allowed)}")
