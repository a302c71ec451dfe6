"""Train `upscale-x3`, the model that ships with the package, with the package's own gradients.

A network in the style of FSRCNN (Dong, Loy and Tang, "Accelerating the Super-Resolution Convolutional
Neural Network", ECCV 2016, arXiv:1608.00367): convolutions on the small picture, then one 9 x 9
transposed convolution of stride 3 that draws the large one. A convolution of stride 1 is a transposed
convolution with a flipped kernel, so all layers are of one kind.

It starts as bilinear interpolation: the first channel passes the picture through all layers, and the
last layer's kernel is a tent. From there it learns what interpolation misses.

The photographs come with scikit-image and scikit-learn (their files only; nothing of either runs):

    pip install 'convtranspose[cli]' scikit-image scikit-learn
    python examples/train_upscaler.py --output upscale-x3.npz
    python examples/train_upscaler.py --output upscale-x3.npz --picture comparison.png

Ctrl-C stops after the step at hand and keeps the state beside the output; the same command goes on
from there and ends with the same model. Only the photographs marked "held out" are measured.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from convtranspose.cli import pictures
from convtranspose.cli.bands import upscale
from convtranspose.formats import npz
from convtranspose.layers import Conv2DTranspose, Sequential

SCALE = 3
FEATURES, NARROW, MAPPING = 32, 16, 4  # channels wide, channels in the middle, layers in the middle
PATCH, BATCH, MARGIN = 40, 8, 4  # small pixels per side, patches per step, border left out of the loss
SHRUNK = (1.0, 0.9, 0.8)  # every training photograph also in smaller: other sizes of the same things
LEARNING_RATE, WARM_UP = 3e-3, 100


@dataclass(frozen=True)
class Photograph:
    """A photograph inside an installed package."""

    package: str
    path: str
    licence: str
    held_out: bool = False

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return Path(self.path).stem

    def file(self) -> str:
        """Where the package has it."""
        try:
            return str(importlib.metadata.distribution(self.package).locate_file(self.path))
        except importlib.metadata.PackageNotFoundError:
            raise SystemExit(
                f"{self.package} is not installed, and {self.name} comes with it: pip install {self.package}"
            ) from None

    def luma(self) -> Image.Image:
        """Its luma (ITU-R BT.601, full range, as in JPEG files), cut to multiples of the scale."""
        with Image.open(self.file()) as image:
            grey = image.copy() if image.mode == "L" else image.convert("YCbCr").getchannel(0)
        return grey.crop((0, 0, grey.width // SCALE * SCALE, grey.height // SCALE * SCALE))


PHOTOGRAPHS = (
    Photograph(
        "scikit-learn", "sklearn/datasets/images/china.jpg", "CC BY 2.0, danielbuechele, Flickr 6061409035"
    ),
    Photograph(
        "scikit-learn", "sklearn/datasets/images/flower.jpg", "CC BY 2.0, vultilion, Flickr 6056698931"
    ),
    Photograph("scikit-image", "skimage/data/rocket.jpg", "public domain, SpaceX"),
    Photograph("scikit-image", "skimage/data/brick.png", "CC0, cc0textures.com Bricks25"),
    Photograph("scikit-image", "skimage/data/grass.png", "CC0, linolafett, DeviantArt Grass 01"),
    Photograph("scikit-image", "skimage/data/gravel.png", "CC0, cc0textures.com Gravel04"),
    Photograph("scikit-image", "skimage/data/coins.png", "no known restrictions, Brooklyn Museum 51611"),
    Photograph("scikit-image", "skimage/data/ihc.png", "no known restrictions, CMMI"),
    Photograph("scikit-image", "skimage/data/retina.jpg", "CC0, Häggström, doi:10.15347/wjm/2014.008"),
    Photograph("scikit-image", "skimage/data/astronaut.png", "public domain, NASA", held_out=True),
    Photograph("scikit-image", "skimage/data/camera.png", "CC0, Lav Varshney", held_out=True),
    Photograph("scikit-image", "skimage/data/chelsea.png", "CC0, Stefan van der Walt", held_out=True),
    Photograph("scikit-image", "skimage/data/coffee.png", "CC0, Rachel Michetti", held_out=True),
)


def shrink(large: Image.Image) -> Image.Image:
    return large.resize((large.width // SCALE, large.height // SCALE), Image.Resampling.BICUBIC)


def samples(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32) / 255


def training_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Small and large lumas of the training photographs."""
    pairs = []
    for photograph in PHOTOGRAPHS:
        if photograph.held_out:
            continue
        whole = photograph.luma()
        for factor in SHRUNK:
            width, height = (int(n * factor) // SCALE * SCALE for n in whole.size)
            large = whole.resize((width, height), Image.Resampling.BICUBIC) if factor != 1 else whole
            pairs.append((samples(shrink(large)), samples(large)))
    return pairs


def patches(
    pairs: list[tuple[np.ndarray, np.ndarray]], seed: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """The patches of a step: turned and mirrored at random; the same for the same seed and step."""
    random = np.random.default_rng((seed, step))
    areas = np.array([small.size for small, _ in pairs], float)
    small_patches, large_patches = [], []
    for n in random.choice(len(pairs), BATCH, p=areas / areas.sum()):
        small, large = pairs[n]
        top, left = (int(random.integers(length - PATCH + 1)) for length in small.shape)
        turns, mirrored = int(random.integers(4)), bool(random.integers(2))
        for image, unit, into in ((small, 1, small_patches), (large, SCALE, large_patches)):
            cut = image[top * unit : (top + PATCH) * unit, left * unit : (left + PATCH) * unit]
            cut = np.rot90(cut, turns)
            into.append(cut[:, ::-1] if mirrored else cut)
    return np.stack(small_patches)[..., None], np.stack(large_patches)[..., None]


def network(seed: int) -> Sequential:
    """The untrained network: bilinear interpolation, and room to learn."""
    shape = {"padding": "same", "activation": "relu"}
    model = Sequential(name="upscale-x3")
    widths = [(5, FEATURES), (1, NARROW), *[(3, NARROW)] * MAPPING, (1, FEATURES)]
    names = ["features", "shrink", *(f"mapping_{n + 1}" for n in range(MAPPING)), "expand"]
    for name, (taps, filters) in zip(names, widths, strict=True):
        start = {"input_shape": (None, None, 1)} if name == "features" else {}
        model.add(Conv2DTranspose(filters, taps, name=name, **shape, **start))
    model.add(Conv2DTranspose(1, 9, strides=SCALE, padding="same", name="draw"))

    random = np.random.default_rng(seed)
    for layer in model.layers[:-1]:
        *taps, _, c_in = layer.kernel.shape
        kernel = random.normal(
            0, math.sqrt(2 / (math.prod(taps) * c_in)), layer.kernel.shape
        )  # He et al. 2015
        kernel[:, :, 0, :] = 0
        kernel[taps[0] // 2, taps[1] // 2, 0, 0] = 1
        layer.kernel.assign(kernel)
    last = model.layers[-1]
    kernel = random.normal(0, 1e-3, last.kernel.shape)
    tent = np.maximum(0, 1 - abs(np.arange(9) - 4) / SCALE)
    kernel[:, :, 0, 0] = np.outer(tent, tent)
    last.kernel.assign(kernel)
    return model


class Adam:
    """Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980."""

    def __init__(self, model: Sequential) -> None:
        self.variables = model.trainable_weights
        self.means = [np.zeros(v.shape, np.float32) for v in self.variables]
        self.squares = [np.zeros(v.shape, np.float32) for v in self.variables]

    def update(self, gradients: tuple[np.ndarray, ...], step: int, rate: float) -> None:
        """Move every variable against its gradient."""
        b1, b2 = 0.9, 0.999
        for v, g, m, s in zip(self.variables, gradients, self.means, self.squares, strict=True):
            m += (1 - b1) * (g - m)
            s += (1 - b2) * (g * g - s)
            v.assign(v.value - rate * (m / (1 - b1**step)) / (np.sqrt(s / (1 - b2**step)) + 1e-8))


def rate_at(step: int, steps: int) -> float:
    """A short rise, then half a cosine down to a hundredth."""
    fall = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return LEARNING_RATE * min(1, step / WARM_UP) * (0.99 * fall + 0.01)


def learn(
    model: Sequential, optimizer: Adam, small: np.ndarray, large: np.ndarray, step: int, rate: float
) -> float:
    """One step on the mean squared error; returns the error."""
    outputs, pullback = model.vjp(small)
    border = MARGIN * SCALE
    error = np.zeros_like(outputs)  # patches end where photographs go on: their borders teach nothing
    inside = (slice(None), slice(border, -border), slice(border, -border))
    error[inside] = outputs[inside] - large[inside]
    count = error[inside].size
    optimizer.update(pullback(error * np.float32(2 / count)).weights, step, rate)
    return float(np.vdot(error, error)) / count


def psnr(drawn: np.ndarray, large: np.ndarray) -> float:
    """Decibels between two 8-bit lumas, without a border of the scale's width."""
    inside = (slice(SCALE, -SCALE),) * 2
    drawn, large = (np.rint(np.clip(a, 0, 1) * 255)[inside] for a in (drawn, large))
    return 10 * math.log10(255**2 / np.mean((drawn - large) ** 2))


def enlarged(model: Sequential, small: Image.Image) -> np.ndarray:
    return upscale(model, samples(small)[None, ..., None])[0, ..., 0]


def measure(model: Sequential) -> list[tuple[str, float, float]]:
    """Name, PSNR of bicubic interpolation, PSNR of the model: for each held-out photograph."""
    rows = []
    for photograph in PHOTOGRAPHS:
        if photograph.held_out:
            large = photograph.luma()
            small = shrink(large)
            plain = small.resize(large.size, Image.Resampling.BICUBIC)
            truth = samples(large)
            rows.append((photograph.name, psnr(samples(plain), truth), psnr(enlarged(model, small), truth)))
    return rows


def report(rows: list[tuple[str, float, float]]) -> tuple[float, float]:
    """Print the measurements; returns both averages."""
    plain, ours = (sum(row[n] for row in rows) / len(rows) for n in (1, 2))
    print(f"{'held out':12}{'bicubic':>9}{'ours':>9}{'gain':>9}   PSNR of the luma in dB")
    for name, a, b in [*rows, ("average", plain, ours)]:
        print(f"{name:12}{a:9.2f}{b:9.2f}{b - a:+9.2f}")
    return plain, ours


class Stopped:
    """Ctrl-C while this is open: finish the step at hand; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Stopped:
        self.before = signal.signal(signal.SIGINT, self.ask)
        return self

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note the wish: what the signal calls."""
        self.asked = True
        signal.signal(signal.SIGINT, self.before)

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self.before)


def state_arrays(model: Sequential, optimizer: Adam) -> Iterator[tuple[str, np.ndarray]]:
    for n, (v, m, s) in enumerate(zip(optimizer.variables, optimizer.means, optimizer.squares, strict=True)):
        yield from ((f"value{n}", v.value), (f"mean{n}", m), (f"square{n}", s))


def resume(path: Path, optimizer: Adam, seed: int, steps: int) -> int:
    """Take up the state in ``path``; returns the number of steps that are done."""
    with np.load(path, allow_pickle=False) as state:
        if (int(state["seed"]), int(state["steps"])) != (seed, steps):
            raise SystemExit(
                f"{path} belongs to --seed {state['seed']} --steps {state['steps']}. "
                f"Give these, or remove it to begin anew."
            )
        for n, v in enumerate(optimizer.variables):
            v.assign(state[f"value{n}"])
            optimizer.means[n][...], optimizer.squares[n][...] = state[f"mean{n}"], state[f"square{n}"]
        return int(state["done"])


def train(output: Path, steps: int, seed: int) -> int:
    """Train, measure, save; returns the exit status."""
    state = output.with_name(output.stem + ".training.npz")
    pairs = training_pairs()
    model = network(seed)
    optimizer = Adam(model)
    done = resume(state, optimizer, seed, steps) if state.exists() else 0
    print(f"{model.count_params():,} parameters, {len(pairs)} pictures, steps {done} to {steps}, seed {seed}")
    started, error = time.perf_counter(), math.nan
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Stopped() as stopped, Progress(*columns) as progress:
        bar = progress.add_task("training", total=steps, completed=done)
        while done < steps and not stopped.asked:
            now = learn(model, optimizer, *patches(pairs, seed, done), done + 1, rate_at(done + 1, steps))
            error = now if math.isnan(error) else 0.99 * error + 0.01 * now
            done += 1
            progress.update(bar, completed=done, description=f"{-10 * math.log10(error):.2f} dB")
            if done % max(steps // 8, 1) == 0:
                ours = np.mean([row[2] for row in measure(model)])
                progress.print(f"step {done}: {time.perf_counter() - started:.0f} s, held out {ours:.3f} dB")
    if done < steps:
        np.savez(state, done=done, seed=seed, steps=steps, **dict(state_arrays(model, optimizer)))
        print(f"stopped after {done} of {steps} steps; the same command goes on from {state}")
        return 130
    rows = measure(model)
    plain, ours = report(rows)
    npz.write(model, output, metadata=metadata(rows, plain, ours, seed, steps))
    state.unlink(missing_ok=True)
    print(f"wrote {output}, {output.stat().st_size:,} bytes")
    return 0


def metadata(
    rows: list[tuple[str, float, float]], plain: float, ours: float, seed: int, steps: int
) -> dict[str, Any]:
    """What the model file says of itself."""
    return {
        "description": "enlarges the luma of photographs threefold; samples between 0 and 1",
        "licence": "Apache-2.0",
        "made by": f"examples/train_upscaler.py --seed {seed} --steps {steps}",
        "trained on": {p.name: f"{p.package}: {p.licence}" for p in PHOTOGRAPHS if not p.held_out},
        "held out": {name: {"bicubic dB": round(a, 2), "model dB": round(b, 2)} for name, a, b in rows},
        "average": {"bicubic dB": round(plain, 3), "model dB": round(ours, 3)},
    }


CROPS = (("coffee", (330, 80, 480, 185)), ("chelsea", (90, 66, 240, 171)))  # left, top, right, bottom
ZOOM, GAP, LINE = 2, 8, 30  # screen pixels per pixel, between panels, of a line of text


def coloured(model: Sequential, small: Image.Image) -> Image.Image:
    """The model on a colour picture, as `convtranspose run` does it."""
    rgb = samples(small)
    luma, chroma = pictures.luma_and_chroma(rgb)
    large = upscale(model, luma[None])[0]
    drawn = pictures.from_luma_and_chroma(large, pictures.bicubic(chroma, *large.shape[:2]))
    return Image.fromarray(np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8))


def draw_comparison(model: Sequential, path: Path) -> None:
    """One row per held-out photograph: small, bicubic, ours, original; PSNR of the whole luma."""
    measured = {name: (plain, ours) for name, plain, ours in measure(model)}
    font = ImageFont.load_default(20)
    rows = []
    for name, box in CROPS:
        photograph = next(p for p in PHOTOGRAPHS if p.name == name)
        with Image.open(photograph.file()) as image:
            large = image.convert("RGB")
        large = large.crop((0, 0, large.width // SCALE * SCALE, large.height // SCALE * SCALE))
        small = shrink(large)
        plain, ours = measured[name]
        panels = (
            ("a third of the size", small.resize(large.size, Image.Resampling.NEAREST)),
            (f"bicubic, {plain:.2f} dB", small.resize(large.size, Image.Resampling.BICUBIC)),
            (f"upscale-x3, {ours:.2f} dB", coloured(model, small)),
            ("original", large),
        )
        zoomed = ((box[2] - box[0]) * ZOOM, (box[3] - box[1]) * ZOOM)
        rows.append([(text, p.crop(box).resize(zoomed, Image.Resampling.NEAREST)) for text, p in panels])
    width, height = rows[0][0][1].size
    size = (4 * width + 3 * GAP, len(rows) * (height + LINE) + (len(rows) - 1) * GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (text, panel) in enumerate(row):
            at = (x * (width + GAP), y * (height + LINE + GAP))
            pen.text((at[0] + 2, at[1] + 2), text, "black", font)
            sheet.paste(panel, (at[0], at[1] + LINE))
    sheet.save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size:,} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--output", type=Path, default=Path("upscale-x3.npz"), help="the model file")
    parser.add_argument("--steps", type=int, default=8000, help="training steps (default: 8000)")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and patches (default: 0)")
    parser.add_argument("--measure", action="store_true", help="do not train, measure the model in --output")
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="do not train, draw the model in --output"
    )
    given = parser.parse_args()
    if given.steps < 1:
        parser.error(f"--steps must be at least 1. Got {given.steps}")
    if given.measure or given.picture:
        model = npz.read(given.output)
        if given.measure:
            report(measure(model))
        if given.picture:
            draw_comparison(model, given.picture)
        return 0
    return train(given.output, given.steps, given.seed)


if __name__ == "__main__":
    sys.exit(main())
