"""Numbers in a file, by its header alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medicalseg.inference.file_size import numbers_in
from medicalseg.io import Volume, write_volume

SHAPE = (11, 7, 5)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.mgz", "a.hdr", "a.npy"])
@pytest.mark.parametrize("channels", [1, 3])
def test_volumes(tmp_path: Path, name: str, channels: int) -> None:
    array = np.ones(SHAPE if channels == 1 else (channels, *SHAPE), np.int16)
    path = write_volume(Volume(array, np.eye(4)), tmp_path / name)
    assert numbers_in(path) == array.size


def test_other_files(tmp_path: Path) -> None:
    picture = write_volume(Volume(np.ones((11, 7, 1), np.uint8), np.eye(4)), tmp_path / "a.png")
    assert numbers_in(picture) == 77
    np.savez_compressed(tmp_path / "a.npz", image=np.zeros(SHAPE, np.uint8))
    assert numbers_in(tmp_path / "a.npz") >= 11 * 7 * 5
    for name in ("a.nii.gz", "a.nrrd", "a.dcm", "b.png", "a.mgz", "b.npz"):
        (tmp_path / name).write_bytes(b"not a volume")
        assert numbers_in(tmp_path / name) <= 12
    assert numbers_in(tmp_path / "absent.nii") == 0
    (tmp_path / "empty").mkdir()
    assert numbers_in(tmp_path / "empty") == 0


def test_a_dicom_folder(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    for index in range(4):
        item = pydicom.dataset.Dataset()
        item.Rows, item.Columns = 16, 12
        item.file_meta = pydicom.dataset.FileMetaDataset()
        item.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        pydicom.dcmwrite(tmp_path / f"{index}.dcm", item, implicit_vr=False, little_endian=True)
    assert numbers_in(tmp_path) == 4 * 16 * 12
