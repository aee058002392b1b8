"""The fixture `winserve` wherever pytest lets a test have a fixture."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.kit.components import needs

pytestmark = needs("minutes")

pytest_plugins = ["pytester"]

ONE = ("-v", "--winserve-topology=tornado")
TWO = ("-v", "--winserve-topology=tornado,flask")
ONE_SITE_ONLY = "*2 sites are to be tried (tornado, flask), but a unittest.TestCase, *"


def tells_a_sentence(done: pytest.RunResult, said: str) -> None:
    """It says so in one line, and no error of Python's or of pytest's own stands beside it."""
    done.stdout.fnmatch_lines([said])
    for strange in ("*AttributeError*", "*INTERNALERROR*", "*duplicate parametrization*"):
        done.stdout.no_fnmatch_line(strange)


# -- tests that pytest does not run once for each site ------------------------------------------

UNITTEST = """
import unittest, psutil, pytest
pids = set()
class TestShop(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _site(self, winserve): self.site = winserve
    def test_one(self):
        assert self.site.get("/test").ok
        pids.add(self.site.backends[0].pid)
    def test_two(self):
        assert self.site.get("/test").ok
        pids.add(self.site.backends[0].pid)
def test_one_site_which_is_closed():
    (pid,) = pids
    assert not psutil.pid_exists(pid)
"""
DYNAMIC = """
def test_one(request):
    site = request.getfixturevalue("winserve")
    assert site.load(users=1, count=5).outcomes == {"200": 5}
    assert request.getfixturevalue("winserve") is site
"""
FEATURE = """
Feature: the shop
    Scenario: a page
        When the page is asked for
        Then it is there
"""
STEPS = """
from pytest_bdd import scenarios, then, when
scenarios("shop.feature")
@when("the page is asked for", target_fixture="answer")
def _ask(winserve): return winserve.get("/test")
@then("it is there")
def _there(answer): assert answer.ok
"""


def test_a_unittest_test_case(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(UNITTEST)
    pytester.runpytest_subprocess(*ONE).assert_outcomes(passed=3)
    tells_a_sentence(pytester.runpytest_subprocess(*TWO, "-k", "test_two"), ONE_SITE_ONLY)


def test_getfixturevalue(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(DYNAMIC)
    done = pytester.runpytest_subprocess(*ONE)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["tornado on local: *", "*sent 5, answered 5*"])
    tells_a_sentence(pytester.runpytest_subprocess(*TWO), ONE_SITE_ONLY)


def test_getfixturevalue_of_a_run_without_any_setting_is_in_the_summary(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(f"import pytest\npytestmark = pytest.mark.winserve(topology='tornado')\n"
                        f"{DYNAMIC}")  # fmt: skip
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["tornado on local: *", "*sent 5, answered 5*"])


def test_getfixturevalue_of_a_site_that_does_not_start_is_in_the_summary(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_one(request): request.getfixturevalue('winserve')")
    done = pytester.runpytest_subprocess(*ONE, "--winserve-app=no_such:app")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["tornado on local: no_such:app", "*did not start: *no_such*"])


def test_steps_of_pytest_bdd(pytester: pytest.Pytester) -> None:
    (pytester.path / "shop.feature").write_text(FEATURE)
    pytester.makepyfile(STEPS)
    bdd = ("-p", "pytest-bdd")
    pytester.runpytest_subprocess(*ONE, *bdd).assert_outcomes(passed=1)
    tells_a_sentence(pytester.runpytest_subprocess(*TWO, *bdd), ONE_SITE_ONLY)


# -- parameters of the suite's own ---------------------------------------------------------------


def test_parameters_for_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        served = []
        @pytest.mark.parametrize("winserve, n", [
            ("tornado", 1),
            ({"topology": "waitress", "fast": "/own"}, 2),
            pytest.param("waitress", 3, marks=pytest.mark.winserve(topology="nginx1")),
        ], indirect=["winserve"])
        @pytest.mark.winserve(fast="/marker")
        def test_it(winserve, n):
            served.append((str(winserve.topology), winserve.fast, n))
        def test_zz():
            assert sorted(served) == [
                ("tornado", "/marker", 1), ("waitress", "/marker", 3), ("waitress", "/own", 2)]
        """
    )
    pytester.runpytest_subprocess(*TWO).assert_outcomes(passed=4)


def test_parameters_of_a_hook(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_generate_tests(metafunc):
            metafunc.parametrize("winserve", ["waitress"], indirect=True)
        """
    )
    pytester.makepyfile("def test_it(winserve): assert str(winserve.topology) == 'waitress'")
    pytester.runpytest_subprocess(*TWO).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ('["tornado"]', "*parametrize('winserve', ...) gives *: write indirect=True*"),
        ('["servers"], indirect=True', "* sites for one parameter (*): name each of them*"),
        ("[7], indirect=True", "*takes topologies, or dictionaries *, not 7*"),
        ('["tornadoo"], indirect=True', "*unknown server 'tornadoo'*nearest: tornado*"),
        ('[{"users": 7}], indirect=True', "*unexpected keyword argument 'users'; it takes top*"),
    ],
)
def test_parameters_that_cannot_be(pytester: pytest.Pytester, parameters: str, said: str) -> None:
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.parametrize('winserve', {parameters})\n"
        "def test_it(winserve): pass\n"
    )
    done = pytester.runpytest_subprocess(*ONE)
    assert done.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)
    lines = pytest.LineMatcher([*done.outlines, *done.errlines])
    lines.fnmatch_lines([said])
    lines.no_fnmatch_line("*INTERNALERROR*")


# -- markers, wherever they come from ------------------------------------------------------------


def test_markers_in_pytest_param(pytester: pytest.Pytester) -> None:
    """They belong to one parameter; the others have what the run says."""
    pytester.makepyfile(
        """
        import pytest
        served = []
        marked = pytest.mark.winserve
        @pytest.mark.parametrize("n", [
            pytest.param(1, marks=marked(topology=["waitress", "nginx1"])),
            2,
            pytest.param(3, marks=[marked(fast="/three"), pytest.mark.filterwarnings("error")]),
        ])
        def test_it(winserve, n): served.append((n, str(winserve.topology), winserve.fast))
        def test_zz():
            assert sorted(served) == [
                (1, "nginx1", "/test"), (1, "waitress", "/test"),
                (2, "flask", "/test"), (2, "tornado", "/test"),
                (3, "flask", "/three"), (3, "tornado", "/three"),
            ]
        """
    )
    done = pytester.runpytest_subprocess(*TWO)
    done.assert_outcomes(passed=7)
    # Each can be asked for by the name that it has.
    one = pytester.runpytest_subprocess(
        *TWO, "test_markers_in_pytest_param.py::test_it[waitress-1]"
    )
    one.assert_outcomes(passed=1)


def test_markers_on_classes_and_modules(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        pytestmark = [pytest.mark.winserve(topology="tornado", fast="/module")]
        @pytest.mark.winserve(fast="/class")
        class TestShop:
            def test_in_the_class(self, winserve):
                assert (str(winserve.topology), winserve.fast) == ("tornado", "/class")
        def test_in_the_module(winserve):
            assert (str(winserve.topology), winserve.fast) == ("tornado", "/module")
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize("hook", ["pytest_itemcollected(item)", "pytest_collection_modifyitems"])
@pytest.mark.parametrize("run", [ONE, TWO], ids=["one", "two"])
def test_markers_that_are_added_to_what_was_collected(
    pytester: pytest.Pytester, hook: str, run: Sequence[str]
) -> None:
    mark = """
        if item.originalname == "test_elsewhere":
            item.add_marker(pytest.mark.winserve(topology="waitress"))
        elif item.originalname == "test_path":
            item.add_marker(pytest.mark.winserve(fast="/added"))
"""
    one = "def pytest_itemcollected(item):" + mark
    every = "def pytest_collection_modifyitems(items):\n    for item in items:" + mark
    pytester.makeconftest("import pytest\n" + (one if "itemcollected" in hook else every))
    pytester.makepyfile(
        """
        def test_elsewhere(winserve): assert str(winserve.topology) == "waitress"
        def test_path(winserve):
            assert winserve.fast == "/added"
            assert str(winserve.topology) in ("tornado", "flask")
        """
    )
    done = pytester.runpytest_subprocess(*run)
    # What asks for one topology runs once, whatever the run says.
    done.assert_outcomes(passed=3 if run is TWO else 2)
    done.stdout.fnmatch_lines(["*event: the test is named after tornado: its marker winserve*"])


def test_an_added_marker_with_more_topologies_than_there_are_tests(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        import pytest
        def pytest_collection_modifyitems(items):
            items[0].add_marker(pytest.mark.winserve(topology=["tornado", "waitress"]))
        """
    )
    pytester.makepyfile("def test_it(winserve): pass")
    done = pytester.runpytest_subprocess(*ONE)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*test_it?tornado?: the marker winserve with 2 topologies came *"])


def test_strict_markers_without_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(winserve): assert winserve.get('/test').ok")
    done = pytester.runpytest_subprocess(*ONE, "-p", "no:xdist", "--strict-markers", "-W", "error")
    done.assert_outcomes(passed=1)
