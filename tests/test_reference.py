"""The oracle against values worked out by hand. Digits of the kernel stand apart in decimal places."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from convtranspose import reference
from convtranspose.reference import conv, conv_transpose, kernel_gradient


def line(*numbers):
    return np.array(numbers, float).reshape(1, -1, 1)


def taps(*numbers):
    return np.array(numbers, float).reshape(-1, 1, 1)


def flat(y):
    return y.ravel().tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 12, 120, 200]),
        ({"strides": 2}, [1, 10, 102, 20, 200]),
        ({"strides": 3}, [1, 10, 100, 2, 20, 200]),
        ({"strides": 4}, [1, 10, 100, 0, 2, 20, 200, 0]),
        ({"strides": 4, "output_padding": 0}, [1, 10, 100, 0, 2, 20, 200]),
        ({"strides": 4, "output_padding": 3}, [1, 10, 100, 0, 2, 20, 200, 0, 0, 0]),
        ({"dilation_rate": 2}, [1, 2, 10, 20, 100, 200]),
        ({"strides": 2, "dilation_rate": 2}, [1, 0, 12, 0, 120, 0, 200]),
        ({"strides": 3, "dilation_rate": 2}, [1, 0, 10, 2, 100, 20, 0, 200]),
        ({"padding": "same"}, [12, 120]),
        ({"padding": "same", "strides": 2}, [1, 10, 102, 20]),
        ({"padding": "same", "strides": 2, "output_padding": 0}, [10, 102, 20]),
        ({"padding": "same", "strides": 2, "output_padding": 1}, [1, 10, 102, 20]),
        ({"padding": "same", "strides": 5}, [1, 10, 100, 0, 0, 2, 20, 200, 0, 0]),
        ({"padding": ((1, 1),)}, [12, 120]),
        ({"padding": ((2, 0),)}, [120, 200]),
        ({"padding": ((-1, -2),)}, [0, 1, 12, 120, 200, 0, 0]),
        ({"padding": ((2, 2),)}, []),
    ],
)
def test_one_axis_by_hand(options, expected):
    assert flat(conv_transpose(line(1, 2), taps(1, 10, 100), **options)) == expected


def test_even_kernel_and_same_cuts_the_odd_sample_at_the_end():
    assert flat(conv_transpose(line(1, 2), taps(1, 10), padding="same")) == [1, 12]
    assert flat(conv_transpose(line(1, 2), taps(1, 10, 100, 1000), 2, "same")) == [10, 102, 1020, 200]


def test_two_axes_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    w = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    full = [[1, 12, 20], [103, 1234, 2040], [300, 3400, 4000]]
    assert conv_transpose(x, w)[0, :, :, 0].tolist() == full
    assert conv_transpose(x, w, padding=((1, 0), (0, 1)))[0, :, :, 0].tolist() == [[103, 1234], [300, 3400]]
    assert conv_transpose(x, w, (2, 1))[0, :, :, 0].tolist() == [
        [1, 12, 20],
        [100, 1200, 2000],
        [3, 34, 40],
        [300, 3400, 4000],
    ]


def test_three_axes_by_hand():
    x = np.array([1.0, 2.0]).reshape(1, 1, 1, 2, 1)
    w = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(2, 2, 1, 1, 1)
    assert conv_transpose(x, w, (1, 1, 2))[0, ..., 0].tolist() == [
        [[1, 0, 2, 0], [10, 0, 20, 0]],
        [[100, 0, 200, 0], [1000, 0, 2000, 0]],
    ]


def test_channels_by_hand():
    x = np.array([1.0, 2.0]).reshape(1, 1, 2)
    w = np.array([[1.0, 10.0], [100.0, 1000.0], [3.0, 4.0]]).reshape(1, 3, 2)  # (k, c_out, c_in)
    assert flat(conv_transpose(x, w)) == [21, 2100, 11]
    assert flat(conv_transpose(x, w, bias=[1, 2, 3])) == [22, 2102, 14]
    assert flat(conv_transpose(x.reshape(1, 2, 1), w, data_format="channels_first")) == [21, 2100, 11]


def test_groups_by_hand():
    x = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4)
    w = np.array([[1.0, 10.0, 100.0, 1000.0], [5.0, 6.0, 7.0, 8.0]]).reshape(1, 2, 4)  # two outputs per group
    assert flat(conv_transpose(x, w, groups=2)) == [1 + 20, 5 + 12, 300 + 4000, 21 + 32]


def test_adjoint_by_hand():
    y = line(1, 10, 100, 1000, 10000)
    assert flat(conv(y, taps(1, 2, 3), (2,), 2)) == [321, 32100]
    assert flat(conv(y[:, :4], taps(1, 2, 3), (2,), 2, "same")) == [321, 2100]
    assert flat(conv(y, taps(1, 2, 3), (1,), padding=((-1, -1),))) == [10 + 200 + 3000]


def test_kernel_gradient_by_hand():
    y = line(1, 10, 100, 1000, 10000)
    assert flat(kernel_gradient(line(1, 2), y, (3,), 2)) == [201, 2010, 20100]
    assert flat(kernel_gradient(line(1, 2), y[:, :4], (3,), 2, "same")) == [201, 2010, 100]


def test_reference_is_independent():
    """It imports nothing of the code that it judges."""
    tree = ast.parse(Path(reference.__file__).read_text(encoding="utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {"__future__", "itertools", "typing", "numpy"}
