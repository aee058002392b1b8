"""results.json and the directory of a report."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.report import write_report
from pytest_winserve.report.blocks import Report
from pytest_winserve.report.store import read_json, read_run, write_json, write_text
from tests.kit.platforms import not_on_windows
from tests.kit.results import Make, report_on


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read_back(make: Make, tmp_path: Path) -> None:
    data = make.data(
        make.full(events=['\u8fd9\u662f \'a "test"\n\u2028\x00']),
        make.test(outcome="skipped"),
        requirements=[{"criterion": "error_rate < 1%", "evaluated": 1, "failed": 0}],
    )
    path = tmp_path / "results.json"
    write_json(path, data)
    assert read_json(path) == data
    assert _names(tmp_path) == ["results.json"]


def test_text_that_has_no_utf8_is_read_back_too(make: Make, tmp_path: Path) -> None:
    data = make.data(make.test(events=["a file named \udcff"]))
    write_json(tmp_path / "results.json", data)
    assert read_json(tmp_path / "results.json") == data


def test_an_old_file_is_replaced_as_a_whole(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, make.data(make.full()))
    write_json(path, make.data())
    assert read_json(path)["tests"] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), object(), b"bytes"])
def test_what_is_not_json_is_refused_and_leaves_the_old_file(
    make: Make, tmp_path: Path, value: object
) -> None:
    path = tmp_path / "results.json"
    write_json(path, make.data())
    with pytest.raises(UsageError, match=r"results\.json: the results are not JSON"):
        write_json(path, make.data(environment={"cores": value}))
    assert read_json(path) == make.data()
    assert _names(tmp_path) == ["results.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON, or is cut off"),
        ("{", "is not JSON, or is cut off"),
        ("[" * 100_000, "is not JSON, or is cut off"),
        ('{"schema": "winserve.results/1", "cores": NaN}', "NaN is not a JSON number"),
        ("[]", "has no schema"),
        ("null", "has no schema"),
        ("{}", "has no schema"),
        ('{"schema": "winserve.results/2"}', r"'winserve\.results/2'; this version reads"),
        ('{"schema": ["winserve.results/1"]}', "this version reads"),
        ('{"schema": "winserve.results/1"}', "'environment' is missing"),
    ],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_every_truncation_is_refused(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, make.data(make.test()))
    whole = path.read_text(encoding="utf-8").rstrip()
    for length in range(len(whole)):
        path.write_text(whole[:length], encoding="utf-8")
        with pytest.raises(UsageError):
            read_json(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tests": {}}, "'tests' is missing or is not a list"),
        ({"tests": [3]}, r"tests\[0\]: is not an object"),
        ({"tests": [{"nodeid": "x"}]}, r"tests\[0\]: 'outcome' is missing"),
        ({"requirements": [{"criterion": 1}]}, r"requirements\[0\]: 'criterion' is missing"),
        ({"environment": None}, "'environment' is missing or is not a object"),
    ],
)
def test_missing_parts_are_named(
    make: Make, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "results.json"
    write_json(path, make.data(**change))
    with pytest.raises(UsageError, match=message):
        read_json(path)


def test_an_unknown_outcome_is_named(make: Make, tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", make.data(make.test(outcome="green")))
    with pytest.raises(UsageError, match="outcome is 'green'; it is one of passed"):
        read_json(tmp_path / "r.json")


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json: cannot be read"):
        read_json(tmp_path / "nowhere.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.json: is not UTF-8"):
        read_json(tmp_path / "binary.json")


def test_writing_into_no_folder_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write") as caught:
        write_text(tmp_path / "gone" / "summary.md", "text")
    assert caught.value.filename == str(tmp_path / "gone" / "summary.md")


def test_a_target_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "results.json").mkdir()
    with pytest.raises(OSError, match=r"results\.json"):
        write_text(tmp_path / "results.json", "text")
    assert _names(tmp_path) == ["results.json"]


@not_on_windows("Windows has no umask")
def test_a_report_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "text")
    (tmp_path / "plain").write_text("text", encoding="utf-8")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")]
    assert modes[0] == modes[1]


def test_a_report_has_three_files(make: Make, tmp_path: Path) -> None:
    data = make.data(make.full())
    folder = tmp_path / "new" / "folder"
    write_report(folder, report_on(data))
    write_report(folder, report_on(data))
    assert _names(folder) == ["report.html", "results.json", "summary.md"]
    assert read_json(folder / "results.json") == data
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (folder / "summary.md").read_text(encoding="utf-8").startswith("# pytest-winserve")


def test_a_report_can_be_drawn_again_from_its_file(make: Make, tmp_path: Path) -> None:
    write_report(tmp_path / "a", report_on(make.data(make.full())))
    write_report(tmp_path / "b", Report.of(read_run(tmp_path / "a" / "results.json")))
    for name in ("results.json", "report.html", "summary.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_report_with_undecodable_text_can_be_written(make: Make, tmp_path: Path) -> None:
    write_report(tmp_path, report_on(make.data(make.full("\udcff", events=["\udcff\n\udcff"]))))
    assert len(_names(tmp_path)) == 3


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_report_directory_that_is_a_file_is_refused(
    make: Make, tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="report directory"):
        write_report(tmp_path / "file" / below, report_on(make.data()))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="platform: has no folder that nobody can write to"
)
def test_a_report_directory_that_is_not_writable_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="is not writable"):
        write_report("/proc/self", report_on(make.data()))


def test_a_damaged_result_is_named(make: Make, tmp_path: Path) -> None:
    result = make.result()
    del result["timeline"]
    write_json(tmp_path / "results.json", make.data(make.full(results=[result])))
    with pytest.raises(UsageError, match=r"a result of .*test_load\[nginx4\] cannot be read"):
        read_run(tmp_path / "results.json")


def test_the_data_is_there_when_a_page_cannot_be_written(make: Make, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    # Windows refuses to put a file in the place of a folder as it refuses what is not writable.
    refused = UsageError if sys.platform == "win32" else OSError
    with pytest.raises(refused, match="report"):
        write_report(tmp_path, report_on(make.data(make.full())))
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tests"]
