"""Make docs/compatibility.md out of the recorded cases and the lists of differences.

    python tests/golden/compatibility.py            write the page
    python tests/golden/compatibility.py --check    exit with 1 where it is not what it should be

Counted are the recorded cases and what the replays say of them; what the pages of the programs document
stands in ``compatibility.toml``. Cases that were run under XLA are no case of a CPU kernel: the tables of
arguments leave them out, and compare with them what the program refuses.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "src")]

from golden_cases import ALIKE, Case, Difference, cases, listed, load, reasons, sources  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "compatibility.md"
FACTS = tomllib.loads((HERE / "compatibility.toml").read_text(encoding="utf-8"))

OUTCOMES = ("same", "computes", "refuses", "differs", "raises")
"""Ours beside the program's: the same; an answer for a refusal; a refusal for an answer; another answer;
another error."""


def outcome(case: Case, difference: Callable[[Case], Difference | None]) -> str:
    """Which of ``OUTCOMES`` a case has."""
    if case["key"] not in listed(case["source"]):
        return "same"
    found = difference(case)
    if found is None:
        return "same"
    refused = case["expect"]["kind"] == "raises"
    if found.computed:
        return "computes" if refused else "differs"
    return "raises" if refused else "refuses"


# Tables of arguments


def single(value: Any) -> Any:
    """One number for a list of the same numbers, as the programs take it."""
    alike = isinstance(value, list) and len({str(part) for part in value}) == 1
    return value[0] if alike else value


def uses(case: Case, row: dict[str, Any], name: str, rows: dict[str, Any]) -> bool:
    """Whether a case belongs to a row: by its key, or by an argument that is not the default."""

    def given(argument: str) -> bool:
        default = rows.get(argument, {}).get("default")
        return argument in case["args"] and single(case["args"][argument]) != default

    if "inputs" in row:
        return any(ref["dtype"] == row["inputs"] for ref in case.get("inputs", {}).values())
    if "keys" in row:
        return any(fnmatchcase(case["key"], pattern) for pattern in row["keys"])
    if "together" in row:
        return all(map(given, row["together"]))
    return any(map(given, row.get("any", [name])))


def linked(names: Iterable[str]) -> str:
    return ", ".join(f"[{reasons()[name]['title']}](#{name})" for name in names)


WORDS = {
    "computes": "{} more computed",
    "refuses": "{} refused",
    "differs": "{} with other numbers",
    "raises": "{} with another error",
}


def ours(found: list[tuple[Case, str]], row: str | None = None) -> str:
    """The cell of our side: how often the same, and what else with its reasons, those of a row or all."""
    counts, whys, elsewhere = Counter(kind for _, kind in found), {kind: {} for kind in OUTCOMES}, 0
    for case, kind in found:
        name = listed(case["source"]).get(case["key"])
        if kind == "same":
            continue
        if row is None or row in reasons()[name].get("rows", ()):
            whys[kind][name] = None
        else:
            counts[kind] -= 1
            elsewhere += 1
    parts = [f"{counts['same']} the same"] if counts["same"] else []
    if counts["same"] == len(found):
        return "all the same"
    parts += [f"{WORDS[kind].format(counts[kind])}: {linked(whys[kind])}" for kind in WORDS if whys[kind]]
    return "; ".join([*parts, *([f"{elsewhere} by other rows"] if elsewhere else [])])


def documented(text: str) -> str:
    return text.replace("|", "\\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: int = 0) -> Iterator[str]:
    """A Markdown table; the last ``numbers`` columns are numbers."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join(['---'] * (len(head) - numbers) + ['---:'] * numbers)} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def api(facts: dict[str, Any]) -> Iterator[str]:
    """The section of one API."""
    difference = load(HERE / facts["replay"]).difference
    mine = [
        case
        for source in facts["programs"]
        for case in cases(source)
        if case["api"].split()[0] == facts["of"]
    ]
    on_cpu = [c for c in mine if not c["key"].endswith("_xla")]
    judged = {(c["source"], c["key"]): outcome(c, difference) for c in mine}
    yield f"### {facts['name']}"
    yield ""
    yield f"Here: `{facts['here']}`. Documented: [{facts['of']}]({facts['page']})."
    yield ""
    body = []
    for argument, row in facts["rows"].items():
        found = [c for c in on_cpu if uses(c, row, argument, facts["rows"])]
        if not found:
            raise ValueError(f"{facts['name']}: no recorded case is of the row {argument!r}")
        cells = []
        for source in facts["programs"]:
            of_program = [c for c in found if c["source"] == source]
            computed = sum(c["expect"]["kind"] != "raises" for c in of_program)
            cells.append(f"{computed} of {len(of_program)}")
        label = f"`{argument}`" if argument.isidentifier() else argument
        mark = ours([(c, judged[c["source"], c["key"]]) for c in found], argument)
        body.append([label, documented(row["documented"]), *cells, mark])
    yield from table(["argument", "documented", *facts["programs"].values(), "here"], body)
    yield from twins(mine, judged)


def twins(mine: list[Case], judged: dict[tuple[str, str], str]) -> Iterator[str]:
    """What XLA computes where the kernel of the CPU refuses."""
    compiled = [c for c in mine if c["key"].endswith("_xla") and c["expect"]["kind"] != "raises"]
    if compiled:
        mark = ours([(c, judged[c["source"], c["key"]]) for c in compiled])
        count = len(compiled)
        yield f"Under XLA the program computes {count} of the calls that its kernel refuses; here: {mark}."
        yield ""


# All programs, all reasons, all errors


def label_of(source: str) -> str:
    return str(FACTS["labels"][source])


def documented_systems() -> list[str]:
    """Sources in the order of the labels; the page is incomplete where one has none."""
    neighbours = load(HERE / "test_coverage.py").NEIGHBOURS
    missing = set(sources()) - neighbours - FACTS["labels"].keys()
    if missing:
        raise ValueError(f"compatibility.toml has no label for {sorted(missing)}")
    return list(FACTS["labels"])


def summary() -> Iterator[str]:
    """Every program: its cases, and how many of which sort differ."""
    counts: dict[str, Counter[str]] = {}
    for source in documented_systems():
        here = counts.setdefault(label_of(source), Counter())
        here["cases"] += len(cases(source))
        here.update(reasons()[name]["sort"] for name in listed(source).values())
    sorts = FACTS["sorts"]
    total: Counter[str] = sum(counts.values(), Counter())
    rows = [*counts.items(), ("**all**", total)]
    body = []
    for label, here in rows:
        agreeing = here["cases"] - sum(here[sort] for sort in sorts)
        body.append([label, str(here["cases"]), str(agreeing), *(str(here[s] or "") for s in sorts)])
    heads = [f"[{short}](#{anchor(title)})" for short, title, _ in sorts.values()]
    yield from table(["program", "recorded", "the same", *heads], body, numbers=len(heads) + 2)


def anchor(heading: str) -> str:
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def where(name: str) -> str:
    """Programs in which a reason holds, with counts."""
    counts: Counter[str] = Counter()
    for source in documented_systems():
        counts[label_of(source)] += sum(found == name for found in listed(source).values())
    return " · ".join(f"{label}: {count}" for label, count in counts.items() if count)


def differences() -> Iterator[str]:
    """All reasons by sort."""
    for sort, (_, title, text) in FACTS["sorts"].items():
        yield f"### {title}"
        yield ""
        yield text
        yield ""
        body = [
            [f'<a id="{name}"></a>**{entry["title"]}**', entry["reason"], where(name)]
            for name, entry in reasons().items()
            if entry["sort"] == sort
        ]
        yield from table(["what", "why", "where, and in how many recorded calls"], body)


def errors() -> Iterator[str]:
    """Classes of the programs' exceptions, and those that stand for them."""
    sides = [
        ("TensorFlow, in layers", ALIKE),
        ("a backend, in `keras.ops`", load(HERE / "test_ops.py").ALIKE),
        ("TensorFlow.js", load(HERE / "test_tfjs.py").ALIKE),
    ]
    body = []
    for place, alike in sides:
        for ours, theirs in grouped(alike).items():
            classes = " or ".join(f"`{c}`" for c in ours)
            body.append([place, ", ".join(f"`{c}`" for c in theirs), classes])
    yield from table(["raised by", "there", "here"], body)


def grouped(alike: Any) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for theirs, ours in alike.items():
        found.setdefault(tuple(ours), []).append(theirs)
    return found


@cache
def page() -> str:
    """The whole page."""
    total = sum(len(cases(source)) for source in documented_systems())
    lines = [
        "# Compatibility",
        "",
        "<!-- Made by tests/golden/compatibility.py from the recorded cases; `make docs` makes it again. -->",
        "",
        FACTS["text"]["intro"].format(total=total),
        "## Moving a model",
        "",
        *table(["you have", "here", "what you will notice"], [list(m.values()) for m in FACTS["moving"]]),
        FACTS["text"]["contents"],
        "## What was decided",
        "",
        *(f"- **{item['title']}.** {item['text']}" for item in FACTS["decision"]),
        "",
        "## Every program",
        "",
        *summary(),
        "## Argument by argument",
        "",
        FACTS["text"]["rows"],
        *(line for facts in FACTS["api"] for line in api(facts)),
        "## Differences",
        "",
        *differences(),
        "## Errors",
        "",
        FACTS["text"]["errors"],
        *errors(),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> str | None:
    """What the command does; what it complains of, if anything."""
    if arguments == ["--check"]:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        return None if current else f"{PAGE} is stale: make docs"
    if arguments:
        return __doc__
    PAGE.write_text(page(), encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
