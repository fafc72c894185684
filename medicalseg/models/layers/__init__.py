"""Building blocks shared by the networks."""

from medicalseg.models.layers.norm import NORMS, make_norm
from medicalseg.models.layers.sizes import SizeRule, Triple, as_triples

__all__ = ["NORMS", "SizeRule", "Triple", "as_triples", "make_norm"]
