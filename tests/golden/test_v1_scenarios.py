"""The recorded snippets of ``tf.compat.v1``: names, scopes, sharing, types.

Placeholders are places in a model here, and a session runs the model up to one of them; what a snippet
asks of a TensorFlow graph beyond that stands in the deviations files.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convtranspose import activations, config, initializers, regularizers, tf_keras
from convtranspose.compat import v1
from convtranspose.layers import SymbolicTensor, Variable, clear_session, name_scope
from golden_cases import Case, cases, check, deviations

SOURCES = {"misc_tf24": "2.4", "misc_tf29": "2.9", "misc_tfkeras221": "2.21"}

GISTS = {
    "scen_v1_functional_same_name_no_reuse": r"up/kernel already exists, disallowed",
    "scen_v1_reuse_missing": r"variable up/kernel does not exist",
    "scen_v1_reuse_missing_unnamed": r"variable conv2d_transpose/kernel does not exist",
    "scen_v1_reuse_shape_mismatch": r"share variable up/kernel, .*\(5, 5, 2, 3\).*\(3, 3, 2, 3\)",
    "scen_v1_graph_attr_eager": r"graph is not supported outside of a graph",
    "scen_v1_call_two_graphs": r"must be from the same graph",
}


class Session:
    """Runs the model that ends at a place; variables are what they are."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, wanted: Any, feed: dict[Any, Any] | None = None) -> Any:
        if isinstance(wanted, Variable):
            return wanted.numpy()
        if isinstance(wanted, SymbolicTensor):
            assert feed is not None
            [(place, value)] = feed.items()
            return tf_keras.layers.Model(place, wanted)(np.asarray(value, place.dtype))
        return wanted


def names(source: str) -> dict[str, Any]:
    face = tf_keras.generation(SOURCES[source])
    record = face.dialect

    def placeholder(dtype: str, shape: list[int | None]) -> SymbolicTensor:
        place = face.layers.Input(batch_shape=tuple(shape), dtype=dtype)
        assert isinstance(place, SymbolicTensor)
        return place

    layers = SimpleNamespace(
        Conv2DTranspose=v1.layers.Conv2DTranspose.in_dialect(record),
        conv2d_transpose=v1.layers.conv2d_transpose,
        conv3d_transpose=v1.layers.conv3d_transpose,
    )
    backend = SimpleNamespace(clear_session=clear_session, set_image_data_format=config.set_image_data_format)
    return {
        "np": np,
        "K": SimpleNamespace(
            layers=face.layers, Sequential=face.layers.Sequential, backend=backend, regularizers=regularizers
        ),
        "L1": layers,
        "tf": SimpleNamespace(
            Graph=v1.Graph,
            ones=lambda shape: np.ones(shape, "float32"),
            reduce_sum=np.sum,
            nn=SimpleNamespace(relu=activations.get("relu", record)),
        ),
        "tf1": SimpleNamespace(
            AUTO_REUSE=v1.AUTO_REUSE,
            Session=Session,
            constant_initializer=initializers.Constant,
            global_variables=v1.global_variables,
            global_variables_initializer=lambda: None,
            losses=SimpleNamespace(get_regularization_losses=v1.get_regularization_losses),
            name_scope=name_scope,
            ones_initializer=initializers.Ones,
            placeholder=placeholder,
            trainable_variables=v1.trainable_variables,
            variable_scope=v1.variable_scope,
        ),
    }


SNIPPETS = [
    pytest.param(case, id=f"{source}-{case['key']}")
    for source in SOURCES
    for case in cases(source)
    if case["key"].startswith("scen_v1")
]


@pytest.mark.parametrize("case", SNIPPETS)
def test_snippet(case: Case) -> None:
    clear_session()
    known = names(case["source"])

    def run() -> Any:
        exec(case["code"], known)  # a snippet that stands in this repository
        return known["result"]

    check(case, run, gist=GISTS.get(case["key"]))


def test_every_recorded_error_has_a_gist() -> None:
    raising = {
        case["key"]
        for source in SOURCES
        for case in cases(source)
        if case["key"].startswith("scen_v1") and case["expect"]["kind"] == "raises"
    }
    assert raising - set(deviations("misc_tf29")) == set(GISTS)
