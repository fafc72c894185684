"""medicalseg: from labelled medical volumes to a deployed segmenter with PaddlePaddle.

Importing the package is cheap and needs no Paddle; networks, losses and datasets are loaded when the registries in
`medicalseg.cvlibs.manager` are first asked for them.
"""

import zlib as _zlib  # noqa: F401 (before Paddle 2.6, whose own copy of it would crash Python's: sklearn, scipy.sparse)

__version__ = "0.1.0"
