"""Lengths, crops and phases, against counting by hand and against loops over all samples."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import product

import pytest

from convtranspose import geometry as geo
from convtranspose.geometry import Axis, Geometry, Phase, Tap

SMALL = list(product((1, 2, 5), (1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3)))  # i, k, s, d
CROPS = ((0, 0), (1, 0), (0, 2), (-2, 1), (1, -3))


def axes():
    """Axes of all kinds, none with a negative length."""
    made = [Axis(*numbers, lo, hi) for numbers in SMALL for lo, hi in CROPS]
    return [axis for axis in made if axis.o >= 0]


def targets(axis):
    """The definition: ``(input, tap, output)`` of every product that lands inside the crop."""
    for i, t in product(range(axis.i), range(axis.k)):
        o = i * axis.s + t * axis.d - axis.lo
        if 0 <= o < axis.o:
            yield i, t, o


@pytest.mark.parametrize(("k", "d", "ke"), [(1, 7, 1), (3, 1, 3), (3, 2, 5), (4, 3, 10)])
def test_effective_kernel(k, d, ke):
    assert geo.effective_kernel(k, d) == ke


def test_full_length_is_the_last_sample_that_is_reached():
    for i, k, s, d in SMALL:
        assert geo.full_length(i, k, s, d) == 1 + max(a * s + t * d for a in range(i) for t in range(k))


@pytest.mark.parametrize(
    ("i", "k", "s", "d", "padding", "op", "crop", "o"),
    [
        # valid: (i - 1) * s + max(ke, s), or (i - 1) * s + ke + op
        (4, 3, 2, 1, "valid", None, (0, 0), 9),
        (4, 2, 3, 1, "valid", None, (0, -1), 12),
        (4, 2, 3, 1, "valid", 0, (0, 0), 11),
        (4, 2, 3, 1, "valid", 2, (0, -2), 13),
        (4, 3, 2, 2, "valid", None, (0, 0), 11),
        (1, 1, 5, 1, "valid", None, (0, -4), 5),
        # same: i * s, or (i - 1) * s + ke % 2 + op; the odd sample is cut at the end
        (4, 3, 2, 1, "same", None, (0, 1), 8),
        (4, 4, 2, 1, "same", None, (1, 1), 8),
        (4, 5, 2, 1, "same", None, (1, 2), 8),
        (4, 4, 1, 1, "same", None, (1, 2), 4),
        (4, 2, 3, 1, "same", None, (0, -1), 12),
        (4, 3, 2, 1, "same", 0, (1, 1), 7),
        (4, 3, 2, 1, "same", 1, (0, 1), 8),
        (4, 4, 2, 1, "same", 0, (2, 2), 6),
        (4, 4, 2, 1, "same", 1, (1, 2), 7),
        (1, 4, 2, 1, "same", 0, (2, 2), 0),
        (4, 1, 3, 1, "same", 2, (0, -2), 12),
        (4, 3, 1, 3, "same", None, (3, 3), 4),
        # a crop is what it says; output_padding adds to its end
        (4, 3, 2, 1, (1, 2), None, (1, 2), 6),
        (4, 3, 2, 1, (1, 2), 1, (1, 1), 7),
        (4, 3, 2, 1, (-2, -3), None, (-2, -3), 14),
    ],
)
def test_crop_and_output_length(i, k, s, d, padding, op, crop, o):
    assert geo.crop(i, k, s, d, padding, op) == crop
    assert geo.output_length(i, k, s, d, padding, op) == o
    axis = Axis(i, k, s, d, *crop)
    assert (axis.o, axis.full - sum(crop)) == (o, o)


def test_crop_of_an_unknown_word():
    with pytest.raises(ValueError, match=r"padding must be 'valid', 'same' or a pair\. Got 'full'"):
        geo.crop(4, 3, 2, 1, "full", None)


def test_same_multiplies_the_length_by_the_stride():
    for i, k, s, d in SMALL:
        assert geo.output_length(i, k, s, d, "same") == i * s


def test_valid_without_output_padding_never_loses_a_step():
    for i, k, s, d in SMALL:
        assert geo.output_length(i, k, s, d, "valid") == max(geo.full_length(i, k, s, d), i * s)


def test_phases_hold_every_tap_once_where_it_belongs():
    for k, s, d in product(range(1, 8), range(1, 6), range(1, 4)):
        found = geo.phases(k, s, d)
        assert [p.residue for p in found] == sorted({t * d % s for t in range(k)})
        for phase in found:
            assert all(tap.index * d == s * tap.shift + phase.residue for tap in phase.taps)
        assert sorted(tap.index for phase in found for tap in phase.taps) == list(range(k))


def test_phases_of_a_stride_that_the_kernel_does_not_fill():
    assert geo.phases(1, 2**30, 1) == (Phase(0, (Tap(0, 0),)),)


def test_phases_and_windows_make_the_definition():
    """``outputs`` and ``valid`` together name each product of the definition exactly once."""
    for axis in axes():
        found = []
        for phase in geo.phases(axis.k, axis.s, axis.d):
            first, q, count = axis.outputs(phase)
            for tap in phase.taps:
                start, stop = axis.valid(q, count, tap)
                assert 0 <= start <= stop <= count
                found += [(q + n - tap.shift, tap.index, first + n * axis.s) for n in range(start, stop)]
        assert sorted(found) == sorted(targets(axis)), axis


def test_outputs_of_all_phases_are_all_outputs():
    for axis in axes():
        seen = []
        for residue in range(axis.s):
            first, _, count = axis.outputs(Phase(residue, ()))
            seen += range(first, first + count * axis.s, axis.s)
        assert sorted(seen) == list(range(axis.o)), axis


def test_reach_is_what_a_step_of_outputs_needs():
    for numbers, (lo, hi) in product(SMALL, CROPS):
        _, k, s, d = numbers
        spans = [divmod(o + lo - t * d, s) for o in range(s) for t in range(k)]
        needed = [0] + [shift for shift, rest in spans if rest == 0]  # relative to the number of the step
        before, after = Axis(*numbers, lo, hi).reach
        assert -before <= min(needed)
        assert max(needed) <= after
        if d == 1:  # with dilation it may be a little more
            assert (-before, after) == (min(needed), max(needed))


def test_geometry_of_several_axes():
    made = geo.geometry((4, 5, 2), (3, 2, 1), (2, 3, 1), "valid", (1, None, None), (1, 1, 2))
    assert made.rank == 3
    assert made.input_sizes == (4, 5, 2)
    assert made.kernel_sizes == (3, 2, 1)
    assert made.strides == (2, 3, 1)
    assert made.dilations == (1, 1, 2)
    assert made.crops == ((0, -1), (0, -1), (0, 0))
    assert made.output_sizes == (10, 15, 2)
    assert [axis.o for axis in made] == [10, 15, 2]


def test_geometry_takes_one_crop_per_axis():
    made = geo.geometry((4, 4), (3, 3), (1, 1), ((1, 1), (0, -2)))
    assert made.output_sizes == (4, 8)


def test_geometry_wants_as_many_of_everything():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        geo.geometry((4, 4), (3,), (1, 1))


def test_adjoint_axis_finds_the_input_length_or_says_that_there_is_none():
    for k, s, d in product((1, 2, 3, 5), (1, 2, 3), (1, 2)):
        for padding, op in (("valid", None), ("same", None), ("same", 0), ("valid", s - 1), ((1, -1), None)):
            lengths = {geo.output_length(i, k, s, d, padding, op): i for i in range(1, 8)}
            for o in range(max(lengths)):
                axis = geo.adjoint_axis(o, k, s, d, padding, op)
                assert (axis and axis.i) == lengths.get(o), (o, k, s, d, padding, op)
                assert axis is None or axis.o == o


def test_adjoint_geometry_names_the_first_axis_that_does_not_fit():
    assert geo.adjoint_geometry((8, 6), (3, 3), (2, 2), "same") == geo.geometry(
        (4, 3), (3, 3), (2, 2), "same"
    )
    assert geo.adjoint_geometry((8, 7), (3, 3), (2, 2), "same") == 1


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_forward_convolution_axis_is_the_ordinary_convolution(padding):
    """Its adjoint reads ``o`` samples and gives as many windows as Keras' ``Conv1D``."""
    for o, (k, s, d) in product(range(9, 13), product((1, 2, 3), (1, 2, 3), (1, 2, 3))):
        axis = geo.forward_convolution_axis(o, k, s, d, padding)
        ke = (k - 1) * d + 1
        assert axis.o == o
        assert axis.i == (-(-o // s) if padding == "same" else (o - ke) // s + 1)
        if padding == "same":
            assert axis.hi - axis.lo in (0, 1) or axis.lo == 0
        else:
            assert axis.lo == 0


def test_records_are_immutable():
    for record in (Axis(1, 1, 1, 1, 0, 0), Geometry(()), Phase(0, ()), Tap(0, 0)):
        with pytest.raises((FrozenInstanceError, TypeError, AttributeError), match=r"cannot assign|super"):
            record.i = 2
