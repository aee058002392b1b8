"""The plugin, as a test suite that uses it meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pytest_winserve.report.store import read_json
from pytest_winserve.settings import SETTINGS
from tests.kit.commands import FLASK_COMMAND, clean_environment
from tests.kit.components import needs

pytest_plugins = ["pytester"]

PIDS = """
def test_one(winserve, record):
    record(str(winserve.topology), winserve.backends[0].pid)
def test_two(winserve, record):
    record(str(winserve.topology), winserve.backends[0].pid)
"""
RECORD = """
import json, os, pytest
@pytest.fixture
def record(request):
    def write(*what):
        line = json.dumps([os.environ.get("PYTEST_XDIST_WORKER"), request.node.name, *what])
        with open("recorded", "a") as file:
            file.write(line + "\\n")
    return write
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RECORD)


def recorded(pytester: pytest.Pytester) -> list[list[object]]:
    lines = (pytester.path / "recorded").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_tests_run_once_per_topology_in_its_order_and_share_its_site(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(PIDS + "def test_plain(): pass\n")
    done = pytester.runpytest_subprocess("-v", "--winserve-topology=tornado,flask")
    done.assert_outcomes(passed=5)
    rows = recorded(pytester)
    assert [row[1] for row in rows] == [
        "test_one[tornado]", "test_two[tornado]", "test_one[flask]", "test_two[flask]",
    ]  # fmt: skip
    pids = [row[3] for row in rows]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_site_is_closed_when_its_last_test_is_over(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import psutil
        pids = {}
        def test_one(winserve):
            pids.setdefault(str(winserve.topology), winserve.backends[0].pid)
            assert [t for t, pid in pids.items() if psutil.pid_exists(pid)] == [
                str(winserve.topology)]
        def test_two(winserve):
            assert psutil.pid_exists(pids[str(winserve.topology)])
        def test_zz():
            assert not any(map(psutil.pid_exists, pids.values()))
        """
    )
    done = pytester.runpytest_subprocess("--winserve-topology=flask,tornado")
    done.assert_outcomes(passed=5)


def test_the_marker_chooses_what_is_served(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        shop="""
        def create_app():
            def app(environ, start_response):
                start_response("200 OK", [])
                return [b"the shop"]
            return app
        """,
        test_shop="""
        import pytest
        pytestmark = pytest.mark.winserve(topology="tornado", fast="/module")
        @pytest.mark.winserve(app="shop:create_app()", slow="/s")
        def test_closest_wins_and_the_rest_is_kept(winserve):
            assert winserve.get("/").text == "the shop"
            assert (str(winserve.topology), winserve.slow, winserve.fast) == (
                "tornado", "/s", "/module")
        @pytest.mark.winserve(topology=["flask", "waitress"], fast="/test")
        def test_several(winserve):
            pass
        """,
    )
    done = pytester.runpytest_subprocess("-v", "--winserve-topology=flask")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines_random(
        ["*test_several?flask? PASSED*", "*test_several?waitress? PASSED*"]
    )


def test_the_marker_has_a_command_served(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest
        COMMAND = {FLASK_COMMAND!r}
        @pytest.mark.winserve(topology="command", command=COMMAND, fast="/test", host="local")
        def test_command(winserve):
            assert winserve.app == COMMAND
        """
    )
    pytester.runpytest_subprocess("--winserve-topology=flask").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("topolgy='flask'", "*unexpected keyword argument 'topolgy'*"),
        ("'flask'", "*takes 0 positional arguments*it takes topology=, host=, app=, command=*"),
        ("topology='flsk'", "*unknown server 'flsk'*nearest: flask*"),
        ("host='nowhere'", "*unknown host 'nowhere'*"),
        ("start_timeout=0", "*start_timeout=0: a number of seconds greater than 0 is needed*"),
    ],
)
def test_a_wrong_marker(pytester: pytest.Pytester, arguments: str, said: str) -> None:
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.winserve({arguments})\ndef test_it(winserve): pass\n"
    )
    done = pytester.runpytest_subprocess()
    assert done.ret != 0
    output = [*done.outlines, *done.errlines]
    assert any(fnmatch(line, said) for line in output), "\n".join(output)


def test_the_factory_serves_two_at_once_and_closes_what_is_left(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import psutil, pytest
        pids = []
        def test_two(winserve_factory):
            with winserve_factory("flask") as a, winserve_factory("nginx1-tornado") as b:
                assert a.get("/test").ok and b.get("/test").ok
                assert a.url != b.url
            assert not psutil.pid_exists(a.deployment.backends[0].pid)
        def test_left_open(winserve_factory):
            pids.append(winserve_factory("flask").deployment.backends[0].pid)
            assert psutil.pid_exists(pids[0])
        def test_was_closed():
            assert not psutil.pid_exists(pids[0])
        def test_one_at_a_time(winserve_factory):
            with pytest.raises(pytest.UsageError, match="one topology, not 2"):
                winserve_factory("flask,tornado")
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=4)


@needs("minutes")
def test_marker_line_environment_ini_default(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("def test_it(winserve): pass")

    def served(*arguments: str) -> str:
        done = pytester.runpytest_subprocess("--co", "-q", *arguments)
        return done.outlines[0].partition("[")[2].rstrip("]")

    assert served() == "nginx4"
    pytester.makeini("[pytest]\nwinserve_topology = tornado\n")
    assert served() == "tornado"
    monkeypatch.setenv("WINSERVE_TOPOLOGY", "waitress")
    assert served() == "waitress"
    assert served("--winserve-topology=flask") == "flask"
    pytester.makepyfile(
        "import pytest\n@pytest.mark.winserve(topology='nginx2')\ndef test_it(winserve): pass"
    )
    assert served("--winserve-topology=flask") == "nginx2"


def test_collecting_prints_names_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(winserve): pass\ndef test_plain(): pass")
    for arguments in ((), ("--winserve-topology=nginx4", "--winserve-require=p50 < 1s")):
        done = pytester.runpytest_subprocess("--co", "-q", *arguments)
        assert done.ret == 0
        assert done.outlines[:3] == [
            f"{_module(done)}::test_it[nginx4]", f"{_module(done)}::test_plain", "",
        ]  # fmt: skip
        assert len(done.outlines) == 4


def _module(done: pytest.RunResult) -> str:
    return done.outlines[0].partition("::")[0]


@needs("minutes")
def test_requirements_decide_the_exit_status(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(winserve): winserve.load(users=2, count=20)")
    arguments = ("--winserve-topology=flask", "-v")
    good = pytester.runpytest_subprocess(*arguments, "--winserve-require=status(200) == 100%")
    assert good.ret == 0
    bad = pytester.runpytest_subprocess(*arguments, "--winserve-require=status(200) < 1%")
    assert bad.ret == 1
    bad.assert_outcomes(failed=1)
    bad.stdout.fnmatch_lines(["*status(200) < 1%: measured 100%*"])
    never = pytester.runpytest_subprocess(*arguments, "--winserve-require=capacity > 1")
    assert never.ret == 1
    never.assert_outcomes(passed=1)
    never.stdout.fnmatch_lines(["*capacity > 1*"])


def test_criteria_of_the_run_on_a_limited_load_as_the_setting_says(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_winserve.load import Result

        @pytest.fixture(autouse=True)
        def busy(monkeypatch):
            why = "the load generator was the limit (generator-cpu)"
            monkeypatch.setattr(Result, "limited", why)
        """
    )
    pytester.makepyfile("def test_it(winserve): winserve.load(users=2, count=20)")
    arguments = ("--winserve-topology=flask", "--winserve-require=rate > 0")
    refused = pytester.runpytest_subprocess(*arguments)
    refused.assert_outcomes(failed=1)
    refused.stdout.fnmatch_lines(["*rate > 0/s: measured *, the load generator was the limit*"])
    allowed = pytester.runpytest_subprocess(*arguments, "--winserve-limited=allow")
    allowed.assert_outcomes(passed=1)
    wrong = pytester.runpytest_subprocess(*arguments, "--winserve-limited=yes")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*limited=yes: fail or allow is needed*"])


def test_what_a_test_has_judged_itself_is_not_told_to_be_unjudged(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        def test_judged(winserve):
            winserve.load(users=1, count=3, path="/nowhere").require("status(404) == 3")
        def test_unjudged(winserve):
            winserve.load(users=1, count=3, path="/nowhere")
        """
    )
    done = pytester.runpytest_subprocess("--winserve-topology=tornado", "-n", "1")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["winserve: 1 load had failed requests that no criterion judged;"])
    done = pytester.runpytest_subprocess("--winserve-topology=tornado", "-k", "test_judged")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*no criterion judged*")


def test_the_report_is_written_and_the_summary_fits(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(winserve):
            winserve.load(users=2, count=20)
            winserve.probe(slow="/sleep?seconds=0.4")
        def test_fails(winserve):
            assert not winserve.load(users=2, count=4, path="/misbehave?status=503").errors
        """
    )
    done = pytester.runpytest_subprocess(
        "--winserve-topology=flask,nginx2", "--winserve-report=out/report"
    )
    done.assert_outcomes(passed=2, failed=2)
    folder = pytester.path / "out" / "report"
    names = {path.name for path in folder.iterdir()}
    assert names == {"results.json", "report.html", "summary.md"}
    data = read_json(folder / "results.json")
    found = [(test["topology"], test["outcome"], len(test["results"])) for test in data["tests"]]
    assert found == [
        ("flask", "passed", 1), ("flask", "failed", 1),
        ("nginx2", "passed", 1), ("nginx2", "failed", 1),
    ]  # fmt: skip
    assert [result["ledger"]["unaccounted"] for t in data["tests"] for result in t["results"]] == (
        [0] * 4
    )
    start = next(n for n, line in enumerate(done.outlines) if line.strip("= ") == "winserve")
    summary = done.outlines[start : done.outlines.index("winserve: report in out/report")]
    assert max(map(len, summary)) <= 80
    assert all(line.isascii() for line in summary)
    for text in ("flask on local: ", "nginx2 on local: ", "Comparison", "unaccounted: 0"):
        assert any(text in line for line in summary), text


def test_logs_are_shown_for_a_failure_and_only_what_it_caused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_before(winserve):
            winserve.get("/test?before")
        def test_fails(winserve):
            winserve.get("/test?during")
            assert False
        """
    )
    done = pytester.runpytest_subprocess("--winserve-topology=flask")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*winserve flask: backend-0*", "*GET /test?during*"])
    done.stdout.no_fnmatch_line("*GET /test?before*")


def test_without_the_plugin_there_is_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(winserve): pass")
    done = pytester.runpytest_subprocess("-p", "no:winserve")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*fixture 'winserve' not found*"])
    assert pytester.runpytest_subprocess("-p", "no:winserve", "--winserve-users=1").ret == 4


def test_a_suite_that_does_not_use_it_imports_no_lab(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys
        def pytest_unconfigure():
            lab = "lab deployment probe hosts remote report session.site_pool session.results"
            lab += " session.gathering"
            names = [f"pytest_winserve.{name}" for name in lab.split()]
            names += ["requests", "psutil", "jinja2", "filelock", "flask", "tornado"]
            print("IMPORTED", [name for name in names if name in sys.modules])
        """
    )
    pytester.makepyfile("def test_plain(): pass")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:hypothesispytest"],
        cwd=pytester.path, env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "IMPORTED []" in done.stdout
    assert "winserve" not in done.stdout.replace("pytest_winserve", "")


def test_the_help_and_the_header_derive_from_the_table(pytester: pytest.Pytester) -> None:
    text = " ".join(pytester.runpytest_subprocess("--help").stdout.str().split())
    for setting in SETTINGS:
        assert setting.usage in text
        assert setting.key in text
    pytester.makepyfile("def test_it(winserve): pass")
    done = pytester.runpytest_subprocess(
        "--winserve-topology=flask", "--winserve-require=p50 < 9s; rate > 0", "--co"
    )
    done.stdout.fnmatch_lines(
        [
            "winserve: topology flask; host local; app pytest_winserve.sample_app:app",
            "winserve: nginx *",
            "winserve: require p50 < 9s; rate > 0",
        ]
    )


# -- with xdist -------------------------------------------------------------------------------

WORKERS = """
def test_one(winserve, record): record(str(winserve.topology), winserve.backends[0].pid)
def test_two(winserve, record): record(str(winserve.topology), winserve.backends[0].pid)
def test_three(winserve, record):
    assert winserve.load(users=2, count=20).outcomes == {"200": 20}
    record(str(winserve.topology), winserve.backends[0].pid)
def test_plain(): pass
"""


def _results(folder: Path) -> list[tuple[object, ...]]:
    tests = read_json(folder / "results.json")["tests"]
    return sorted(
        (t["nodeid"], t["outcome"], t["topology"], [r["outcomes"] for r in t["results"]])
        for t in tests
    )


@needs("minutes")
def test_workers_give_the_same_results_and_share_no_topology(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WORKERS)
    arguments = ("--winserve-topology=flask,tornado,nginx2-waitress",)
    alone = pytester.runpytest_subprocess(*arguments, "--winserve-report=alone")
    (pytester.path / "recorded").unlink()
    both = pytester.runpytest_subprocess(*arguments, "--winserve-report=both", "-n", "2")
    for done in (alone, both):
        done.assert_outcomes(passed=10)
    assert _results(pytester.path / "both") == _results(pytester.path / "alone")
    rows = recorded(pytester)
    assert len(rows) == 9
    for topology in ("flask", "tornado", "nginx2-waitress"):
        places = {(row[0], row[3]) for row in rows if row[2] == topology}
        assert len(places) == 1, places
    assert {row[0] for row in rows} == {"gw0", "gw1"}


@pytest.mark.parametrize(
    ("chosen", "scheduler"),
    [
        ((), "TopologyScheduling"),
        (("--dist=load",), "LoadScheduling"),
        (("-d",), "LoadScheduling"),
        (("--dist=loadfile",), "LoadFileScheduling"),
    ],
)
def test_the_users_choice_of_distribution_is_kept(
    pytester: pytest.Pytester, chosen: tuple[str, ...], scheduler: str
) -> None:
    pytester.makepyfile("def test_plain(): pass")
    done = pytester.runpytest_subprocess("-v", "-n", "1", *chosen, "--winserve-topology=flask")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines([f"scheduling tests via {scheduler}"])


def test_without_a_setting_xdist_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    done = pytester.runpytest_subprocess("-v", "-n", "1")
    done.stdout.fnmatch_lines(["scheduling tests via LoadScheduling"])


@needs("minutes")
@pytest.mark.usefixtures("own_locks")
def test_two_loads_are_never_sent_at_the_same_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        hits="""
        import os, time
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/hit":
                with open(f"hits-{os.getpid()}", "a") as file:
                    file.write(f"{time.perf_counter()}\\n")
            start_response("200 OK", [("Content-Length", "0")])
            return []
        """,
        test_hits="""
        import pathlib, time
        def test_it(winserve):
            # Both workers are here before either of them loads.
            pathlib.Path(f"here-{winserve.topology}").touch()
            while len(list(pathlib.Path().glob("here-*"))) < 2:
                time.sleep(0.01)
            winserve.load(users=1, duration=2.5, path="/hit", think_time=0.02)
        """,
    )
    done = pytester.runpytest_subprocess(
        "-n", "2", "--winserve-topology=flask,waitress", "--winserve-app=hits:app",
        "--winserve-fast=/", "--winserve-report=out",
    )  # fmt: skip
    done.assert_outcomes(passed=2)
    spans = []
    for path in pytester.path.glob("hits-*"):
        times = [float(line) for line in path.read_text(encoding="utf-8").split()]
        spans.append((min(times), max(times)))
    first, second = sorted(spans)
    assert first[1] < second[0]
    tests = read_json(pytester.path / "out" / "results.json")["tests"]
    events = [event for test in tests for event in test["events"]]
    assert len(events) == 1
    assert events[0].startswith("load waited ")


def test_a_group_of_xdist_that_the_suite_has_chosen_stays(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_collection_finish(session):
            groups = [item.get_closest_marker("xdist_group").args for item in session.items]
            print("GROUPS", groups)
        """
    )
    pytester.makepyfile(
        test_one="import pytest\npytestmark = pytest.mark.xdist_group('mine')\n"
        "def test_it(winserve): pass",
        test_two="def test_it(winserve): pass",
    )
    done = pytester.runpytest_subprocess("--co", "-q", "-s", "--winserve-topology=tornado")
    done.stdout.fnmatch_lines(
        ["GROUPS [[]('mine',), ('local:tornado:pytest_winserve.sample_app:app',)[]]"]
    )
