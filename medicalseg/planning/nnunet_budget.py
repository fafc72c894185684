"""nnU-Net's budget for a GPU: feature maps of a batch that are known to fit into so many gigabytes.

The reference numbers are those of `medicalseg.models.presets`: so many numbers in the feature maps of a batch of 2 (3D)
or 12 (2D) patches, of networks of the default width, train in mixed precision within 8, 24 or 40 GB.
"""

from __future__ import annotations

from dataclasses import dataclass

from medicalseg.models.presets import BASE_FEATURES, MOST_FEATURES, Preset
from medicalseg.planning.topology import Topology
from medicalseg.planning.unet_cost import feature_elements, unet

BATCH_OF_REFERENCE = {2: 12, 3: 2}


@dataclass(frozen=True)
class Budget:
    """What a patch and a batch may cost on a GPU.

    Attributes:
        preset: numbers that are known to fit.
        gigabytes: memory of the GPU that may be used.
        in_channels: channels of the input.
        num_classes: channels of the output.
    """

    preset: Preset
    gigabytes: float
    in_channels: int
    num_classes: int

    def limit(self, dimensions: int) -> float:
        """What `cost` may be."""
        elements = self.preset.elements if dimensions == 3 else self.preset.elements_2d
        return elements * self.gigabytes / self.preset.memory_gb

    def cost(self, shape: Topology, batch: int) -> float:
        """Numbers in the feature maps per batch of the reference; from 3 patches on, the batch is rounded."""
        dimensions = len(shape.patch)
        most = MOST_FEATURES[dimensions]
        network = unet(self.preset.network, shape, BASE_FEATURES, most, self.in_channels, self.num_classes)
        counted = batch if batch <= 2 else batch - 0.5
        return feature_elements(network) / BATCH_OF_REFERENCE[dimensions] * counted
