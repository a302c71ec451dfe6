"""The training example, in small: on pictures made here, a few steps."""

import importlib.util
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtranspose.formats import npz
from convtranspose.layers import Sequential, clear_session


@pytest.fixture
def example(monkeypatch, tmp_path):
    path = Path(__file__).parents[1] / "examples" / "train_upscaler.py"
    spec = importlib.util.spec_from_file_location("train_upscaler", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)

    def file(photograph):
        target = tmp_path / f"{photograph.name}.png"
        if not target.exists():  # a smooth random picture of its own
            random = np.random.default_rng(len(photograph.name))
            coarse = Image.fromarray(random.integers(0, 256, (19, 23), np.uint8))
            coarse.resize((115, 95), Image.Resampling.NEAREST).save(target)
        return str(target)

    monkeypatch.setattr(module.Photograph, "file", file)
    monkeypatch.setattr(module, "PATCH", 20)
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "MAPPING", 1)
    monkeypatch.setattr(module, "WARM_UP", 2)
    return module


def test_the_untrained_network_interpolates(example):
    model = example.network(0)
    ramp = np.broadcast_to(np.arange(24, dtype="float32")[None, None, :, None] / 24, (1, 24, 24, 1))
    inside = model(ramp)[0, 33:39, 15:57, 0]
    # The tent at the end interpolates linearly; small random numbers beside it are room to learn.
    np.testing.assert_allclose(inside, np.broadcast_to((np.arange(15, 57) - 1) / 72, inside.shape), atol=0.05)


def test_gradients_are_those_of_the_error(example):
    model = example.network(1)
    small, large = example.patches(example.training_pairs(), 0, 0)

    class Recorder:
        def update(self, gradients, step, rate):
            self.gradients = gradients

    recorder = Recorder()
    example.learn(model, recorder, small, large, 1, 0.0)
    last = model.trainable_weights[-2]  # the last layer is linear: the error is a square of its kernel
    direction = np.random.default_rng(2).normal(size=last.shape).astype("float32")
    errors, start = [], last.value.astype("float64")
    for step in (-0.125, 0.125):
        last.assign(start + step * direction)
        errors.append(example.learn(model, recorder, small, large, 1, 0.0))
    last.assign(start)
    example.learn(model, recorder, small, large, 1, 0.0)
    slope = (errors[1] - errors[0]) / 0.25
    # float32 sums over thousands of samples
    assert np.vdot(recorder.gradients[-2], direction) == pytest.approx(slope, rel=1e-3)


def test_training_measures_and_saves(example, tmp_path, capsys):
    assert example.train(tmp_path / "m.npz", steps=60, seed=0) == 0
    out = capsys.readouterr().out
    assert "average" in out
    model, notes = npz.read(tmp_path / "m.npz"), npz.metadata(tmp_path / "m.npz")
    assert isinstance(model, Sequential)
    assert notes["made by"].endswith("--seed 0 --steps 60")
    assert sorted(notes["held out"]) == ["astronaut", "camera", "chelsea", "coffee"]
    assert not (tmp_path / "m.training.npz").exists()
    before = np.mean([row[2] for row in example.measure(example.network(0))])
    assert notes["average"]["model dB"] > before + 0.5
    example.draw_comparison(model, tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as image:
        assert image.size == (1224, 488)


def test_a_stopped_training_goes_on_to_the_same_end(example, tmp_path, monkeypatch, capsys):
    clear_session()
    assert example.train(tmp_path / "whole.npz", steps=6, seed=3) == 0
    learn, count = example.learn, iter(range(100))

    def stopping(*given):
        if next(count) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(*given)

    monkeypatch.setattr(example, "learn", stopping)
    clear_session()
    assert example.train(tmp_path / "parts.npz", steps=6, seed=3) == 130
    assert "stopped after 3 of 6 steps" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"belongs to --seed 3 --steps 6"):
        example.train(tmp_path / "parts.npz", steps=6, seed=4)
    clear_session()
    assert example.train(tmp_path / "parts.npz", steps=6, seed=3) == 0
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_missing_package_is_named(example, monkeypatch):
    monkeypatch.undo()
    photograph = example.Photograph("no-such-package", "a/b.png", "none")
    with pytest.raises(SystemExit, match="no-such-package is not installed, and b comes with it"):
        photograph.luma()
