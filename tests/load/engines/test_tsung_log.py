"""The reader of tsung's log against what tsung's own report says about the same log."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engines.tsung.log import read_log
from pytest_winserve.load.results.tsung_report import format_size, format_time
from tests.kit.components import needs
from tests.kit.tsung import LOGS, Tables, json_as_text, run_report, run_tsung

RECORDED = ("text.log", "json.json", "text-killed.log", "json-killed.json")


def cells(log: Path) -> Tables:
    return {name: row.cells() for name, row in read_log(log).report().rows.items()}


def expected(name: str) -> Tables:
    data = json.loads((LOGS / name).with_suffix(".report").read_text())
    return {key: tuple(value) for key, value in data.items()}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_log_gives_the_cells_of_the_recorded_report(name: str) -> None:
    assert cells(LOGS / name) == expected(name)


def test_the_recorded_logs_have_what_the_tests_are_about() -> None:
    for name in ("text.log", "json.json"):
        tables = expected(name)
        assert {"connect", "page", "request", "session", "tr_bad", "200", "503"} <= set(tables)
        assert tables["error_connect_econnrefused"][1] == "12"
        assert tables["error_abort_max_conn_retries"][1] == "3"
        assert {"size_rcv", "size_sent", "users", "finish_users_count"} <= set(tables)


@needs("tsung")
def test_a_real_run_in_both_formats_gives_what_the_real_report_says(tmp_path: Path) -> None:
    def run(backend: str) -> tuple[Path, Tables]:
        folder = tmp_path / backend
        folder.mkdir()
        log = run_tsung(backend, folder)
        if backend == "text":
            return log, run_report(log, folder)
        as_text = folder / "as_text.log"
        as_text.write_text(json_as_text(log))
        return log, run_report(as_text, folder)

    with ThreadPoolExecutor(2) as pool:
        for log, tables in pool.map(run, ("text", "json")):
            assert cells(log) == tables
            read = read_log(log)
            assert read.ended
            assert not read.cut
            assert len(read.blocks) >= 3
            # 2 x 22 good ones, 9 bad ones, 9 closed without an answer: requests without a code.
            assert (read.total("200"), read.total("503")) == (44, 9)
            assert read.samples("request")[0] == 44 + 9 + 9
            assert (read.total("users_count"), read.total("finish_users_count")) == (6, 6)
            assert read.total("error_connect_econnrefused") == 12


WORKED = """\
# stats: dump at 1000
stats: request 100 900.0 1.5 1000.0 800.0 0 0
stats: 200 100 100
stats: error_connect_econnrefused 7 7
stats: error_seldom 1 1
# stats: dump at 1010
stats: request 200 20 0 1000.0 20 900.0 100
stats: 200 200 300
stats: error_connect_econnrefused 0 7
# stats: dump at 1020
stats: request 0 0 0 1000.0 20 313.3333333333333 300
stats: 200 0 300
stats: error_connect_econnrefused 3 10
# stats: dump at 1025
stats: request 400 10 0 1000.0 10 313.3333333333333 300
stats: 200 400 700
stats: error_connect_econnrefused 0 10
EndMonitor:{0,1025,1}
"""


def written(tmp_path: Path, text: str, name: str = "tsung.log") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_windows_count_as_in_tsungs_report_and_totals_over_all(tmp_path: Path) -> None:
    read = read_log(written(tmp_path, WORKED))
    rows = read.report().rows
    # The first window is in no mean and no rate; the last one neither in "Mean" nor in "Count".
    assert rows["request"].cells() == (
        "20.00 msec", "10.00 msec", "80 / sec", "33.33 / sec", "0.31 sec", "300",
    )  # fmt: skip
    assert rows["200"].cells() == ("80 / sec", "33.33 / sec", "700")
    assert rows["error_connect_econnrefused"].cells() == ("0.3 / sec", "10")
    assert "error_seldom" not in rows
    assert set(read.report().table("error")) == {"error_connect_econnrefused"}
    assert read.samples("request") == (700, 100 * 900.0 + 200 * 20 + 400 * 10)
    assert read.highest("request") == 1000.0
    assert (read.total("200"), read.total("404"), read.highest("connect")) == (700, 0, None)
    assert (read.ended, read.cut, read.began) == (True, "", None)


def test_a_block_in_the_second_of_the_one_before_is_left_out(tmp_path: Path) -> None:
    text = WORKED.replace("at 1025", "at 1020").replace("1025,1", "1020,1")
    assert read_log(written(tmp_path, text)).report().rows["200"].cells()[2] == "300"


def test_monitored_values_are_named_as_in_the_report(tmp_path: Path) -> None:
    text = (
        '# stats: dump at 1\nstats: {cpu,"tsung@a"} 1 5 0 5 5 0 0\n'
        '# stats: dump at 11\nstats: {cpu,"tsung@a"} 1 7.125 0 7 5 5 1\n'
        'stats: {freemem,"os_mon@b"} 0 0 0 7 5 5 1\nstats: {load,"os_mon@b"} 2 1 0 7 5 5 1\n'
    )
    rows = read_log(written(tmp_path, text)).report().rows
    assert {name: row.cells() for name, row in rows.items()} == {
        "cpu:os_mon@tsung@a": ("7.12 %", "7.12 %"),
        "load:os_mon@b": ("1.00", "1.00"),
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("stats: request 1 2 3", "neither 2 nor 7"),
        ("stats: request one two", "not a line"),
        ("stats:request 1 2", "not a line"),
        ("garbage", "not a line"),
        ("stats: 200 1 1\x00", "not a line"),
    ],
)
def test_a_garbled_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    text = f"# stats: dump at 1000\nstats: 200 1 1\n{line}\nstats: 404 1 1\n"
    with pytest.raises(LoadError, match=rf"tsung\.log, line 3: .*{why}"):
        read_log(written(tmp_path, text))


def test_numbers_before_the_first_block_and_a_second_run_are_errors(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"line 1: before the first"):
        read_log(written(tmp_path, "stats: 200 1 1\n"))
    with pytest.raises(LoadError, match=r"line 19: another run after the end of the first"):
        read_log(written(tmp_path, WORKED + WORKED))


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"nowhere\.log"):
        read_log(tmp_path / "nowhere.log")
    path = tmp_path / "tsung.log"
    path.write_bytes(b"\xff\xfe#")
    with pytest.raises(LoadError, match=r"tsung\.log"):
        read_log(path)


def test_a_text_log_cut_anywhere_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    text = (LOGS / "text.log").read_text()
    whole = read_log(LOGS / "text.log")
    for end in range(0, len(text), 7):
        read = read_log(written(tmp_path, text[:end]))
        complete = text[:end].count("\n")
        assert sum(1 + len(block.lines) for block in read.blocks) == complete
        assert [b.at for b in read.blocks] == [b.at for b in whole.blocks][: len(read.blocks)]
        assert bool(read.cut) == (end > 0 and text[end - 1] != "\n")
        if read.cut:
            assert f"tsung.log, line {complete + 1} is cut off" in read.cut
        assert not read.ended


def test_eight_numbers_are_read_as_by_the_report_which_leaves_out_the_last(tmp_path: Path) -> None:
    old = WORKED.replace(" 313.3333333333333 300", " 313.3333333333333 300.5 7")
    assert read_log(written(tmp_path, old)).report().rows["request"].cells() == (
        "20.00 msec", "10.00 msec", "80 / sec", "33.33 / sec", "0.31 sec", "300.5",
    )  # fmt: skip
    with pytest.raises(LoadError, match=r"line 11: neither 2 nor 7 numbers, nor 8"):
        read_log(written(tmp_path, old.replace("300.5 7", "300.5 7 9", 1)))


@needs("tsung")
def test_eight_numbers_give_what_the_real_report_says(tmp_path: Path) -> None:
    old = written(tmp_path, WORKED.replace(" 313.3333333333333 300", " 313.25 88.665254 59"))
    assert cells(old) == run_report(old, tmp_path)


def rewritten(kind: str, data: bytes) -> bytes:
    """A log as other tools write it again."""
    text = data.decode()
    ways = {
        "mark": lambda: b"\xef\xbb\xbf" + data,
        "utf-16": lambda: text.encode("utf-16"),
        "line ends": lambda: data.replace(b"\n", b"\r\n"),
        "blank lines": lambda: b"\n\n" + data.replace(b"\n", b"\n \t\n\n"),
    }
    return ways[kind]()


@pytest.mark.parametrize("kind", ["mark", "utf-16", "line ends", "blank lines"])
@pytest.mark.parametrize("name", RECORDED)
def test_marks_line_ends_and_blank_lines_change_nothing(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / "tsung.log"
    path.write_bytes(rewritten(kind, (LOGS / name).read_bytes()))
    assert cells(path) == expected(name)
    assert read_log(path).ended == read_log(LOGS / name).ended


@pytest.mark.parametrize("indent", [None, 1, 4, "\t"])
def test_json_is_read_however_it_is_laid_out(tmp_path: Path, indent: int | str | None) -> None:
    as_tsung = read_log(LOGS / "json.json")
    elements = json.loads((LOGS / "json.json").read_text())["stats"]
    ordered = {"stats": [dict(sorted(element.items())) for element in elements]}
    for layout in ({"stats": elements}, ordered):
        text = json.dumps(layout, indent=indent)
        read = read_log(written(tmp_path, text))
        assert (read.blocks, read.began, read.ended, read.cut) == (
            as_tsung.blocks, as_tsung.began, True, "",
        )  # fmt: skip
        assert cells(written(tmp_path, text)) == expected("json.json")


def test_indented_json_cut_anywhere_is_read_up_to_its_last_whole_sample(tmp_path: Path) -> None:
    elements = json.loads((LOGS / "json.json").read_text())["stats"]
    text = json.dumps({"stats": elements}, indent=2)
    whole = [line for block in read_log(LOGS / "json.json").blocks for line in block.lines]
    for end in range(0, len(text), 29):
        read = read_log(written(tmp_path, text[:end]))
        lines = [line for block in read.blocks for line in block.lines]
        assert lines == whole[: len(lines)]
        assert len(lines) >= text[:end].count('"name"') - 1
        assert not read.ended
    begin = text.rindex("{")
    read = read_log(written(tmp_path, text[: text.rindex('"total"')]))
    assert f"line {text.count(chr(10), 0, begin) + 1} is cut off" in read.cut


def test_an_error_in_indented_json_names_its_own_line(tmp_path: Path) -> None:
    text = json.dumps(json.loads((LOGS / "json.json").read_text()), indent=1)
    place = text.rindex('"name"')
    line = text.count("\n", 0, place)  # where its sample begins
    garbled = text[:place] + text[place:].replace('"name"', '"nam"', 1)
    with pytest.raises(LoadError, match=rf"tsung\.log, line {line}: .*KeyError: 'name'"):
        read_log(written(tmp_path, garbled))
    deep = '{"stats": [{"timestamp": ' + "[" * 100_000
    with pytest.raises(LoadError, match=r"tsung\.log, line 1: not a block"):
        read_log(written(tmp_path, deep))


def test_a_json_log_cut_anywhere_is_read_up_to_its_last_whole_sample(tmp_path: Path) -> None:
    text = (LOGS / "json.json").read_text()
    whole = [line for block in read_log(LOGS / "json.json").blocks for line in block.lines]
    end_of_last = text.rindex("}]}]}")
    for end in range(0, end_of_last, 7):
        read = read_log(written(tmp_path, text[:end]))
        lines = [line for block in read.blocks for line in block.lines]
        assert lines == whole[: len(lines)]
        assert len(lines) >= text[:end].count('"name"') - 1
        assert not read.ended
    read = read_log(written(tmp_path, text[: text.rindex('"total"')]))
    assert f"line {text.count(chr(10), 0, -1) + 1} is cut off" in read.cut


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('{"name": "users",', '{"nam": "users",', "KeyError: 'name'"),
        ('"value": ', '"value": "x', "JSONDecodeError"),
        ('"timestamp": ', '"timestamp": null, "t": ', "whole number"),
        ('"stats": [', '"stat": [', "not a line"),
        ('"value": 2,', '"value": [2],', "number is needed"),
        ("]},", "]}", "not a line"),
    ],
)
def test_a_garbled_json_log_is_named(tmp_path: Path, old: str, new: str, why: str) -> None:
    text = (LOGS / "json.json").read_text()
    assert old in text
    with pytest.raises(LoadError, match=rf"tsung\.log, line [2345]: .*{why}"):
        read_log(written(tmp_path, text.replace(old, new)))


def test_a_second_json_run_is_an_error(tmp_path: Path) -> None:
    text = (LOGS / "json.json").read_text()
    with pytest.raises(LoadError, match="another run after the end"):
        read_log(written(tmp_path, text + text))


def test_json_has_the_start_of_the_run() -> None:
    read = read_log(LOGS / "json.json")
    assert read.began is not None
    assert 9 <= read.blocks[0].at - read.began <= 11


def test_killed_runs_are_read_and_known_not_to_have_ended() -> None:
    for name in ("text-killed.log", "json-killed.json"):
        read = read_log(LOGS / name)
        assert not read.ended
        assert read.total("users_count") == 6
        assert read.total("200") > 0


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, ""), (0, ""), (0.385, "0.385 msec"), (34.3, "34.30 msec"), (390, "0.39 sec"),
        (84_500, "1mn  24sec"), (3_723_000, "1 h 2mn  3sec"), (3_600_000, "3600.0 sec"),
    ],
)  # fmt: skip
def test_times_are_printed_as_tsung_does(ms: float | None, text: str) -> None:
    assert format_time(ms) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (0, ""), (1023.9, "1023 B"), (1536, "1.50 KB"), (3 * 2**19, "1.50 MB"),
     (3 * 2**29, "1.50 GB"), (2**41, "2048.00 GB")],
)  # fmt: skip
def test_sizes_are_printed_as_tsung_does(size: float | None, text: str) -> None:
    assert format_size(size, "B") == text
