"""Fixtures of all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from convtranspose import config
from paths import PATHS, on


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every path, one after the other."""
    with on(request.param):
        yield request.param


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """A shell switches interrupts off for what it starts in the background, and for its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def no_keras_json(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tester's own ``keras.json`` does not change what the tests see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        config.reload()
        yield
    config.reload()
