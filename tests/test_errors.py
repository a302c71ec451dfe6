"""The package's own exception classes."""

from __future__ import annotations

import pickle

import pytest

import convtranspose
from convtranspose.errors import FormatError, MissingDependencyError


def test_a_missing_package_says_what_for_and_how_to_get_it():
    error = MissingDependencyError("h5py", "files", "to read .h5 files")
    assert str(error) == (
        "h5py is needed to read .h5 files, and it is not installed. "
        "Install it with: pip install 'convtranspose[files]'"
    )
    assert error.name == "h5py"


def test_both_can_be_caught_as_what_they_are():
    assert issubclass(FormatError, ValueError)
    assert issubclass(MissingDependencyError, ImportError)
    assert convtranspose.FormatError is FormatError
    assert convtranspose.MissingDependencyError is MissingDependencyError


@pytest.mark.parametrize("error", [FormatError("cut off"), MissingDependencyError("rich", "cli", "here")])
def test_they_travel_between_processes(error):
    """``multiprocessing`` hands exceptions on by pickling them."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
