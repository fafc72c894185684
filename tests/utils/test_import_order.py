"""Packages that unpack themselves can be imported after Paddle, whose 2.6 release brings a zlib of its own."""

from __future__ import annotations

import subprocess
import sys


def test_scipy_after_the_networks() -> None:
    program = "import medicalseg.models, scipy.sparse"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
