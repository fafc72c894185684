"""The machine a benchmark ran on."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from medicalseg.ops import available_cores

SESSION, SECONDS = 3, slice(11, 15)  # of /proc/PID/stat, counted after the name
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")


def describe() -> dict[str, Any]:
    """CPU model, features that matter, cores, memory and system; nothing that names the machine."""
    cpu = _cpuinfo()
    flags = set(cpu.get("flags", "").split())
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": f"{cpu.get('vendor_id', '')} family {cpu.get('cpu family', '?')} model {cpu.get('model', '?')}",
        "features": [name for name in FEATURES if name in flags],
        "cores": available_cores(),
        "memory_mb": round(_meminfo("MemTotal")),
        "os": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "load_before": _load(),
    }


def available_megabytes() -> float:
    """Memory that can still be had, MiB; infinite where the system does not tell."""
    return _meminfo("MemAvailable") or float("inf")


def commit(folder: Path) -> str | None:
    """The commit checked out in a folder, with "+" if files differ from it; None where git does not tell."""
    try:
        head = _git(folder, "rev-parse", "--short", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "medicalseg", "benchmarks")
        return head + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def process_megabytes(key: str, process: int | str = "self") -> float | None:
    """A memory field of a process, such as VmRSS or VmHWM, in MiB; None where the system does not tell."""
    try:
        status = _fields(Path("/proc", str(process), "status"))
    except OSError:
        return None
    return int(status[key].split()[0]) / 1024 if key in status else None


def busy_seconds() -> float | None:
    """Processor seconds spent by everything on the machine so far, waiting left out; None where it does not tell."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, *_ = (int(value) for value in fields[1:])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def session_seconds() -> float:
    """Processor seconds of this process, of those it started in its session, and of those that have ended."""
    total = time.process_time() + sum(os.times()[2:4])
    session, tick = os.getsid(0), os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[SESSION]) == session:
                total += sum(int(value) for value in fields[SECONDS]) / tick
    return total


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _cpuinfo() -> dict[str, str]:
    return _fields(Path("/proc/cpuinfo"))


def _meminfo(key: str) -> float:
    return int(_fields(Path("/proc/meminfo")).get(key, "0").split()[0]) / 1024


def _fields(path: Path) -> dict[str, str]:
    """The first "key : value" of each key; empty where the file is missing."""
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found
