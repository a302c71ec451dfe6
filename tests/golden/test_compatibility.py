"""The page of compatibility is the one that the recorded cases give, and says what they say."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from golden_cases import GOLDEN, cases, listed, load, reasons, sources

compatibility = load(GOLDEN / "compatibility.py")
APIS = {facts["name"]: facts for facts in compatibility.FACTS["api"]}


def test_the_page_is_not_stale():
    assert compatibility.PAGE.read_text(encoding="utf-8") == compatibility.page(), "make docs writes it again"


def test_the_command(monkeypatch, tmp_path):
    assert compatibility.main(["--check"]) is None
    assert "--check" in compatibility.main(["--wrong"])
    monkeypatch.setattr(compatibility, "PAGE", tmp_path / "compatibility.md")
    for _ in range(2):
        assert "is stale: make docs" in compatibility.main(["--check"])
        compatibility.PAGE.write_text("something else", encoding="utf-8")
    assert compatibility.main([]) is None
    assert compatibility.PAGE.read_text(encoding="utf-8") == compatibility.page()


def test_it_runs_by_itself():
    run = [sys.executable, str(GOLDEN / "compatibility.py"), "--wrong"]
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "--check" in told.stderr


def test_sums_are_those_of_the_records():
    """Counted once more, from the lists alone."""
    row = re.search(r"^\| \*\*all\*\* \| (.*) \|$", compatibility.page(), re.MULTILINE)
    numbers = [int(cell or 0) for cell in row[1].split(" | ")]
    known = [s for s in sources() if s in compatibility.FACTS["labels"]]
    assert numbers[0] == sum(len(cases(s)) for s in known)
    assert numbers[0] - numbers[1] == sum(numbers[2:]) == sum(len(listed(s)) for s in known)


@pytest.mark.parametrize("name", APIS)
def test_every_argument_that_was_recorded_has_a_row(name):
    facts = APIS[name]
    rows = facts["rows"]
    told = {a for label, row in rows.items() for a in row.get("any", row.get("together", [label]))}
    given = {
        argument
        for source in facts["programs"]
        for case in cases(source)
        if case["api"].split()[0] == facts["of"]
        for argument in case["args"]
    }
    assert given <= told


@pytest.mark.parametrize("name", APIS)
def test_rows_of_an_api_show_every_reason_that_it_has(name):
    """A difference that only counts as one of other rows would be told nowhere."""
    facts = APIS[name]
    section = compatibility.page().split(f"### {name}\n")[1].split("\n#")[0]
    has = {
        reason
        for source in facts["programs"]
        for case in cases(source)
        if case["api"].split()[0] == facts["of"] and not case["key"].endswith("_xla")
        if (reason := listed(source).get(case["key"])) is not None
    }
    assert has == set(re.findall(r"\]\(#(\w+)\)", section))


OUTCOMES = {
    "computed": {"computes"},
    "page": {"differs", "refuses", "raises"},
    "numbers": {"differs"},
    "refused": {"refuses", "raises"},
    "error": {"raises"},
}
"""What a difference of each sort is: an answer for a refusal, other numbers, a refusal for an answer, ..."""


@pytest.mark.parametrize("file", ["test_layers.py", "test_ops.py", "test_tfjs.py"])
@pytest.mark.filterwarnings("ignore:TensorFlow.js ignores")
def test_a_difference_is_what_its_reason_says(file):
    """Listed as computed here, it is computed here; listed as refused, it is refused."""
    replay = load(GOLDEN / file)
    owned = {"test_layers.py": "_layers", "test_ops.py": "_ops_", "test_tfjs.py": "tfjs"}[file]
    wrong, judged = [], 0
    for source in (s for s in sources() if owned in s and s != "tfjs_load" and not s.startswith("files")):
        for case in cases(source):
            name = listed(source).get(case["key"])
            if name is not None:
                outcome, judged = compatibility.outcome(case, replay.difference), judged + 1
                if outcome not in OUTCOMES[reasons()[name]["sort"]]:
                    wrong.append(f"{source}: {case['key']} is listed as {name}, but {outcome}")
    assert not wrong, "\n".join(wrong)
    assert judged > 20


def test_links_inside_the_page_lead_somewhere():
    page = compatibility.page()
    headings = {compatibility.anchor(h) for h in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
    named = set(re.findall(r'<a id="(\w+)">', page))
    assert named == reasons().keys()
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= headings | named
