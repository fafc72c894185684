"""What every backend is: a loaded model that turns one array into another."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """A loaded model with one input and one output."""

    name: str

    def run(self, x: np.ndarray) -> np.ndarray:
        """The model's output, an array of the caller's own, for a contiguous float32 input (N, C, X, Y, Z).

        Raises:
            RunError: if the model cannot be run on this input.
        """


def first_line(error: BaseException) -> str:
    """The line of an error message that tells most, at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line] or lines
    return telling[-1][:200] if telling else type(error).__name__
