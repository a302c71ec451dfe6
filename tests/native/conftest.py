import pytest

from convtranspose.plans import native_absence, native_module


def pytest_collection_modifyitems(items):
    if native_module is None:
        for item in items:
            if "native" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=f"no native module: {native_absence}"))


@pytest.fixture(params=native_module.paths() if native_module else ["none"])
def path(request):
    """Every instruction-set build that this machine can run, one after the other."""
    before = native_module.active_path()
    native_module.select_path(request.param)
    yield request.param
    native_module.select_path(before)
