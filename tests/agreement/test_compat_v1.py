"""Scopes, sharing and collections of compat.v1 against the installed TensorFlow.

The same small programs run on both sides; TensorFlow in a process of its own, because it must know
before it is imported that the layers of Keras 2 are wanted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from convtranspose.compat import v1

PROGRAMS = {
    "scope entered again by name": """
with tf1.variable_scope('s'): L1.conv2d_transpose(x, 2, 3)
with tf1.variable_scope('s'): L1.conv2d_transpose(x, 2, 3, name='b')
result = names()""",
    "unnamed layer in a scope entered again": """
with tf1.variable_scope('s'): L1.conv2d_transpose(x, 2, 3)
with tf1.variable_scope('s'): L1.conv2d_transpose(x, 2, 3)""",
    "scope entered again as an object": """
with tf1.variable_scope('s') as scope: L1.conv2d_transpose(x, 2, 3, name='a')
with tf1.variable_scope('t'), tf1.variable_scope(scope): L1.conv2d_transpose(x, 2, 3, name='b')
result = names()""",
    "losses of shared variables": """
a = L1.Conv2DTranspose(2, 3, name='up', kernel_regularizer=total, _scope='q')
b = L1.Conv2DTranspose(2, 3, kernel_regularizer=total, _scope='q', _reuse=True)
a(x), b(x)
result = [len(a.losses), len(b.losses), len(penalties()), b.name, b.scope_name]""",
    "automatic names under reuse": """
with tf1.variable_scope('s', reuse=tf1.AUTO_REUSE): L1.conv2d_transpose(x, 2, 3); L1.conv2d_transpose(x, 2, 3)
with tf1.variable_scope('s', reuse=True): L1.conv2d_transpose(x, 2, 3); a = L1.Conv2DTranspose(2, 3); a(x)
result = [names(), a.name, a.scope_name]""",
    "one layer in two scopes": """
a = L1.Conv2DTranspose(2, 3, name='up')
with tf1.variable_scope('one'): a(x)
with tf1.variable_scope('two'): a(x)
result = [names(), a.scope_name]""",
    "penalties of scope and layer": """
with tf1.variable_scope('s', regularizer=lambda w: total(w)):
    a = L1.Conv2DTranspose(2, 3, kernel_regularizer=total, activity_regularizer=total)
    a(x)
result = [len(a.losses), len(penalties())]""",
    "scopes by default": """
with tf1.variable_scope(None, 'd') as p: L1.conv2d_transpose(x, 2, 3, name='k')
with tf1.variable_scope(None, 'd') as q: L1.conv2d_transpose(x, 2, 3, name='k')
with tf1.variable_scope('d') as r: L1.conv2d_transpose(x, 2, 3, name='z')
result = [p.name, q.name, r.name, names()]""",
    "made frozen": """
a = L1.Conv2DTranspose(2, 3, trainable=False, kernel_regularizer=total)
a(x)
a.trainable = True
result = [len(a.losses), len(penalties()), len(a.trainable_weights), len(tf1.trainable_variables())]""",
    "built before the call": """
a = L1.Conv2DTranspose(2, 3, name='up')
a.build((None, 4, 4, 3))
result = [a.scope_name, str(a.dtype), a(x) is not None, names()]""",
    "a class after functions": """
for _ in range(2): L1.conv2d_transpose(x, 2, 3, name='w', reuse=tf1.AUTO_REUSE)
a = L1.Conv2DTranspose(2, 3, name='w')
a(x)
result = [names(), a.name, a.scope_name]""",
    "a name with a slash": """
L1.conv2d_transpose(x, 2, 3, name='a/b')
a = L1.Conv2DTranspose(2, 3, name='a/b')
a(x)
result = [names(), a.scope_name]""",
    "a scope without a name": """
with tf1.variable_scope('s'), tf1.variable_scope('') as scope: result = scope.name""",
    "reuse switched off inside": """
with tf1.variable_scope('s', reuse=True), tf1.variable_scope('t', reuse=False):
    L1.conv2d_transpose(x, 2, 3)""",
}

THEIRS = """
import json, sys
import tensorflow as tf
tf1 = tf.compat.v1
found = {}
for title, code in json.load(sys.stdin).items():
    with tf.Graph().as_default():
        known = {"tf1": tf1, "L1": tf1.layers, "x": tf1.placeholder("float32", [2, 4, 4, 3]),
                 "total": tf.reduce_sum, "penalties": tf1.losses.get_regularization_losses,
                 "names": lambda: [v.name for v in tf1.global_variables()]}
        try:
            exec(code, known)
            found[title] = known["result"]
        except Exception as error:
            found[title] = type(error).__name__
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def recorded() -> dict[str, object]:
    for module in ("tensorflow", "tf_keras"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is the other side")
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", THEIRS],
        input=json.dumps(PROGRAMS),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("title", PROGRAMS)
def test_same_as_tensorflow(title: str, recorded: dict[str, object]) -> None:
    known = {
        "tf1": v1,
        "L1": v1.layers,
        "x": np.ones((2, 4, 4, 3), "float32"),
        "total": np.sum,
        "penalties": v1.get_regularization_losses,
        "names": lambda: [v.name for v in v1.global_variables()],
    }
    with v1.Graph().as_default():
        try:
            exec(PROGRAMS[title], known)
            found = known["result"]
        except Exception as error:
            found = type(error).__name__
    assert found == recorded[title]
