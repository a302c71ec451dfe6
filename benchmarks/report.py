"""From results to tables, a chart and one line per problem.

``python benchmarks/report.py results.json --markdown table.md --chart chart.svg`` makes them again from
recorded results, and ``--page docs/performance.md`` replaces what that page says of the same operation and
number of threads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from math import exp, log
from pathlib import Path
from typing import Any

from problem import LAYOUTS
from rivals import OURS, RIVALS

Record = dict[str, Any]


def fastest(record: Record, names: tuple[str, ...], layout: str | None = None) -> tuple[str, Record] | None:
    """The variant with the least median among the named programs."""
    found = [
        (row["median"], key)
        for key, row in record["results"].items()
        if key.split("/")[0] in names and "median" in row and layout in (None, key.split("/")[1])
    ]
    return (min(found)[1], record["results"][min(found)[1]]) if found else None


def ratio(record: Record, layout: str, name: str = "plan") -> float | None:
    """How many times faster than the best rival, in any format, we are in this format."""
    best, own = fastest(record, RIVALS), fastest(record, (name,), layout)
    return best[1]["median"] / own[1]["median"] if best and own else None


def geometric_mean(values: Iterable[float]) -> float:
    """The mean that suits ratios."""
    logs = [log(v) for v in values]
    return exp(sum(logs) / len(logs))


def worst_first(result: Record) -> list[Record]:
    """Problems by our worse format, the worst first; without ratios in the order of the file."""

    def key(record: Record) -> float:
        return min((r for layout in LAYOUTS if (r := ratio(record, layout))), default=float("inf"))

    return sorted(result["problems"], key=key)


def _variant(key: str) -> str:
    name, _, layout = key.partition("/")
    return f"{name} {layout.removeprefix('channels_')}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    value, unit = (seconds * 1e3, "ms") if seconds >= 1e-3 else (seconds * 1e6, "µs")
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"


def _pair(values: Iterable[Any], show: Callable[[Any], str]) -> str:
    texts = ["–" if v is None else show(v) for v in values]
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)


def line(record: Record) -> str:
    """One line of progress."""
    best = fastest(record, RIVALS)
    text = f"{record['name']:<20} {record['text']:<34}"
    if best:
        text += f" {_variant(best[0])} {_time(best[1]['median'])}"
    for name in OURS:
        for layout in LAYOUTS:
            own = fastest(record, (name,), layout)
            if own:
                gain = ratio(record, layout, name)
                text += f" | {_variant(own[0])} {_time(own[1]['median'])}" + (
                    f" ({gain:.2f}×)" if gain else ""
                )
    wrong = [_variant(key) for key, row in record["results"].items() if row.get("wrong")]
    return text + (f" | WRONG: {', '.join(wrong)}" if wrong else "")


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    marks = ["---", "---"] + ["--:"] * (len(heads) - 2)
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, marks, *rows]) + "\n"


def summary(result: Record) -> str:
    """Geometric mean, worst problem and number of losses per form of ours."""
    lines = []
    for name in OURS:
        for layout in LAYOUTS:
            known = [(r, p["name"]) for p in result["problems"] if (r := ratio(p, layout, name))]
            if known:
                mean = geometric_mean(r for r, _ in known)
                lines.append(
                    f"- {_variant(f'{name}/{layout}')}: {mean:.2f}× the best rival in the geometric mean of "
                    f"{len(known)} problems, {sum(r < 1 for r, _ in known)} below 1.0, "
                    f"worst {min(known)[0]:.2f}× ({min(known)[1]})."
                )
    return "\n".join(lines) + "\n" if lines else ""


def main_table(result: Record) -> str:
    """The table of the problems, worst first: times, ratios, rates, memory, first calls."""
    peak = result["peak"]["gflops"]
    rows = []
    for record in worst_first(result):
        best = fastest(record, RIVALS)
        own = [fastest(record, ("plan",), layout) for layout in LAYOUTS]
        oneshot = [fastest(record, ("oneshot",), layout) for layout in LAYOUTS]
        plain = [fastest(record, ("numpy",), layout) for layout in LAYOUTS]
        rate = [o and record["flops"] / o[1]["median"] / 1e9 for o in own]
        arrays = sum(record["bytes"].values())
        memory = [o and o[1].get("memory", {}).get("call") for o in own]
        rival_memory = best and best[1].get("memory", {}).get("call")
        rows.append(
            [
                record["name"],
                record["text"],
                f"{_variant(best[0])} {_time(best[1]['median'])}" if best else "–",
                _pair([o and o[1]["median"] for o in own], _time),
                _pair([ratio(record, layout) for layout in LAYOUTS], "{:.2f}".format),
                _pair(rate, "{:.1f}".format),
                _pair([r and 100 * r / peak for r in rate], "{:.0f} %".format),
                _pair([o and o[1]["median"] for o in oneshot], _time),
                _pair([o and o[1]["median"] for o in plain], _time),
                _pair([o and o[1]["build"] + o[1]["first"] for o in own], _time),
                _time(best and best[1]["build"] + best[1]["first"]),
                _pair([m if m is None else 100 * m / arrays for m in memory], "{:.0f} %".format),
                "–" if rival_memory is None else f"{100 * rival_memory / arrays:.0f} %",
            ]
        )
    heads = [
        "problem",
        "what",
        "best rival",
        "plan",
        "ratio",
        "GFLOP/s",
        "of peak",
        "one-shot",
        "NumPy path",
        "cold",
        "cold, rival",
        "memory",
        "memory, rival",
    ]
    return _table(heads, rows)


def all_medians(result: Record) -> str:
    """Every median of every variant."""
    keys = list(dict.fromkeys(key for p in result["problems"] for key in p["results"]))
    rows = [
        [p["name"], p["text"], *(_time(p["results"].get(key, {}).get("median")) for key in keys)]
        for p in result["problems"]
    ]
    return _table(["problem", "what", *map(_variant, keys)], rows)


def absences(result: Record) -> str:
    """Which variants could not run which problems, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for record in result["problems"]:
        for key, row in record["results"].items():
            why = (
                row.get("unsupported")
                or row.get("failed")
                or (f"wrong result, relative difference {row['error']:.1e}" if row.get("wrong") else None)
            )
            if why:
                reasons.setdefault((_variant(key), why), []).append(record["name"])
    return "".join(f"- {who}: {why}: {', '.join(names)}.\n" for (who, why), names in reasons.items())


def markdown(result: Record) -> str:
    """The whole report."""
    machine, peak = result["machine"], result["peak"]
    versions = ", ".join(f"{n} {v}" for n, v in result["versions"].items())
    parts = [
        f"## {result['operation']}, {result['threads']} thread{'s' * (result['threads'] > 1)}\n",
        f"{machine['cpu']}, {machine['processors']} processors, {machine['system']}, Python "
        f"{machine['python']}, {machine['date']}. {versions}. FMA peak {peak['gflops']:.0f} GFLOP/s "
        f"({peak['method']}). Medians of {result['rounds']} rounds.\n",
        summary(result),
        "Two values are channels-last / channels-first. Ratio: median of the best rival in any format, "
        "divided by ours. Cold: building and the first call. Memory: what a call needs beside its arrays, "
        "in percent of input + weights + output.\n",
        main_table(result),
        "### Every median\n",
        all_medians(result),
    ]
    missing = absences(result)
    return "\n".join(p for p in [*parts, "### Not run\n" if missing else "", missing] if p)


def chart(result: Record, path: Path) -> None:
    """Bars of the ratio to the best rival, worst on top, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "convtranspose"
    from matplotlib import pyplot as plt

    records = [r for r in worst_first(result) if any(ratio(r, layout) for layout in LAYOUTS)]
    if not records:
        raise SystemExit("a chart needs results of ours and of a rival")
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.2 * len(records)), layout="constrained")
    for shift, layout, colour in zip((-0.2, 0.2), LAYOUTS, ("#1b6ca8", "#e08e2b"), strict=True):
        known = [(n, r) for n, record in enumerate(records) if (r := ratio(record, layout))]
        mean = geometric_mean(r for _, r in known)
        axes.barh(
            [n + shift for n, _ in known],
            [r - 1 for _, r in known],
            0.38,
            left=1,
            color=colour,
            label=f"{layout}, geometric mean {mean:.2f}",
        )
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64]
    low, high = axes.get_xlim()
    axes.set_xticks([t for t in ticks if low <= t <= high], [f"{t:g}×" for t in ticks if low <= t <= high])
    axes.minorticks_off()
    axes.set_yticks(range(len(records)), [r["name"] for r in records], fontsize=7)
    axes.set_ylim(len(records) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"times faster than the best rival ({result['operation']}, {result['threads']} threads)")
    axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def bar(result: Record) -> str:
    """The bar to beat: the best rival per problem, and what it reaches."""
    rows = []
    for record in result["problems"]:
        best = fastest(record, RIVALS)
        if best:
            rows.append(
                [
                    record["name"],
                    record["text"],
                    _variant(best[0]),
                    _time(best[1]["median"]),
                    _time(best[1]["best"]),
                    f"{record['flops'] / best[1]['median'] / 1e9:.1f}",
                ]
            )
    return _table(["problem", "what", "best rival", "median", "least", "GFLOP/s"], rows)


def short_table(result: Record) -> str:
    """The table for readers of a page: times with ratios, rates, scratch memory."""
    rows = []
    for record in worst_first(result):
        best = fastest(record, RIVALS)
        own = [fastest(record, ("plan",), layout) for layout in LAYOUTS]
        times = [
            "–" if o is None else f"{_time(o[1]['median'])} ({ratio(record, layout) or float('nan'):.2f}×)"
            for o, layout in zip(own, LAYOUTS, strict=True)
        ]
        rates = [record["flops"] / o[1]["median"] / 1e9 for o in own if o]
        arrays = sum(record["bytes"].values())
        workspace = [o and o[1].get("workspace") for o in own]
        rows.append(
            [
                record["name"],
                record["text"],
                f"{_variant(best[0]).split()[0]} {_time(best[1]['median'])}" if best else "–",
                *times,
                f"{max(rates):.0f}" if rates else "–",
                _pair([b if b is None else 100 * b / arrays for b in workspace], "{:.0f} %".format),
            ]
        )
    heads = ["problem", "what", "best rival", "channels last", "channels first", "GFLOP/s", "workspace"]
    return _table(heads, rows)


def page(result: Record, path: Path) -> None:
    """Replace the block of a page that tells of this operation and this number of threads."""
    mark = f"<!-- measured: {result['operation']}, {result['threads']} -->"
    text = path.read_text(encoding="utf-8")
    before, found, rest = text.partition(mark)
    _, closed, after = rest.partition("<!-- end -->")
    if not found or not closed:
        raise SystemExit(f"{path} has no block {mark} ... <!-- end -->")
    machine, peak = result["machine"], result["peak"]
    versions = ", ".join(f"{n} {v}" for n, v in result["versions"].items())
    own = [(r, p["name"]) for p in result["problems"] for layout in LAYOUTS if (r := ratio(p, layout))]
    said = "".join(
        f"- {layout.replace('_', ' ')}: {geometric_mean(known):.2f} times the best rival in the geometric "
        f"mean of {len(known)} problems, {sum(r < 1 for r in known)} below 1.0\n"
        for layout in LAYOUTS
        if (known := [r for p in result["problems"] if (r := ratio(p, layout))])
    )
    block = (
        f"{mark}\n\n{said}- the worst: {min(own)[1]} with {min(own)[0]:.2f}\n\n"
        f"{machine['cpu']}, {machine['date']}, Python {machine['python']}; {versions}. FMA peak "
        f"{peak['gflops']:.0f} GFLOP/s.\n\n"
        f"<details><summary>All {len(result['problems'])} problems, the worst first</summary>\n\n"
        f"{short_table(result)}\n</details>\n\n"
    )
    path.write_text(before + block + "<!-- end -->" + after, encoding="utf-8")


def write(result: Record, to_json: Path | None, to_markdown: Path | None, to_chart: Path | None) -> None:
    """Write what was asked for; without a file for the table, print its summary."""
    if to_json:
        to_json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if to_markdown:
        to_markdown.write_text(markdown(result), encoding="utf-8")
    else:
        print(summary(result) or bar(result))
    if to_chart:
        chart(result, to_chart)


def main() -> None:
    """Reports from recorded results."""
    parser = argparse.ArgumentParser(description="Make table and chart from recorded results.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    result = json.loads(options.results.read_text(encoding="utf-8"))
    write(result, None, options.markdown, options.chart)
    if options.page:
        page(result, options.page)


if __name__ == "__main__":
    main()
