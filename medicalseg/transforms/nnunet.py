"""nnU-Net's augmentation as one entry of a config."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Step, Transform
from medicalseg.transforms.blur import GaussianBlurTransform
from medicalseg.transforms.brightness import BrightnessMultiplicativeTransform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.contrast import ContrastAugmentationTransform, GammaTransform
from medicalseg.transforms.flip import MirrorTransform
from medicalseg.transforms.low_resolution import SimulateLowResolutionTransform
from medicalseg.transforms.noise import GaussianNoiseTransform
from medicalseg.transforms.sampling import thin_axes
from medicalseg.transforms.spatial import SpatialTransform

GAMMA = (0.7, 1.5)


@manager.TRANSFORMS.add_component
class NnUNetAugmentation(Transform):
    """The augmentation nnU-Net v2 trains with by default, its probabilities and ranges included.

    Patch, rotation and scaling (`SpatialTransform`), then noise, blur, brightness, contrast, low resolution, gamma of
    the negative, gamma, mirroring, each with its own probability. Grey values are expected with a mean of 0 and a
    standard deviation of 1, as nnU-Net's are: let the preprocessing do that, since `normalize` comes last.

    Labels take the nearest voxel, where nnU-Net interpolates each class and takes the largest.

    Args:
        patch_size: grid of the result, [x, y, z] or one number for a cube or square; default: the volume's, or of a
            dataset of patches its `patch_size`.
        p_foreground: probability that the patch is centred on a labelled voxel.
        degrees: range of the angle in each plane; default: 180 within the slices of a patch with a thin axis (shorter
            than a third of the longest), otherwise 30; of an image 180, or 15 if its sides differ by more than half.
        scaling: range of (side of what is seen) / (side of the patch).
        mirror_axes: spatial axes to mirror along, X = 0, or null for none. Labels are not exchanged: leave the
            left-right axis out where left and right structures have different ids.

    Source:
        Isensee et al. (2021), "nnU-Net: a self-configuring method for deep learning-based biomedical image
        segmentation", Nature Methods 18, supplementary note 4; the numbers are those of nnunetv2 2.8.1.
    """

    def __init__(
        self,
        patch_size: int | Sequence[int] | None = None,
        p_foreground: float = 0.33,
        degrees: float | Sequence[float] | None = None,
        scaling: Sequence[float] = (0.7, 1.4),
        mirror_axes: Sequence[int] | None = (0, 1, 2),
    ) -> None:
        arguments = Arguments(self)
        self.patch_size = None if patch_size is None else arguments.grid("patch_size", patch_size)
        self.p_foreground = arguments.probability("p_foreground", p_foreground)
        self.degrees = None if degrees is None else arguments.spread("degrees", degrees)
        self.scaling = arguments.interval("scaling", scaling, 0.01, 100)
        self.mirror_axes = arguments.axes("mirror_axes", mirror_axes) if mirror_axes else ()
        self._spatial = SpatialTransform(
            self.patch_size, p_foreground=self.p_foreground, degrees=self.degrees, scaling=self.scaling
        )
        self._after_cut = _AfterCut(self.mirror_axes)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        return self.step(image, label, False)[:2]

    def step(self, image: np.ndarray, label: np.ndarray | None, owned: bool) -> Step:
        return self._after_cut.step(*self._spatial.step(image, label, owned))

    def cutting(self) -> tuple[SpatialTransform, tuple[Transform, ...]]:
        """What cuts the patch, and what is done with it then; for datasets that choose the place themselves."""
        return self._spatial, (self._after_cut,)


class _AfterCut(Transform):
    """Grey values, then mirroring.

    Args:
        mirror_axes: spatial axes, X = 0; may be empty.
    """

    def __init__(self, mirror_axes: Sequence[int]) -> None:
        self.mirror_axes = tuple(mirror_axes)
        self._before = (
            GaussianNoiseTransform((0, 0.1), 0.1),
            GaussianBlurTransform((0.5, 1), different_sigma_per_axis=True, p_per_channel=0.5, p_per_sample=0.2),
            BrightnessMultiplicativeTransform((0.75, 1.25), p_per_sample=0.15),
            ContrastAugmentationTransform((0.75, 1.25), p_per_sample=0.15),
        )
        self._after: tuple[Transform, ...] = (
            GammaTransform(GAMMA, invert_image=True, per_channel=True, retain_stats=True, p_per_sample=0.1),
            GammaTransform(GAMMA, per_channel=True, retain_stats=True, p_per_sample=0.3),
        )
        if self.mirror_axes:
            self._after += (MirrorTransform(self.mirror_axes),)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        return self.step(image, label, False)[:2]

    def step(self, image: np.ndarray, label: np.ndarray | None, owned: bool) -> Step:
        for transform in (*self._before, _low_resolution(image.shape[1:]), *self._after):
            image, label, owned = transform.step(image, label, owned)
        return image, label, owned


def _low_resolution(shape: Sequence[int]) -> SimulateLowResolutionTransform:
    """A thin axis keeps its resolution."""
    return SimulateLowResolutionTransform(
        (0.5, 1),
        per_channel=True,
        p_per_channel=0.5,
        order_downsample=0,
        order_upsample=1,
        p_per_sample=0.25,
        ignore_axes=thin_axes(shape),
    )
