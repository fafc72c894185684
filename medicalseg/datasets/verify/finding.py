"""What verification found wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd.

    Attributes:
        severity: "error" (training on it would be wrong) or "warning" (worth a look).
        kind: short fixed name, such as "shape_mismatch".
        case: case name; "" for the dataset as a whole.
        message: one line.
    """

    severity: str
    kind: str
    case: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def one_line(error: object) -> str:
    """A message without line breaks."""
    return " ".join(str(error).split())
