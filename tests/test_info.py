"""What `info` says of this machine."""

import importlib
import os
import platform

import numpy as np
import pytest

import convtranspose
from convtranspose import info

plans = importlib.import_module("convtranspose.plans")


class FakeNative:
    """A native module of three paths that runs the middle one."""

    active = "second"

    def paths(self):
        return ["first", "second", "third"]

    def descriptions(self):
        return ["A", "B", "C"]

    def active_path(self):
        return self.active

    def default_threads(self):
        return 7


@pytest.fixture
def native(monkeypatch):
    fake = FakeNative()
    monkeypatch.setattr(plans, "native_module", fake)
    for name in ("CONVTRANSPOSE_ISA", "CONVTRANSPOSE_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return fake


def test_report_names_versions_and_machine():
    rows = dict(info.report())
    assert rows["convtranspose"] == convtranspose.__version__
    assert rows["NumPy"] == np.__version__
    assert rows["Python"].startswith(platform.python_version())
    assert platform.machine() in rows["system"]
    assert f"{os.cpu_count()} logical CPUs" in rows["CPU"]


def test_the_active_path_comes_first_with_its_reason(native):
    assert info.kernels() == [
        ("second", "B; in use: chosen by a call in this process"),
        ("first", "A"),
        ("third", "C"),
    ]
    native.active = "first"
    assert info.kernels()[0] == ("first", "A; in use: the best that this CPU runs")


def test_a_forced_path_is_told(native, monkeypatch):
    monkeypatch.setenv("CONVTRANSPOSE_ISA", "second")
    assert info.kernels()[0] == ("second", "B; in use: named by CONVTRANSPOSE_ISA=second")
    assert ("CONVTRANSPOSE_ISA", "second") in info.report()


def test_without_native_kernels_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(plans, "native_module", None)
    monkeypatch.setattr(plans, "native_absence", "it rained")
    assert info.kernels() == [("numpy", "in use, because there are no native kernels: it rained")]
    count, source = info.threads()
    assert 1 <= count <= os.cpu_count()
    assert "NumPy" in source


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({}, "the CPUs that this process may use"),
        ({"OMP_NUM_THREADS": "7,2"}, "from OMP_NUM_THREADS=7,2"),
        ({"OMP_NUM_THREADS": "7", "CONVTRANSPOSE_NUM_THREADS": "5"}, "from CONVTRANSPOSE_NUM_THREADS=5"),
        ({"OMP_NUM_THREADS": "7", "CONVTRANSPOSE_NUM_THREADS": "many"}, "from OMP_NUM_THREADS=7"),
        ({"OMP_NUM_THREADS": "0"}, "the CPUs that this process may use"),
    ],
)
def test_threads_say_where_their_number_comes_from(native, monkeypatch, variables, source):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert info.threads() == (7, source)


@pytest.mark.skipif(plans.native_module is None, reason="there are no native kernels to compare with")
@pytest.mark.parametrize("variables", [{"OMP_NUM_THREADS": "3,2"}, {"CONVTRANSPOSE_NUM_THREADS": "5"}])
def test_the_native_module_reads_the_variables_by_the_same_rule(monkeypatch, variables):
    monkeypatch.delenv("CONVTRANSPOSE_NUM_THREADS", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    count, source = info.threads()
    assert f"={count}" in source


def test_cpu_name_elsewhere(monkeypatch):
    def nowhere(*args, **options):
        raise FileNotFoundError("/proc/cpuinfo")

    monkeypatch.setattr("builtins.open", nowhere)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert info.cpu_name() == platform.machine()
