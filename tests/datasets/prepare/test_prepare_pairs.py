"""What a raw folder lacks: labels without images are named, a number of cases unlike the public one is noted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli import main
from medicalseg.datasets.prepare.pairs import natural_key, pair_by_name

from .acdc_miniature import write_acdc
from .brain_miniature import write_brain
from .conftest import write_pair
from .picture_preparations import printed
from .synapse_miniature import write_synapse


def lung(folder: Path) -> Path:
    for number in range(1, 4):
        image = folder / "20_ncov_scan" / f"coronacases_org_{number:03d}.nii.gz"
        write_pair(image, folder / "lung_mask" / f"coronacases_{number:03d}.nii.gz", shape=(4, 4, 4))
    return folder


def spine(folder: Path) -> Path:
    for number in range(1, 4):
        write_pair(folder / "MR" / f"Case{number}.nii.gz", folder / "Mask" / f"mask_case{number}.nii.gz", (4, 4, 4))
    return folder


def prostate(folder: Path) -> Path:
    for number in range(3):
        image = folder / "Training" / f"Case{number:02d}.mha"
        write_pair(image, image.with_name(f"Case{number:02d}_segmentation.mha"), shape=(4, 4, 4), classes=2)
    return folder


KINDS = {
    "abdomen": (lambda folder: write_synapse(folder, 3), "img0002.nii.gz", "label0002.nii.gz", 30),
    "lung_coronavirus": (lung, "coronacases_org_002.nii.gz", "coronacases_002.nii.gz", 20),
    "mri_spine_seg": (spine, "Case2.nii.gz", "mask_case2.nii.gz", None),
    "msd_brain_seg": (lambda folder: write_brain(folder, 4), "imagesTr/BRATS_002.nii.gz", "BRATS_002.nii.gz", 484),
    "acdc": (lambda folder: write_acdc(folder, 3), "patient002_frame01.nii.gz", "patient002_frame01_gt.nii.gz", 200),
    "prostate": (prostate, "Case01.mha", "Case01_segmentation.mha", 50),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_image_is_noticed(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write, image, label, public = KINDS[name]
    raw = write(tmp_path / "raw")
    flags = ["--raw_dir", raw, "--dataset_root", tmp_path / "out", "--num_workers", 0]
    flags += ["--size", 4, 4, 4] if name in ("lung_coronavirus", "mri_spine_seg", "prostate") else []
    assert main(["prepare", name, *map(str, flags)]) == 0
    said = printed(capsys)
    assert "without image" not in said
    assert (f"the public data have {public}" in said) == (public is not None)
    (path,) = raw.rglob(image)
    path.unlink()
    assert main(["prepare", name, *map(str, flags)]) == 0
    said = printed(capsys)
    assert f"1 label without image, left out: {label}" in said


def test_pairs(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    for name in ("LABEL1.nii.gz", "label9.nii"):
        write_pair(tmp_path / "unused.nii.gz", labels / name, shape=(2, 2, 2))
    images = [(f"img{number}", (tmp_path / f"img{number}.nii",)) for number in (2, 1)]
    first, second = pair_by_name(images, labels, lambda name: name.replace("img", "label"))
    assert (first.name, first.label, first.label_stem) == ("img2", labels / "label2.nii", "label2")
    assert (second.name, second.label, second.images) == ("img1", labels / "LABEL1.nii.gz", (tmp_path / "img1.nii",))


def test_order_by_numbers() -> None:
    names = ["Case10", "b", "Case9", "Case9b2", "Case9b10", "10a", "9"]
    expected = ["9", "10a", "Case9", "Case9b2", "Case9b10", "Case10", "b"]
    shuffled = [names[index] for index in np.random.default_rng(0).permutation(len(names))]
    assert sorted(shuffled, key=natural_key) == expected
