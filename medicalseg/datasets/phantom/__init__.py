"""Built-in data: a generated spine, sagittal and T2-like, in MRISpineSeg's 20 classes.

Nothing is downloaded. A case is fixed by (seed, case number): the same patient at every image size. The levels can only
be told by counting from the sacrum, as in real scans; see docs/explanation/phantom.md.

Example:
    >>> from medicalseg.datasets.phantom import spine_phantom
    >>> image, label, affine = spine_phantom(1, seed=0, size=(64, 64, 12))
    >>> image.shape, str(image.dtype), int(label.max()) <= 19
    ((64, 64, 12), 'int16', True)
"""

from medicalseg.datasets.phantom.generate import Phantom, spine_phantom
from medicalseg.datasets.phantom.raw import write_raw_phantom

__all__ = ["Phantom", "spine_phantom", "write_raw_phantom"]
