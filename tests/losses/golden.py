"""The batch of the golden numbers in `upstream.md`, section 6, and those numbers."""

from __future__ import annotations

import numpy as np

LOGITS = np.sin(0.37 * np.arange(2 * 4 * 60)).reshape(2, 4, 3, 4, 5).astype(np.float32)
LABEL = (np.arange(2 * 60) % 3).reshape(2, 3, 4, 5)
SIGMOID_DICE = [0.5512771, 0.5412830, 0.5424442, 0.0]
SIGMOID_LOSS = 0.5912489
SOFTMAX_DICE = [0.4181394, 0.3816378, 0.4040691, 0.0]
SOFTMAX_LOSS = 0.6990384
UPSTREAM_WEIGHTS = [2.8028517, 3.2361178, 2.8008137, 3.2039301]
WEIGHTED_CROSS_ENTROPY = 1.6029389
CROSS_ENTROPY = 1.5985004
