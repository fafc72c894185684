"""Checks of a dataset before it is trained on."""

from medicalseg.datasets.verify.run import verify_dataset

__all__ = ["verify_dataset"]
