"""How often something happens in a run: every so many iterations, or a share of the run."""

from __future__ import annotations

from dataclasses import dataclass

from medicalseg.errors import UserError


@dataclass(frozen=True)
class Interval:
    """A period; one of the two is set.

    Attributes:
        iterations: in iterations.
        share: as a share of the whole run, above 0 and at most 1.
    """

    iterations: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, value: int | str) -> Interval:
        """An interval from `500` or `"10%"`.

        Raises:
            UserError: it is neither a whole number above 0 nor a share above 0 %, up to 100 %.

        Example:
            >>> Interval.parse("10%").share
            0.1
        """
        text = str(value).strip()
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100
                if 0 < share <= 1:
                    return cls(share=share)
            elif not isinstance(value, bool) and int(text) > 0:
                return cls(iterations=int(text))
        except ValueError:
            pass
        raise UserError(f"{value!r}: expected a number of iterations such as 500, or a share of the run such as 10%")

    def __str__(self) -> str:
        return f"{self.iterations} iterations" if self.iterations else f"{100 * (self.share or 0):g}% of the run"
