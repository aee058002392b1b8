"""summary.md: the same facts, and nothing in them that Markdown would interpret."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.report import markdown
from tests.kit.results import Make, report_on


def _markdown(data: dict[str, Any]) -> str:
    return markdown.render(report_on(data))


def _cells(line: str) -> list[str]:
    """The cells of a table row; a pipe after a backslash is text."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_facts_are_there(make: Make) -> None:
    check = make.check(passed=False, measured="812 ms", reason="")
    text = _markdown(
        make.data(
            make.full(results=[make.result(checks=[check])], events=["died\nline `1`\n```\nend"]),
            make.full("tornado", verdicts=[make.verdict(blocked=2)]),
            requirements=[{"criterion": "p95 < 1s", "evaluated": 0, "failed": 0}],
        )
    )
    for line in (
        "| topology | blocks? | at once | rate /s | p95 | error rate | unaccounted | memory |",
        "| nginx4 | no | 4 | 198.3 | 381 ms | 2.92 % | 0 | 62 MiB |",
        "| tornado | 25 % | 4 | 198.3 | 381 ms | 2.92 % | 0 | 62 MiB |",
        "- **required p95 &lt; 1s: NEVER MEASURED**",
        "- does not block: all 8 fast requests were answered during /sleep?seconds=1",
        "- runs 4 requests at once; nginx4 declares 4",
        "### load by builtin: 500 users, 12 s, one connection per request, GET /test",
        "| 200 | 194.17 / sec | 194.17 / sec | 2330 |",
        "| refused | 1.67 / sec | 20 |",
        "- **FAILED p95 &lt; 500ms: measured 812 ms**",
        "| backend-1 (ended) | 1 | 28 MiB | 2 s |",
        "| site | 4 | 62 MiB | 7.75 s |",
        "  ````text",
        "  line `1`",
        "| versions: nginx | 1.31.3 (wheel, C:\\\\nginx) |",
        "| memory | 8.0 GiB |",
    ):
        assert line in text.splitlines()


def test_an_empty_run_says_so(make: Make) -> None:
    text = _markdown(make.data())
    assert "No test used a site." in text
    assert "Comparison" not in text


def test_nothing_sent_is_not_measured(make: Make) -> None:
    tests = [
        make.full(results=[make.result(outcomes={}, ledger=None, site=None)]),
        make.test("flask"),
    ]
    text = _markdown(make.data(*tests))
    missing = " | ".join(["not measured"] * 5)
    assert f"| nginx4 | no | 4 | {missing} |" in text
    assert f"| flask | not measured | not measured | {missing} |" in text
    assert "- **not measured**: no probe" in text
    assert "0 %" not in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("a\nb\r\n\tc", "a b c"),
        ("<script>&amp;", "&lt;script&gt;&amp;amp;"),
        ("*_[x](y)_*", r"\*\_\[x\](y)\_\*"),
        ("\\|", r"\\\|"),
        ("$a$ #1 &#36;", r"&#36;a&#36; \#1 &amp;\#36;"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert markdown.escape(text) == escaped


@given(st.text(st.sampled_from("|\\`\n<>&$#*_a 1-+=~[]"), max_size=30))
def test_hostile_text_stays_in_its_cell(text: str) -> None:
    made = Make()
    parts = {"verdicts": [made.verdict(slow=text)], "capacities": [made.capacity(how=text)]}
    evil = made.test(text, nodeid=text, app=text, host=text, events=[text], **parts)
    rendered = _markdown(made.data(evil, made.test("flask", host=text)))
    lines = rendered.splitlines()
    for index, line in enumerate(lines):
        if re.fullmatch(r"\|( ---:? \|)+", line):
            width = len(_cells(line))
            assert len(_cells(lines[index - 1])) == width
            assert len(_cells(lines[index + 1])) == width
    assert len([line for line in lines if line.startswith("#")]) == 5


def test_a_log_cannot_end_its_own_fence(make: Make) -> None:
    event = "died\n``````\n# not a heading\n`````"
    lines = _markdown(make.data(make.test(events=[event]))).splitlines()
    start = lines.index("  ```````text")
    assert lines[start + 1 : start + 5] == [
        "  ``````",
        "  # not a heading",
        "  `````",
        "  ```````",
    ]


def test_a_long_log_is_cut_to_its_end(make: Make) -> None:
    event = "died\n" + "\n".join(f"line {i}" for i in range(1000))
    text = _markdown(make.data(make.test(events=[event])))
    assert "- event: died (960 lines left out)" in text
    assert "  line 999" in text
    assert "  line 959\n" not in text
