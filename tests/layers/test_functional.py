"""Models as graphs: only chains are models here, and what is no chain says where it branches."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from convtranspose.dialects import DIALECTS, KERAS3, TF_KERAS_2_9
from convtranspose.layers import (
    Conv2DTranspose,
    Dense,
    Functional,
    Input,
    InputLayer,
    Model,
    ReLU,
    deserialize,
    serialize,
)
from convtranspose.layers.functional import chain


def decoder(dialect=KERAS3):
    x = inputs = Input((5, 3, 2), name="latent", layer=InputLayer.in_dialect(dialect))
    first = {"kernel_initializer": "ones"}
    x = Conv2DTranspose.in_dialect(dialect)(3, 4, strides=2, name="up", **first)(x)
    x = ReLU.in_dialect(dialect)(name="act")(x)
    return Model(inputs, Dense.in_dialect(dialect)(1, name="out", **first)(x), name="decoder")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_configuration_makes_the_same_model(dialect):
    model = decoder(dialect)
    config = json.loads(json.dumps(serialize(model)))
    again = deserialize(config, dialect=dialect)
    again.set_weights(model.get_weights())
    x = np.ones((2, 5, 3, 2), "float32")
    np.testing.assert_array_equal(again(x), model(x))
    assert isinstance(again, Functional)
    assert json.loads(json.dumps(serialize(again))) == config
    assert [layer.name for layer in again.layers] == ["latent", "up", "act", "out"]


def test_automatic_names():
    assert decoder().__class__.__name__ == "Functional"
    assert Functional([InputLayer((2,))]).name.startswith("functional")
    keras2 = Functional.in_dialect(TF_KERAS_2_9)([InputLayer.in_dialect(TF_KERAS_2_9)((2,))])
    assert keras2.name.startswith("model")


def test_places_of_another_model_are_refused():
    with pytest.raises(ValueError, match="outputs must come from inputs"):
        Model(Input((2,)), Dense(2)(Input((2,))))


@pytest.mark.parametrize("dialect", [KERAS3, TF_KERAS_2_9], ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["layers"][3]["inbound_nodes"].append(c["layers"][3]["inbound_nodes"][0]),
            "is used 2 times, after",
        ),
        (lambda c: c["layers"][3].update(inbound_nodes=[]), "does not come from the input"),
        (lambda c: c["layers"].append({**copy.deepcopy(c["layers"][3]), "name": "side"}), "beside it: side"),
        (lambda c: c["layers"][2].update(name="up"), "two layers of the model have the same name"),
        (lambda c: c.update(output_layers=[["up", 0, 0], ["out", 0, 0]]), "one input and one output"),
        (lambda c: c.update(output_layers=[["up", 0, 1]]), "must be a list of places"),
        (lambda c: c.update(output_layers=["nowhere", 0, 0]), "does not come from the input"),
        (
            lambda c: c["layers"][1].update(inbound_nodes=c["layers"][3]["inbound_nodes"]),
            "does not come from",
        ),
        (lambda c: c["layers"][1].update(name=3), "has no name"),
    ],
)
def test_what_is_no_chain_is_refused(dialect, change, message):
    config = json.loads(json.dumps(decoder(dialect).get_config()))
    assert len(chain(config)) == 4
    change(config)
    with pytest.raises(ValueError, match=message):
        chain(config)


def test_two_inputs_of_one_layer_are_refused():
    config = json.loads(json.dumps(decoder(TF_KERAS_2_9).get_config()))
    (node,) = config["layers"][3]["inbound_nodes"]
    node.append(["up", 0, 0, {}])
    with pytest.raises(ValueError, match="takes 2 inputs: act, up"):
        chain(config)
