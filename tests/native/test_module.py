"""The module itself: whatever is passed, a Python exception and no crash."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import convtranspose
from convtranspose.geometry import geometry
from convtranspose.plans import native_module as core

X = np.ones((1, 5, 3), "float32")
W = np.ones((3, 2, 3), "float32")
G = geometry((5,), (3,), (2,), "same")


def make(
    kernel=W, kind="forward", strides=(2,), dilations=(1,), groups=1, layout="channels_last", algorithm="auto"
):
    return core.Operator(kind, kernel, strides, dilations, groups, layout, algorithm)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "backward"}, "forward or adjoint"),
        ({"strides": (2, 2)}, "belong together"),
        ({"strides": (0,)}, "positive"),
        ({"strides": (2**40,)}, "below 2"),
        ({"dilations": (-1,)}, "positive"),
        ({"groups": 2}, "divide"),
        ({"groups": 0}, "divide"),
        ({"layout": "NHWC"}, "layout"),
        ({"algorithm": "fft"}, "algorithm"),
        ({"kernel": W[:, :, ::-1]}, "contiguous"),
        ({"kernel": np.ones((3, 3), "float32")}, "belong together"),
        ({"kernel": np.ones((3, 0, 3), "float32")}, "divide"),
    ],
)
def test_constructor_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


def test_constructor_refuses_types():
    with pytest.raises(TypeError, match="float32 or float64"):
        make(kernel=W.astype("int32"))


@pytest.mark.parametrize(
    ("x", "out", "bias", "error"),
    [
        (X, np.ones((1, 9, 2), "float32"), None, ValueError),
        (X, np.ones((2, 10, 2), "float32"), None, ValueError),
        (X, np.ones((1, 10, 3), "float32"), None, ValueError),
        (X[0], np.ones((1, 10, 2), "float32"), None, ValueError),
        (X[:, :4], np.ones((1, 10, 2), "float32"), None, ValueError),
        (X.astype("float64"), np.ones((1, 10, 2), "float32"), None, TypeError),
        (X, np.ones((1, 10, 2), "float64"), None, TypeError),
        (X, np.ones((1, 10, 2), "float32"), np.ones(3, "float32"), ValueError),
    ],
)
def test_run_refuses(x, out, bias, error):
    with pytest.raises(error):  # the text is for developers: users meet arguments.py first
        make().run(x, out, G, bias, 1)


def test_run_refuses_a_geometry_of_another_kernel():
    with pytest.raises(ValueError, match="does not belong"):
        make().run(X, np.ones((1, 10, 2), "float32"), geometry((5,), (4,), (2,), "same"), None, 1)


def test_read_only_output_is_refused():
    out = np.ones((1, 10, 2), "float32")
    out.flags.writeable = False
    with pytest.raises(TypeError):
        make().run(X, out, G, None, 1)


def test_unknown_path_names_the_available_ones():
    with pytest.raises(ValueError, match=core.paths()[-1]):
        core.select_path("sse9")


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_environment_chooses_the_path():
    code = "from convtranspose import _core; print(_core.active_path())"
    for name in core.paths():
        assert run_python(code, CONVTRANSPOSE_ISA=name).stdout.strip() == name
    wrong = run_python(code, CONVTRANSPOSE_ISA="mmx")
    assert wrong.returncode != 0
    assert core.paths()[0] in wrong.stderr


def test_environment_chooses_the_threads():
    code = "from convtranspose import _core; print(_core.default_threads())"
    assert run_python(code, CONVTRANSPOSE_NUM_THREADS="3", OMP_NUM_THREADS="5").stdout.strip() == "3"
    assert run_python(code, CONVTRANSPOSE_NUM_THREADS="", OMP_NUM_THREADS="5,2").stdout.strip() == "5"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cleared = run_python(code, CONVTRANSPOSE_NUM_THREADS="none", OMP_NUM_THREADS="0")
    assert cleared.stdout.strip() == str(usable)


def test_many_threads_may_call_at_once():
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 4, (4, 40, 40, 16)).astype("float32")
    w = rng.integers(-3, 4, (4, 4, 40, 16)).astype("float32")
    op = core.Operator("forward", w, (2, 2), (1, 1), 1, "channels_last", "direct")
    g = geometry((40, 40), (4, 4), (2, 2), "same")
    want = np.empty((4, 80, 80, 40), "float32")
    op.run(x, want, g, None, 1)
    results = [np.empty_like(want) for _ in range(8)]
    workers = [threading.Thread(target=op.run, args=(x, out, g, None, 3)) for out in results]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for out in results:
        np.testing.assert_array_equal(out, want)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads have no affinity here")
def test_workers_may_run_where_the_process_may():
    """They are kept from each other's processors for a moment, when they wake or share one."""
    plan = convtranspose.plan(np.ones((5, 5, 16, 16), "float32"), 2)
    x = np.ones((4, 32, 32, 16), "float32")
    for pause in (0, 0, 0.01, 0, 0.01):
        time.sleep(pause)
        for threads in (2, 3, 7):
            plan(x, threads=threads)
    want = os.sched_getaffinity(0)
    for _ in range(100):  # until those that have just been woken have settled
        masks = []
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # another library's, which ended
                masks.append(os.sched_getaffinity(int(thread)))
        if all(mask == want for mask in masks):
            break
        time.sleep(0.01)
    assert len(masks) >= 7
    assert all(mask == want for mask in masks)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_pool_survives_fork():
    code = """
import os, warnings
import numpy as np, convtranspose
warnings.simplefilter("ignore")
x, w = np.ones((4, 40, 40, 16), "float32"), np.ones((4, 4, 40, 16), "float32")
want = convtranspose.conv_transpose(x, w, 2, threads=4)
pid = os.fork()
same = np.array_equal(convtranspose.conv_transpose(x, w, 2, threads=4), want)
if pid == 0:
    os._exit(0 if same else 1)
assert os.waitpid(pid, 0)[1] == 0 and same
print("both")
"""
    done = run_python(code)
    assert done.stdout.strip() == "both", done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_stops_a_long_run(threads):
    code = f"""
import sys, time
import numpy as np, convtranspose
x, w = np.ones((64, 64, 64, 256), "float32"), np.ones((9, 9, 256, 256), "float32")
out = np.zeros((64, 64, 64, 256), "float32")
plan = convtranspose.plan(w, 1, "same")
print("started", flush=True)
try:
    plan(x, out=out, threads={threads})
except KeyboardInterrupt:
    print("stopped", flush=True)
"""
    stop(code)


def test_ctrl_c_stops_a_long_kernel_gradient():
    stop("""
import numpy as np, convtranspose
x = np.ones((64, 64, 64, 256), "float32")
print("started", flush=True)
try:
    convtranspose.conv_transpose_kernel_gradient(x, x, (9, 9), 1, "same", threads=1)
except KeyboardInterrupt:
    print("stopped", flush=True)
""")


def stop(code):
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    # The whole run takes many minutes of arithmetic; stopping must not wait for it.
    assert process.communicate(timeout=60)[0] == "stopped\n"


def test_fma_peak_is_a_rate():
    assert core.fma_peak(1, 0.01) > 1e8


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("kernel", [(2, 1, 40), (2, 2, 48, 40), (2, 2, 2, 3, 64), (40, 40, 1, 1)])
def test_what_is_empty_is_explained(kernel, layout):
    """Crops as long as the result, and no image: nothing to compute, and no memory for it."""
    rank, channels = len(kernel) - 2, kernel[-1]
    groups = channels if kernel[-2] == 1 else 1
    crop = [(k // 2, k - k // 2) for k in kernel[:rank]]
    plan = convtranspose.plan(np.ones(kernel, "f4"), 1, crop, groups=groups, data_format=layout)

    def shape(n, size):
        return (n, channels, *[size] * rank) if layout == "channels_first" else (n, *[size] * rank, channels)

    for empty in (shape(1, 1), shape(0, 9)):
        assert plan.explain(empty).endswith("nothing to compute")
        assert plan.workspace_bytes(empty) == 0
        assert plan(np.ones(empty, "f4")).size == 0
    assert "method" in plan.explain(shape(1, 9))
