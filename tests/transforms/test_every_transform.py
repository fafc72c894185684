"""One set of tests for every registered transform: kinds, alignment, seeds, awkward arrays."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg import transforms as T
from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError, DataError
from medicalseg.utils.seeding import sample_seed

SHAPE = (24, 20, 7)
EVERY_PLANE = [[0, 1], [0, 2], [1, 2]]

SPATIAL = {
    "Resize3D": T.Resize3D([17, 31, 7]),
    "Resize3D shortest side": T.Resize3D(9),
    "RandomRotation3D": T.RandomRotation3D(40),
    "RandomRotation3D every plane": T.RandomRotation3D([-90, 180], EVERY_PLANE),
    "RandomQuarterTurn3D": T.RandomQuarterTurn3D(),
    "RandomQuarterTurn3D every plane": T.RandomQuarterTurn3D(1.0, EVERY_PLANE),
    "RandomFlip3D": T.RandomFlip3D(1.0),
    "RandomResizedCrop3D": T.RandomResizedCrop3D([20, 20, 9], scale=[0.3, 1.0]),
    "RandomResizedCrop3D pre_crop": T.RandomResizedCrop3D(8, scale=[0.7, 1], pre_crop=True, nonzero_mask=True),
    "RandomRotation4D": T.RandomRotation4D(40, [[1, 2], [1, 3], [2, 3]]),
    "RandomFlip4D": T.RandomFlip4D(1.0),
    "RandomCrop4D": T.RandomCrop4D(6),
    "RandomCrop4D padded": T.RandomCrop4D([8, 30, 12], nonzero_mask=True),
    "MirrorTransform": T.MirrorTransform(),
    "ResizeRangeScaling": T.ResizeRangeScaling(interpolation=1),
    "RandomPaddingCrop": T.RandomPaddingCrop([30, 10, 7]),
    "RandomAffine3D": T.RandomAffine3D(30, [0.7, 1.4], 0.2),
    "RandomAffine3D every plane": T.RandomAffine3D(30, [0.7, 1.4], 0.2, EVERY_PLANE, isotropic=False),
    "RandomScale3D": T.RandomScale3D(),
    "RandomElastic3D": T.RandomElastic3D(5, 0.1),
    "RandomCutout": T.RandomCutout([0.2, 0.6], 2, label="background", prob=1),
    "SpatialTransform": T.SpatialTransform(p_rotation=1, p_scaling=1),
    "SpatialTransform patch": T.SpatialTransform([17, 21, 5], p_rotation=0.5, p_scaling=0.5),
    "SpatialTransform patch, every plane": T.SpatialTransform([12, 9, 6], True, 0, 1, 30, EVERY_PLANE, 1, [0.7, 1.4]),
    "SpatialTransform elastic": T.SpatialTransform([12, 9, 6], p_elastic=1, control_points=5, max_displacement=0.1),
}
INTENSITY = {
    "GaussianNoiseTransform": T.GaussianNoiseTransform(),
    "GaussianBlurTransform": T.GaussianBlurTransform([0.5, 1]),
    "GaussianBlurTransform per axis": T.GaussianBlurTransform([0.5, 1], different_sigma_per_axis=True),
    "BrightnessMultiplicativeTransform": T.BrightnessMultiplicativeTransform(),
    "RandomBrightness": T.RandomBrightness(),
    "ContrastAugmentationTransform": T.ContrastAugmentationTransform(),
    "SimulateLowResolutionTransform": T.SimulateLowResolutionTransform([0.5, 0.7]),
    "SimulateLowResolutionTransform cubic": T.SimulateLowResolutionTransform(
        [0.5, 0.7], True, order_downsample=0, order_upsample=3, ignore_axes=[2]
    ),
    "GammaTransform": T.GammaTransform(),
    "GammaTransform inverted": T.GammaTransform(invert_image=True, retain_stats=True, per_channel=True),
}
OTHER = {
    "NnUNetAugmentation": T.NnUNetAugmentation(p_foreground=0),
    "NnUNetAugmentation patch": T.NnUNetAugmentation([16, 16, 4], p_foreground=0, mirror_axes=None),
    "LabelRemap": T.LabelRemap({1: 2, 2: 1}),
    "RandomCutout mean": T.RandomCutout(0.5, [1, 3], False, "mean", prob=1),
    "RandomResizedCrop3D with a border": T.RandomResizedCrop3D([20, 20, 9], scale=[1.2, 2]),
}
EVERY = {**SPATIAL, **INTENSITY, **OTHER}
MASK = {"BinaryMaskToConnectComponent", "TopkLargestConnectComponent"}

every = pytest.mark.parametrize("transform", EVERY.values(), ids=EVERY.keys())
spatial = pytest.mark.parametrize("transform", SPATIAL.values(), ids=SPATIAL.keys())
intensity = pytest.mark.parametrize("transform", INTENSITY.values(), ids=INTENSITY.keys())


def sample(shape=SHAPE, dtype=np.int32, channels=None):
    generator = np.random.default_rng(3)
    image = generator.random(shape if channels is None else (channels, *shape), dtype=np.float32)
    label = generator.choice(np.array([0, 3, 19, 255 if dtype != np.int8 else 7]), shape).astype(dtype)
    return image, label


def test_every_registered_transform_is_tested():
    tested = {type(transform).__name__ for transform in EVERY.values()} | MASK | {"Compose"}
    assert {name for name in manager.TRANSFORMS if name in T.__all__} == tested


@every
class TestEveryTransform:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
    @pytest.mark.parametrize("channels", [None, 1, 3])
    def test_kinds(self, transform, dtype, channels):
        image, label = sample(dtype=dtype, channels=channels)
        with sample_seed(1):
            new_image, new_label = transform(image, label)
        assert new_image.dtype == np.float32
        assert new_label.dtype == dtype
        assert new_image.shape[-3:] == new_label.shape
        assert new_image.ndim == image.ndim
        assert channels is None or len(new_image) == channels
        assert np.isfinite(new_image).all()

    def test_label_ids_are_a_subset(self, transform):
        image, label = sample()
        for index in range(5):
            with sample_seed(index):
                new_label = transform(image, label)[1]
            assert set(np.unique(new_label)) <= {0, 3, 19, 255}

    def test_input_is_left_alone(self, transform):
        image, label = sample()
        before = image.copy(), label.copy()
        with sample_seed(2):
            transform(image, label)
        np.testing.assert_array_equal(image, before[0])
        np.testing.assert_array_equal(label, before[1])

    def test_seed_decides(self, transform):
        image, label = sample()
        results = []
        for seed in [(7, 0, 4), (7, 0, 4)]:
            with sample_seed(*seed):
                results.append(transform(image, label))
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])

    def test_without_label(self, transform):
        image, label = sample()
        with sample_seed(5):
            alone = transform(image)
        with sample_seed(5):
            together = transform(image, label)
        assert alone[1] is None
        if not getattr(transform, "nonzero_mask", False):
            np.testing.assert_array_equal(alone[0], together[0])

    @pytest.mark.parametrize("value", [0.0, -3.0, 1e4])
    def test_constant_image(self, transform, value):
        image = np.full(SHAPE, value, np.float32)
        with sample_seed(6):
            new_image, new_label = transform(image, np.zeros(SHAPE, np.uint8))
        assert np.isfinite(new_image).all()
        assert not new_label.any()

    @pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (5, 1, 5), (1, 24, 24)])
    def test_small_grid(self, transform, shape):
        image, label = sample(shape)
        with sample_seed(8):
            new_image, new_label = transform(image, label)
        assert new_image.shape == new_label.shape
        assert np.isfinite(new_image).all()

    def test_flipped_view_and_integer_image(self, transform):
        image, label = sample()
        image = (100 * image).astype(np.int16)[::-1, :, ::-1]
        with sample_seed(9):
            view = transform(image, label[::-1, :, ::-1])
        with sample_seed(9):
            copy = transform(image.copy(), label[::-1, :, ::-1].copy())
        np.testing.assert_allclose(view[0], copy[0], rtol=1e-5)
        np.testing.assert_array_equal(view[1], copy[1])

    def test_bad_input(self, transform):
        image, label = sample()
        with pytest.raises(DataError, match="different grids"):
            transform(image, label[1:])
        with pytest.raises(DataError, match="integers"):
            transform(image, label.astype(np.float32))
        with pytest.raises(DataError, match="non-empty"):
            transform(image[0], None)
        with pytest.raises(DataError, match="non-empty"):
            transform(image[:0], None)

    def test_repr_names_the_transform(self, transform):
        assert repr(transform).startswith(type(transform).__name__ + "(")


@spatial
class TestAlignment:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_label_stays_within_half_a_voxel_of_the_image(self, transform, axis):
        """Image channel k holds the coordinate along axis k + 1, the label the same as whole number; 0 is outside."""
        ramps = np.stack(np.indices(SHAPE)).astype(np.float32) + 1
        label = ramps[axis].astype(np.int32)
        for index in range(6):
            with sample_seed(index, axis):
                image, new_label = transform(ramps, label)
            inside = new_label > 0
            assert inside.any()
            assert np.abs(image[axis] - new_label)[inside & (image[axis] >= 1)].max() <= 0.5 + 1e-3
            outside = image[axis] == 0
            assert not new_label[outside].any()

    def test_other_index_other_result(self, transform):
        if isinstance(transform, T.Resize3D):
            pytest.skip("nothing random")
        image, label = sample()
        results = []
        for index in range(8):
            with sample_seed(0, 0, index):
                results.append(transform(image, label)[0])
        assert any(result.shape != results[0].shape or not np.array_equal(result, results[0]) for result in results[1:])


@intensity
class TestIntensity:
    def test_label_is_the_same_object(self, transform):
        image, label = sample()
        assert transform(image, label)[1] is label

    def test_changes_every_channel_but_not_with_probability_0(self, transform):
        image, _ = sample(channels=3)
        with sample_seed(4):
            changed = transform(image)[0]
        assert all(not np.array_equal(new, old) for new, old in zip(changed, image, strict=True))
        certain = transform.p_per_sample
        transform.p_per_sample = 0.0
        np.testing.assert_array_equal(transform(image)[0], image)
        transform.p_per_sample = certain

    def test_one_channel_equals_three_dimensions(self, transform):
        image, _ = sample()
        with sample_seed(5):
            flat = transform(image)[0]
        with sample_seed(5):
            stacked = transform(image[np.newaxis])[0]
        np.testing.assert_array_equal(flat, stacked[0])


WRONG = [
    (T.Resize3D, {"size": [1, 2]}, "size"),
    (T.Resize3D, {"size": 0}, "size"),
    (T.Resize3D, {"size": 8, "order": 7}, "order"),
    (T.RandomRotation3D, {"degrees": -3}, "degrees"),
    (T.RandomRotation3D, {"degrees": [3, 1]}, "degrees"),
    (T.RandomRotation3D, {"degrees": "30"}, "degrees"),
    (T.RandomRotation3D, {"degrees": float("nan")}, "degrees"),
    (T.RandomRotation3D, {"degrees": 3, "rotate_planes": [0, 1]}, "rotate_planes"),
    (T.RandomRotation3D, {"degrees": 3, "rotate_planes": [[0, 3]]}, "rotate_planes"),
    (T.RandomRotation3D, {"degrees": 3, "rotate_planes": []}, "rotate_planes"),
    (T.RandomRotation4D, {"degrees": 3, "rotate_planes": [[0, 1]]}, "channel axis"),
    (T.RandomQuarterTurn3D, {"prob": 1.5}, "prob"),
    (T.RandomFlip3D, {"flip_axis": 3}, "flip_axis"),
    (T.RandomFlip3D, {"flip_axis": [0, 0]}, "flip_axis"),
    (T.RandomFlip3D, {"prob": True}, "prob"),
    (T.RandomFlip4D, {"flip_axis": [0, 1]}, "channel axis"),
    (T.RandomResizedCrop3D, {"size": "128"}, "size"),
    (T.RandomResizedCrop3D, {"size": 8, "scale": [0, 1]}, "scale"),
    (T.RandomResizedCrop3D, {"size": 8, "pre_crop": 1}, "pre_crop"),
    (T.RandomCrop4D, {"size": [1, 1, 1, 1]}, "size"),
    (T.RandomPaddingCrop, {"label_padding_value": 0.5}, "label_padding_value"),
    (T.MirrorTransform, {"axes": []}, "axes"),
    (T.ResizeRangeScaling, {"min_scale_factor": 2, "max_scale_factor": 1}, "max_scale_factor"),
    (T.GaussianNoiseTransform, {"noise_variance": [-1, 1]}, "noise_variance"),
    (T.GaussianNoiseTransform, {"noise_variance": 0.1}, "noise_variance"),
    (T.GaussianBlurTransform, {"blur_sigma": [2, 1]}, "blur_sigma"),
    (T.BrightnessMultiplicativeTransform, {"per_channel": "yes"}, "per_channel"),
    (T.ContrastAugmentationTransform, {"p_per_channel": 2}, "p_per_channel"),
    (T.SimulateLowResolutionTransform, {"zoom_range": [0.5, 2]}, "zoom_range"),
    (T.SimulateLowResolutionTransform, {"channels": 1}, "channels"),
    (T.GammaTransform, {"gamma_range": [0, 1]}, "gamma_range"),
    (T.RandomAffine3D, {"spacing": [1, 1]}, "spacing"),
    (T.RandomAffine3D, {"translation": 2}, "translation"),
    (T.RandomElastic3D, {"max_displacement": 0.2}, "max_displacement"),
    (T.RandomElastic3D, {"control_points": 3}, "control_points"),
    (T.RandomCutout, {"size": 1.5}, "size"),
    (T.RandomCutout, {"holes": 0}, "holes"),
    (T.RandomCutout, {"holes": [3, 1]}, "holes"),
    (T.RandomCutout, {"fill": "median"}, "fill"),
    (T.RandomCutout, {"label": "ignore"}, "label"),
    (T.RandomCutout, {"label": 0.5}, "label"),
    (T.SpatialTransform, {"patch_size": [1, 2]}, "patch_size"),
    (T.SpatialTransform, {"p_rotation": -0.1}, "p_rotation"),
    (T.SpatialTransform, {"p_foreground": 2}, "p_foreground"),
    (T.SpatialTransform, {"scaling": [0, 1]}, "scaling"),
    (T.SpatialTransform, {"max_displacement": 0.2}, "max_displacement"),
    (T.SpatialTransform, {"rotate_planes": [[1, 1]]}, "rotate_planes"),
    (T.NnUNetAugmentation, {"patch_size": 0}, "patch_size"),
    (T.NnUNetAugmentation, {"mirror_axes": [3]}, "mirror_axes"),
    (T.NnUNetAugmentation, {"degrees": [2, 1]}, "degrees"),
    (T.BinaryMaskToConnectComponent, {"minimum_volume": -1}, "minimum_volume"),
    (T.TopkLargestConnectComponent, {"k": 0}, "k must be"),
    (T.LabelRemap, {"mapping": [1, 2]}, "mapping"),
    (T.LabelRemap, {"mapping": {1: "2"}}, "mapping"),
]


@pytest.mark.parametrize(("transform", "arguments", "named"), WRONG)
def test_wrong_argument_is_named(transform, arguments, named):
    with pytest.raises(ConfigError, match=named) as error:
        transform(**arguments)
    assert transform.__name__ in str(error.value)
