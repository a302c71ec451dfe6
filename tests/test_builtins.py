import pytest

from convtranspose import constraints, initializers, regularizers
from convtranspose._builtins import camel_keys, snake_keys
from convtranspose.dialects import DIALECTS, KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS

MODULES = [initializers, regularizers, constraints]
ABSTRACT = {"Regularizer", "regularizer", "constant", "Constant", "ConstantV2"}
EVERY = [
    pytest.param(module, dialect, name, id=f"{module.__name__.split('.')[1]}-{dialect.name}-{name}")
    for module in MODULES
    for dialect in DIALECTS.values()
    for name in module.classes(dialect)
    if name not in ABSTRACT
]


@pytest.mark.parametrize(("module", "dialect", "name"), EVERY)
def test_what_is_written_is_read_again(module, dialect, name):
    written = module.serialize(module.get(name, dialect), dialect)
    again = module.get(written, dialect)
    assert module.serialize(again, dialect) == written
    assert module.serialize(module.deserialize(written, dialect=dialect), dialect) == written


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda d: d.name)
def test_none_stays_none(module, dialect):
    assert module.get(None, dialect) is None
    assert module.serialize(None, dialect) is None
    assert module.deserialize(None, dialect=dialect) is None


@pytest.mark.parametrize("module", MODULES)
def test_an_object_without_a_form(module):
    what = module.__name__.split(".")[1].rstrip("s")
    with pytest.raises(ValueError, match=f"Could not interpret {what} identifier: 3"):
        module.get(3)
    with pytest.raises(ValueError, match=f"Could not interpret {what} identifier: 3"):
        module.get(3, TF_KERAS_2_9)
    with pytest.raises(ValueError, match=rf"{what}: Improper config format: 3\. 'className'"):
        module.get(3, TFJS)
    with pytest.raises(ValueError, match=f"{what}: Improper config format: .*'class_name' must be a string"):
        module.get({"config": {}})
    with pytest.raises(ValueError, match=f"{what}: Improper config format: .*'config' a dictionary"):
        module.get({"class_name": "L1", "config": 3})


def test_unknown_names_say_what_was_meant():
    with pytest.raises(ValueError, match=r"identifier: glorotUniform.*Did you mean 'GlorotUniform'"):
        initializers.get("glorotUniform")
    with pytest.raises(ValueError, match=r"Unknown regularizer: dropout.*Known: L1, l1, l1_l2, L1L2"):
        regularizers.get("dropout", TF_KERAS_2_4)
    with pytest.raises(ValueError, match=r"Unknown constraint: max_norm.*Did you mean 'maxNorm'"):
        constraints.get("max_norm", TFJS)


def test_wrappers_of_the_generations():
    penalty = regularizers.L1L2(0.5, 0.25)
    plain = {"class_name": "L1L2", "config": {"l1": 0.5, "l2": 0.25}}
    named = {"module": "keras.regularizers", **plain, "registered_name": None}
    assert regularizers.serialize(penalty, KERAS3) == named
    assert regularizers.serialize(penalty, TF_KERAS_2_21) == named
    assert regularizers.serialize(penalty, TF_KERAS_2_9) == plain
    assert regularizers.serialize(penalty, TFJS) == {"className": "L1L2", "config": plain["config"]}
    assert list(named) == ["module", "class_name", "config", "registered_name"]


@pytest.mark.parametrize(
    ("module", "name", "from_dialect", "to"),
    [
        (regularizers, "OrthogonalRegularizer", KERAS3, TFJS),
        (constraints, "RadialConstraint", TF_KERAS_2_9, KERAS3),
        (initializers, "stft", KERAS3, TF_KERAS_2_9),
    ],
)
def test_what_a_generation_lacks_is_not_written_there(module, name, from_dialect, to):
    with pytest.raises(ValueError, match=f"{to.name} has no .* so it cannot be written there"):
        module.serialize(module.get(name, from_dialect), to)


def test_classes_are_instantiated_where_keras_does():
    assert isinstance(regularizers.get(regularizers.L2), regularizers.L2)
    assert isinstance(initializers.get(initializers.Ones, TF_KERAS_2_9), initializers.Ones)
    assert constraints.get(constraints.NonNeg, TF_KERAS_2_9) is constraints.NonNeg
    with pytest.raises(TypeError, match=r"get_config\(\) of the regularizer needs an object.*L2\(\)"):
        regularizers.serialize(regularizers.get(regularizers.L2, TF_KERAS_2_9), TF_KERAS_2_9)


class Half(regularizers.L2):
    def __init__(self, weight=0.5):
        super().__init__(weight / 2)
        self.weight = weight

    def get_config(self):
        return {"weight": self.weight}


def test_objects_of_your_own():
    written = regularizers.serialize(Half(3.0))
    assert written == {
        "module": __name__,
        "class_name": "Half",
        "config": {"weight": 3.0},
        "registered_name": "Half",
    }
    again = regularizers.deserialize(written, {"Half": Half})
    assert (type(again), again.weight) == (Half, 3.0)
    with pytest.raises(ValueError, match=r"Could not interpret regularizer identifier: .*'Half'"):
        regularizers.deserialize(written)


def test_functions_of_your_own():
    def ramp(shape, dtype=None):
        raise AssertionError

    assert initializers.get(ramp) is ramp
    written = initializers.serialize(ramp)
    assert (written["class_name"], written["config"]) == ("function", "ramp")
    assert initializers.deserialize(written, {"ramp": ramp}) is ramp
    assert initializers.serialize(ramp, TF_KERAS_2_4) == "ramp"
    for dialect in (KERAS3, TFJS):
        with pytest.raises(ValueError, match="has no name to write there"):
            initializers.serialize(lambda shape, dtype: None, dialect)


def test_a_type_in_a_configuration_is_left_to_the_layer():
    config = {"class_name": "Zeros", "config": {"dtype": "float32"}}
    assert isinstance(initializers.get(config, TF_KERAS_2_9), initializers.Zeros)


def test_wrong_arguments_in_a_configuration():
    with pytest.raises(TypeError, match="unexpected keyword argument 'l3'"):
        regularizers.get({"class_name": "L2", "config": {"l3": 1}})


def test_spellings_of_tensorflow_js():
    camel = {
        "className": "VarianceScaling",
        "config": {"scale": 1, "mode": "fanAvg", "distribution": "normal", "seed": None},
    }
    snake = {
        "class_name": "VarianceScaling",
        "config": {"scale": 1, "mode": "fan_avg", "distribution": "normal", "seed": None},
    }
    assert snake_keys(camel) == snake
    assert camel_keys(snake) == camel
    nested = {"name": "upLayer", "kernelSize": [3, 5], "kernelConstraint": {"className": "MaxNorm"}}
    spelled = {"name": "upLayer", "kernel_size": [3, 5], "kernel_constraint": {"class_name": "MaxNorm"}}
    assert snake_keys(nested) == spelled
    for form in (camel, snake):
        made = initializers.get(form, TFJS)
        assert (made.mode, made.distribution) == ("fan_avg", "truncated_normal")
        assert initializers.serialize(made, TFJS)["config"]["mode"] == "fanAvg"
