"""Pictures against Pillow, NumPy and SimpleITK: every kind of sample, labels, damage, names, writing."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from medicalseg.errors import VolumeError
from medicalseg.io import Volume, case_name, find_volumes, read_label, read_planes, read_volume, write_volume

ROWS, COLUMNS = 7, 5


def numbers(dtype, channels=0, high=None):
    """Random samples (rows, columns) or (rows, columns, channels)."""
    shape = (ROWS, COLUMNS, channels) if channels else (ROWS, COLUMNS)
    generator = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return generator.normal(0, 50, shape).astype(dtype)
    return generator.integers(0, high or np.iinfo(dtype).max, shape, dtype=dtype)


def save_with_pillow(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def save_with_itk(path, array):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=array.ndim == 3), str(path))
    return path


def as_volume(array):
    """The contract: columns first, rows second, one slice."""
    return array.T[..., None] if array.ndim == 2 else array.transpose(2, 1, 0)[..., None]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".tiff", ".PNG"])
def test_grey_8_bit(tmp_path, suffix):
    array = numbers(np.uint8)
    volume = read_volume(save_with_pillow(tmp_path / f"a{suffix}", array))
    np.testing.assert_array_equal(volume.array, as_volume(array))
    assert volume.array.dtype == np.uint8
    assert volume.shape == (COLUMNS, ROWS, 1)
    assert volume.axcodes == "LPS"
    np.testing.assert_array_equal(volume.affine, np.diag([-1, -1, 1, 1]))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_16_bit(tmp_path, suffix):
    array = numbers(np.uint16)
    for path in (save_with_pillow(tmp_path / f"a{suffix}", array), save_with_itk(tmp_path / f"b{suffix}", array)):
        volume = read_volume(path)
        assert volume.array.dtype == np.uint16
        np.testing.assert_array_equal(volume.array, as_volume(array))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
def test_other_numbers_in_tiff(tmp_path, dtype):
    array = numbers(dtype)
    volume = read_volume(save_with_itk(tmp_path / "a.tif", array))
    np.testing.assert_array_equal(volume.array, as_volume(array))
    assert volume.array.dtype == dtype


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour(tmp_path, suffix, dtype, channels):
    array = numbers(dtype, channels)
    path = save_with_itk(tmp_path / f"a{suffix}", array)
    volume = read_volume(path, channels=True)
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(volume.array, as_volume(array)[:3])
    with pytest.raises(VolumeError, match=r"a\.\w+: has 3 values per voxel"):
        read_volume(path)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 5), (np.uint16, 2), (np.uint16, 5), (np.float32, 2)])
def test_tiff_with_any_number_of_channels(tmp_path, dtype, channels):
    array = numbers(dtype, channels)
    volume = read_volume(save_with_itk(tmp_path / "a.tif", array), channels=True)
    np.testing.assert_array_equal(volume.array, as_volume(array))


def test_alpha_is_left_out_with_a_note(tmp_path, warnings_of):
    array = numbers(np.uint8, 2)
    volume = read_volume(save_with_pillow(tmp_path / "a.png", array))
    np.testing.assert_array_equal(volume.array, as_volume(array[..., 0]))
    assert "transparency" in warnings_of()[0]
    array[..., 1] = 255
    read_volume(save_with_pillow(tmp_path / "b.png", array))
    assert len(warnings_of()) == 1


def test_grey_of_16_bits_with_alpha_is_refused(tmp_path):
    path = save_with_itk(tmp_path / "a.png", numbers(np.uint16, 2))
    with pytest.raises(VolumeError, match="16 bits with transparency"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit(tmp_path, suffix):
    array = numbers(np.uint8) > 100
    path = tmp_path / f"a{suffix}"
    Image.fromarray(array).convert("1", dither=Image.Dither.NONE).save(path)
    for volume in (read_volume(path), read_label(path)):
        np.testing.assert_array_equal(volume.array, as_volume(array.astype(np.uint8)))


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_of_grey_are_the_stored_numbers(tmp_path, bits):
    array = numbers(np.uint8, high=2**bits)
    path = tmp_path / "a.png"
    path.write_bytes(_png(array, bits))
    np.testing.assert_array_equal(read_label(path).array, as_volume(array))
    np.testing.assert_array_equal(read_volume(path).array, as_volume(array))


def _png(array, bits):
    """A grey PNG of a few bits, put together as the specification says."""
    import struct
    import zlib

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = []
    for row in array:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        rows.append(b"\0" + bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits), 8)))
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_palette_is_colour_as_image_and_indices_as_label(tmp_path, suffix):
    array = numbers(np.uint8, high=4)
    picture = Image.fromarray(array).convert("P")
    picture.putdata(array.ravel().tolist())
    colours = np.array([[0, 0, 0], [220, 60, 60], [60, 120, 220], [240, 200, 60]], np.uint8)
    picture.putpalette(colours.tobytes() + bytes(3 * 252))
    path = tmp_path / f"a{suffix}"
    picture.save(path)
    np.testing.assert_array_equal(read_label(path).array, as_volume(array))
    np.testing.assert_array_equal(read_volume(path, channels=True).array, as_volume(colours[array]))
    picture.putpalette(bytes(value for index in range(256) for value in [255 - index] * 3))
    picture.save(path)
    np.testing.assert_array_equal(read_volume(path).array, as_volume(255 - array))


def test_colour_label(tmp_path):
    array = numbers(np.uint8, high=5)
    path = save_with_pillow(tmp_path / "a.png", np.stack([array] * 3, axis=-1))
    np.testing.assert_array_equal(read_label(path).array, as_volume(array))
    with pytest.raises(VolumeError, match="has colours; a label map has one value"):
        read_label(save_with_pillow(tmp_path / "b.png", numbers(np.uint8, 3)))


def test_lossy_labels_are_refused(tmp_path):
    array = numbers(np.uint8)
    for path in (
        save_with_pillow(tmp_path / "a.jpg", array),
        save_with_pillow(tmp_path / "b.tif", array, compression="jpeg"),
    ):
        assert read_volume(path).shape == (COLUMNS, ROWS, 1)
        with pytest.raises(VolumeError, match=rf"{path.name}: has lossy compression"):
            read_label(path)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize(("number", "turn"), [(3, 2), (6, -1), (8, 1)])
def test_orientation_tag_is_followed(tmp_path, suffix, number, turn):
    array = np.zeros((8, 16), np.uint8)
    array[:, :8] = 200
    array[:3, :8] = 100
    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(array).save(tmp_path / f"a{suffix}", exif=exif)
    volume = read_volume(tmp_path / f"a{suffix}")
    upright = np.rot90(array, turn)
    assert volume.shape == (*upright.T.shape, 1)
    np.testing.assert_allclose(volume.array[..., 0].astype(int), upright.T, atol=25 if suffix == ".jpg" else 0)


def test_resolution_tags_are_no_geometry(tmp_path):
    for suffix in (".png", ".tif", ".jpg"):
        path = save_with_pillow(tmp_path / f"a{suffix}", numbers(np.uint8), dpi=(300, 300))
        assert read_volume(path).spacing == (1, 1, 1)


def test_pages_of_a_tiff_are_slices(tmp_path):
    pages = [numbers(np.uint16) + index for index in range(3)]
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    volume = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.array, np.stack([page.T for page in pages], axis=-1))
    first.save(tmp_path / "b.tif", save_all=True, append_images=[others[0].resize((3, 3))])
    with pytest.raises(VolumeError, match=r"b\.tif: has pages of different sizes"):
        read_volume(tmp_path / "b.tif")
    Image.fromarray(numbers(np.uint8)).save(
        tmp_path / "c.png", save_all=True, append_images=[Image.fromarray(255 - numbers(np.uint8))]
    )
    with pytest.raises(VolumeError, match="animation of 2"):
        read_volume(tmp_path / "c.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_cut_and_foreign_files(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = save_with_pillow(tmp_path / f"a{suffix}", array)
    content = path.read_bytes()
    for length in (0, 3, 20, 60, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:length])
        with pytest.raises(VolumeError, match=rf"a\{suffix}: ") as error:
            read_volume(path)
        assert "\n" not in str(error.value)
    path.write_bytes(b"hello world, this is no picture at all")
    with pytest.raises(VolumeError, match=r"no .* file, or its beginning is damaged"):
        read_volume(path)


def test_a_changed_bit_in_a_png_is_found(tmp_path):
    path = save_with_pillow(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"a\.png: "):
        read_volume(path)


def test_wrong_names(tmp_path):
    save_with_pillow(tmp_path / "a.jpg", numbers(np.uint8)).rename(tmp_path / "a.png")
    with pytest.raises(VolumeError, match=r"a\.png: is no PNG file.*it is a JPEG file, so rename it"):
        read_label(tmp_path / "a.png")


def test_decompression_bomb(tmp_path, monkeypatch):
    paths = [save_with_pillow(tmp_path / name, np.zeros((100, 100), np.uint8)) for name in ("a.png", "a.tif")]
    paths.append(save_with_itk(tmp_path / "b.tif", np.zeros((100, 100, 5), np.uint16)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for path in paths:
        with pytest.raises(VolumeError, match=rf"{path.name}: has more than 2000 pixels"):
            read_volume(path, channels=True)


def test_cmyk_is_refused(tmp_path):
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")
    with pytest.raises(VolumeError, match="CMYK"):
        read_volume(tmp_path / "a.jpg", channels=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_label_map_round_trip(tmp_path, dtype):
    array = numbers(np.uint8, high=20).astype(dtype)
    volume = Volume(as_volume(array), np.eye(4), meta={"labels": True})
    path = write_volume(volume, tmp_path / "a.png")
    picture = Image.open(path)
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), array)
    assert picture.getpalette()[:3] == [0, 0, 0]
    assert len({tuple(picture.getpalette()[3 * index : 3 * index + 3]) for index in range(20)}) == 20
    back = read_label(path)
    assert back.array.dtype == np.int32
    np.testing.assert_array_equal(back.array, volume.array)


def test_many_ids_become_16_bit_grey(tmp_path):
    array = numbers(np.int32, high=60000)
    volume = Volume(as_volume(array), np.eye(4), meta={"labels": True})
    np.testing.assert_array_equal(np.asarray(Image.open(write_volume(volume, tmp_path / "a.png"))), array)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png").array, volume.array)
    with pytest.raises(VolumeError, match="0 to 65535"):
        write_volume(volume.with_array(volume.array + 30000), tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [(np.uint8, ".png"), (np.uint16, ".png"), (np.uint8, ".tif"), (np.uint16, ".tif")]
    + [(np.float32, ".tif"), (np.int32, ".tif")],
)
def test_image_round_trip(tmp_path, dtype, suffix):
    array = numbers(dtype)
    path = write_volume(Volume(as_volume(array), np.eye(4)), tmp_path / f"a{suffix}")
    picture = np.asarray(Image.open(path))
    assert picture.dtype == dtype
    np.testing.assert_array_equal(picture, array)
    volume = read_volume(path)
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(volume.array, as_volume(array))


def test_colour_and_stack_round_trip(tmp_path):
    colour = Volume(as_volume(numbers(np.uint8, 3)), np.eye(4))
    for name in ("a.png", "a.tif"):
        back = read_volume(write_volume(colour, tmp_path / name), channels=True)
        np.testing.assert_array_equal(back.array, colour.array)
    stack = Volume(np.random.default_rng(0).random((5, 4, 3)).astype(np.float32), np.eye(4))
    np.testing.assert_array_equal(read_volume(write_volume(stack, tmp_path / "s.tif")).array, stack.array)


@pytest.mark.parametrize(
    ("array", "name", "text"),
    [
        (np.zeros((4, 4, 2), np.uint8), "a.png", "2 slices; use .tif"),
        (np.full((4, 4, 1), -1, np.int16), "a.png", "0 to 65535"),
        (np.zeros((4, 4, 1), np.float32), "a.png", "0 to 65535"),
        (np.zeros((2, 4, 4, 1), np.uint8), "a.png", "one channel, or three"),
        (np.zeros((4, 4, 1), np.uint8), "a.jpg", r"a\.jpg: cannot be written"),
        (np.zeros((4, 4, 1), np.uint8), "a.bmp", r"a\.bmp: cannot be written"),
    ],
)
def test_what_cannot_be_written(tmp_path, array, name, text):
    with pytest.raises(VolumeError, match=text):
        write_volume(Volume(array, np.eye(4)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_finding_pictures(tmp_path):
    for name in ("a.png", "sub/b.JPG", "sub/c.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_with_pillow(tmp_path / name, numbers(np.uint8))
    found = [path.name for path in find_volumes(tmp_path)]
    assert found == ["a.png", "b.JPG", "c.tiff"]
    assert [case_name(name) for name in found] == ["a", "b", "c"]
    write_volume(Volume(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "sub" / "d.nii.gz")
    assert [path.name for path in find_volumes(tmp_path)] == ["d.nii.gz"]
    assert find_volumes(tmp_path / "a.png") == [tmp_path / "a.png"]
    (tmp_path / "list.txt").write_text("a.png\nsub/d.nii.gz\n")
    assert len(find_volumes(tmp_path / "list.txt")) == 2


def test_the_chest_radiographs(shared_data):
    for path in sorted((shared_data / "xray2d" / "masks").iterdir())[:5]:
        label = read_label(path)
        image = read_volume(path.parent.parent / "images" / path.name)
        assert label.shape == image.shape
        np.testing.assert_array_equal(label.array[..., 0].T, np.asarray(Image.open(path)))
        assert set(np.unique(label.array)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_planes_keep_what_is_called_transparency(tmp_path, suffix):
    array = numbers(np.uint8, 4)
    volume = read_planes(save_with_pillow(tmp_path / f"a{suffix}", array))
    np.testing.assert_array_equal(volume.array, as_volume(array))
