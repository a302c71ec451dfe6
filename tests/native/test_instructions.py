"""The machine code of the inner loops: fused multiply-adds are there, and no sum leaves its register."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("c++") or shutil.which("g++")
SOURCE = """
#include "core.h"
#include "kernels/channel.h"
#include "kernels/depthwise.h"
#include "kernels/depthwise_block.h"
#include "kernels/depthwise_plane.h"
#include "kernels/depthwise_plane_gradient.h"
#include "kernels/dot_gradient.h"
#include "kernels/gradient.h"
#include "kernels/group.h"
#include "kernels/row.h"
extern void* const kernels[] = {
    (void*)&channel_kernel<float, POSITIONS, 2>, (void*)&channel_kernel<double, POSITIONS, 2>,
    (void*)&summed_channel_kernel<float, POSITIONS, 2>, (void*)&summed_channel_kernel<double, POSITIONS, 2>,
    (void*)&gradient_kernel<float, POSITIONS, 2>, (void*)&gradient_kernel<double, gradient_elements(8), 8>,
    (void*)&gradient_kernel<float, gradient_elements(4), 4>, (void*)&depthwise_gradient_kernel<float, 4, 2>,
    (void*)&dot_gradient_kernel<float, dot_gradient_taps()>, (void*)&dot_gradient_kernel<double, 3>,
    (void*)&group_gradient_kernel<float, 8, group_taps(8)>,
    (void*)&group_gradient_kernel<float, 4, group_taps(4)>,
    (void*)&group_kernel<float, group_positions()>, (void*)&group_kernel<double, group_positions()>,
    (void*)&row_kernel<float, ROWS, row_vectors(ROWS)>,
    (void*)&row_pairs_kernel<float, ROWS, row_vectors(ROWS)>,
    (void*)&depthwise_forward<float, 3, 1>, (void*)&depthwise_forward<float, 4, 2>,
    (void*)&depthwise_adjoint<float, 3, 1, 1>, (void*)&depthwise_adjoint<float, 4, 2, 2>,
    (void*)&depthwise_adjoint<float, 5, 2, 3>, (void*)&depthwise_adjoint<float, 8, 4, 2>,
    (void*)&depthwise_block<float, 3, 1, true>, (void*)&depthwise_block<float, 7, 1, true>,
    (void*)&depthwise_block<double, 5, 1, false>,
    (void*)&depthwise_plane_gradient<float, 3, 1>,
#ifdef __AVX512F__  // with half of the registers, edges keep their masks in memory
    (void*)&depthwise_plane<float, 3, 1, true>, (void*)&depthwise_plane<float, 4, 2, true>,
    (void*)&depthwise_block<float, 4, 2, true>,
#endif
};
"""
LARGEST = {"x86_v4": (14, 8, "zmm"), "x86_v3": (6, 4, "ymm")}  # positions, rows, registers


def flags(path):
    """The compiler flags of a path, from the one table that has them."""
    text = (ROOT / "CMakeLists.txt").read_text()
    own = re.search(rf"add_path\({path}\s*([^)]*)\)", text)[1].split()
    common = re.search(r"target_compile_options\(kernels_\$\{name\} PRIVATE ([^)]*)\$", text)[1].split()
    return [*common, *own, "-std=gnu++17"]


def loops(assembly):
    """Innermost loops: the lines between a label and a jump back to it, without labels in between."""
    lines = assembly.splitlines()
    start = {}
    for number, line in enumerate(lines):
        label = re.match(r"(\.L\w+):", line)
        if label:
            start[label[1]] = number
        jump = re.match(r"\s+j\w+\s+(\.L\w+)", line)
        if jump and jump[1] in start:
            body = lines[start[jump[1]] + 1 : number]
            if not any(re.match(r"\.L\w+:", inner) for inner in body):
                yield body


def assembly(text, path, folder, *options):
    """What the compiler makes of a source with the flags of a path."""
    source = folder / "kernels.cc"
    source.write_text(text)
    done = subprocess.run(
        [COMPILER, *flags(path), *options, f"-I{ROOT / 'native'}", "-S", "-o", "-", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized" in done.stderr or "unsupported" in done.stderr or "bad value" in done.stderr:
        pytest.skip("this compiler does not build for x86-64")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler to look at the code of")
@pytest.mark.parametrize("path", LARGEST)
def test_the_measure_of_the_peak_computes_every_sum(path, tmp_path):
    """A chain that the compiler computes by itself would make the peak too high."""
    text = '#include "kernels/move.h"\nextern void* const kernel = (void*)&fma_chain<float>;\n'
    counts = [sum("vfmadd" in line for line in body) for body in loops(assembly(text, path, tmp_path))]
    assert max(counts) == 12
    assert "kPeakChains = 12;" in (ROOT / "native" / "kernels" / "move.h").read_text()


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler to look at the code of")
@pytest.mark.parametrize("path", LARGEST)
def test_inner_loops_fuse_and_do_not_spill(path, tmp_path):
    positions, rows, register = LARGEST[path]
    code = assembly(SOURCE, path, tmp_path, f"-DPOSITIONS={positions}", f"-DROWS={rows}")
    hot = [body for body in loops(code) if sum("vfmadd" in line for line in body) >= 2 * positions]
    assert len(hot) >= 3, "the loops of the channel kernels and of the gradient kernel were not found"
    for body in loops(code):
        if sum("vfmadd" in line for line in body) < 8:
            continue
        spills = [line for line in body if register in line and re.search(r"\((%rsp|%rbp)", line)]
        assert not spills, "\n".join(spills)
        # Only weights are added to each other, as they come from memory.
        unfused = [line for line in body if re.search(r"\bvmulp[sd]\b|\bvaddp[sd]\s+%", line)]
        assert not unfused, "a sum is not fused"


@pytest.mark.skipif(COMPILER is None or not shutil.which("nm"), reason="no compiler or no nm")
@pytest.mark.parametrize("path", [*LARGEST, "baseline"])
def test_a_path_shares_no_code_with_the_others(path, tmp_path):
    """A weak symbol compiled for AVX-512 would replace everybody's copy of it."""
    object_file = tmp_path / "kernels.o"
    source = ROOT / "native" / "kernels" / "kernels.cc"
    options = [flag for flag in flags(path) if flag != "-O3"]
    done = subprocess.run(
        [COMPILER, *options, "-O0", f"-DCT_PATH={path}", "-c", "-o", str(object_file), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized" in done.stderr or "unsupported" in done.stderr or "bad value" in done.stderr:
        pytest.skip("this compiler does not build for x86-64")
    assert done.returncode == 0, done.stderr
    symbols = subprocess.run(
        ["nm", "-C", str(object_file)], capture_output=True, text=True, check=True
    ).stdout
    # The exception personality is a pointer that every object file refers to, not code.
    shared = [s for s in symbols.splitlines() if re.search(r" [WVu] ", s) and "DW.ref" not in s]
    assert not shared, shared
    assert f"ct::{path}::table_f32()" in symbols
