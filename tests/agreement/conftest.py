"""The other sides of the comparisons that are no Python packages."""

import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def node():
    """The program ``node``, where it finds TensorFlow.js as it finds modules; ``NODE_PATH`` helps it."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is the other side")
    asked = subprocess.run(
        [found, "-e", "require.resolve('@tensorflow/tfjs')"], check=False, capture_output=True
    )
    if asked.returncode:
        pytest.skip("@tensorflow/tfjs is the other side; NODE_PATH says where it is")
    return found
