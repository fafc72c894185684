"""Run lengths: inverse of each other, against a loop, against the radiologists' masks, bad text."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medicalseg.datasets.rle import decode_rle, encode_rle, read_rle_table
from medicalseg.errors import DataError


def by_hand(text, height, width):
    flat = [0] * (height * width)
    numbers = [int(word) for word in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for place in range(start - 1, start - 1 + length):
            flat[place] = 1
    return np.array(flat, np.uint8).reshape(height, width)


@pytest.mark.parametrize("order", ["rows", "columns"])
@pytest.mark.parametrize("density", [0, 0.02, 0.5, 0.98, 1])
def test_inverse(order, density):
    mask = (np.random.default_rng(1).random((13, 7)) < density).astype(np.uint8)
    text = encode_rle(mask, order)
    np.testing.assert_array_equal(decode_rle(text, 13, 7, order), mask)
    if order == "rows":
        np.testing.assert_array_equal(by_hand(text, 13, 7), mask)
    else:
        assert text == encode_rle(mask.T)


def test_known_values():
    assert encode_rle(np.zeros((3, 4))) == ""
    assert encode_rle(np.ones((3, 4))) == "1 12"
    assert encode_rle(np.eye(3)) == "1 1 5 1 9 1"
    for nothing in ("", "  ", "-1", "nan"):
        assert not decode_rle(nothing, 3, 4).any()
    np.testing.assert_array_equal(decode_rle("5 2 1 3 2 4", 1, 8), [[1, 1, 1, 1, 1, 1, 0, 0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "pairs"),
        ("a b", "whole numbers"),
        ("1.5 2", "whole numbers"),
        ("0 3", "0 3 does not lie within 3 rows of 4"),
        ("1 0", "does not lie"),
        ("10 4", "10 4 does not lie"),
        ("-2 1", "does not lie"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(DataError, match=message):
        decode_rle(text, 3, 4)


def test_bad_arguments():
    with pytest.raises(DataError, match=r"\(H, W\)"):
        encode_rle(np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="order"):
        decode_rle("1 1", 2, 2, "F")


def test_the_radiologists_masks(shared_data):
    folder = shared_data / "xray2d"
    table = read_rle_table(folder / "masks_rle.csv")
    assert len(table) == 30
    for case in sorted(table)[:6]:
        mask = np.asarray(Image.open(folder / "masks" / f"{case}.png"))
        for number, name in enumerate(("right_lung", "left_lung", "cardiomediastinum"), start=1):
            (text,) = table[case].get(name, [""])
            np.testing.assert_array_equal(decode_rle(text, *mask.shape), mask == number)
            assert encode_rle(mask == number) == text


def test_tables(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,what,rle\na,x,1 2\na,x,5 1\na,y,\nb,x,\n")
    table = read_rle_table(path, ("name", "what", "rle"))
    assert table == {"a": {"x": ["1 2", "5 1"], "y": [""]}, "b": {"x": [""]}}
    with pytest.raises(DataError, match=r"a\.csv: has no column \['id', 'class', 'segmentation'\]; its columns are"):
        read_rle_table(path)
    path.write_text("id,class,segmentation\na,x," + "1 1 " * 100_000 + "\nb\n")
    with pytest.raises(DataError, match=r"a\.csv:3: the row has too few"):
        read_rle_table(path)
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_rle_table(tmp_path / "none.csv")
