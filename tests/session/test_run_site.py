"""The site of a whole run: `winserve_session`, and `base_url` and `live_server` on it."""

from __future__ import annotations

import textwrap

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.components import needs

SHOP = """
from flask import Flask, jsonify

def create_app(config=None):
    app = Flask(__name__)
    app.config.update(config or {})

    @app.get("/")
    def index():
        return "the shop"

    @app.get("/end")
    def end():
        import os
        os._exit(3)

    return app

app = create_app()
"""
OF_MODULE = """
import pytest, shop
@pytest.fixture(scope="session")
def app():
    return shop.app
"""


@pytest.fixture(autouse=True)
def _a_suite_with_a_shop(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=SHOP)
    pytester.makeini("[pytest]\nwinserve_live_server = true\nwinserve_topology = tornado\n")


def said(done: pytest.RunResult) -> str:
    return "\n".join([*done.outlines, *done.errlines])


def test_session_fixtures_and_tests_have_one_site_and_each_test_its_record(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(OF_MODULE)
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def known(winserve_session):
            return winserve_session.backends[0].pid

        def test_idle(known, base_url):
            pass

        def test_loads(known, live_server):
            assert live_server.site.backends[0].pid == known
            live_server.site.load(users=1, count=3)

        def test_by_name(request, known):
            request.getfixturevalue("winserve_session").load(users=1, count=2)

        @pytest.mark.winserve(app="shop:create_app()")
        def test_of_its_own(winserve, winserve_session, known):
            assert winserve.backends[0].pid != known
            winserve.load(users=1, count=1)
        """
    )
    done = pytester.runpytest_subprocess("-v", "--winserve-report=report")
    done.assert_outcomes(passed=4)
    tests = read_json(pytester.path / "report" / "results.json")["tests"]
    names = [(each["nodeid"].partition("::")[2], each["app"]) for each in tests]
    assert names == [
        ("test_loads", "shop:app"),
        ("test_by_name", "shop:app"),
        ("test_of_its_own[tornado]", "shop:create_app()"),
    ]
    assert [each["results"][0]["sent"] for each in tests] == [3, 2, 1]


@needs("minutes")
def test_a_live_server_has_what_users_of_other_plugins_call(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(OF_MODULE)
    pytester.makepyfile(
        """
        import pytest, requests
        from flask import url_for
        from pytest_winserve.errors import UsageError

        def test_it(live_server, base_url, app):
            for url in (
                live_server.url, live_server.url(), live_server.url("/"), live_server + "/",
                f"{live_server}/", str(live_server), base_url,
                f"http://{live_server.host}:{live_server.port}",
                f"http://{live_server.thread.host}:{live_server.thread.port}",
            ):
                assert url.rstrip("/") == base_url
                assert requests.get(url).text == "the shop"
            assert live_server.app is app
            with app.app_context():
                assert url_for("index", _external=True) == f"{base_url}/"
            live_server.start()
            with pytest.raises(UsageError, match="winserve_factory"):
                live_server.stop()
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@needs("minutes")
def test_ids_are_as_without_it_and_with_several_topologies_each_has_its_tests(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(OF_MODULE)
    pytester.makepyfile(
        "def test_it(base_url, winserve_session):\n    assert base_url == winserve_session.url"
    )
    ids = "test_ids_are_as_without_it_and_with_several_topologies_each_has_its_tests.py::test_it"
    assert pytester.runpytest_subprocess("--co", "-q").outlines[0] == ids
    done = pytester.runpytest_subprocess("-v", "--winserve-topology=flask,tornado")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines([f"{ids}[[]flask[]] PASSED*", f"{ids}[[]tornado[]] PASSED*"])


@needs("minutes")
def test_nothing_is_taken_unless_it_is_asked_for_and_what_the_suite_has_wins(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        own="import pytest\n@pytest.fixture\ndef live_server():\n    return 'of a module'",
        test_it="""
        def test_it(base_url, live_server):
            assert (base_url, live_server) == ("of conftest", "of a module")
        """,
    )
    pytester.makeconftest(
        "import pytest\npytest_plugins = ['own']\n"
        "@pytest.fixture\ndef base_url():\n    return 'of conftest'"
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    pytester.makeconftest("")
    for arguments in ([], ["-p", "own"]):
        done = pytester.runpytest_subprocess(*arguments, "-o", "winserve_live_server=false")
        assert "fixture 'base_url' not found" in said(done)


@needs("minutes")
def test_a_marker_does_not_count_for_it_and_that_is_said(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(OF_MODULE)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.winserve(topology="flask")
        def test_other(base_url, winserve_session):
            assert str(winserve_session.topology) == "tornado"

        @pytest.mark.winserve(topology="tornado")
        def test_same(base_url):
            pass
        """
    )
    done = pytester.runpytest_subprocess("--winserve-report=report")
    done.assert_outcomes(passed=2)
    (record,) = read_json(pytester.path / "report" / "results.json")["tests"]
    (event,) = record["events"]
    assert event.startswith(
        "the marker winserve asks for flask on local: shop:app, but winserve_session is the run's "
        "site, tornado on local: shop:app; "
    )


@needs("minutes")
def test_a_site_that_dies_is_not_replaced_and_that_is_said(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(OF_MODULE)
    pytester.makepyfile(
        """
        import time, pytest, requests

        def test_kills(winserve_session):
            with pytest.raises(requests.ConnectionError):
                winserve_session.get("/end")
            while not winserve_session.deaths():
                time.sleep(0.01)

        def test_after(base_url):
            pass

        def test_plain():
            pass
        """
    )
    done = pytester.runpytest_subprocess()
    assert done.parseoutcomes()["passed"] == 2
    done.stdout.fnmatch_lines(
        [
            "StartError: the site of winserve_session died in *::test_kills, and is not replaced*",
            "*event: died during this test: *",
        ]
    )


@needs("minutes")
@pytest.mark.parametrize(
    ("fixture", "lines"),
    [
        (
            """
            @pytest.fixture(scope="session")
            def app(tmp_path_factory):
                app = create_app({"TESTING": True})
                app.config["FOLDER"] = tmp_path_factory
                yield app
            """,
            [
                "AppError: the fixture `app` (conftest.py, line *) gives an app that exists in *",
                "    winserve_app = shop:create_app({'TESTING': True})",
                "    from shop import create_app",
                "    def create_served_app():",
                "        app = create_app({'TESTING': True})",
                "        app.config['FOLDER'] = tmp_path_factory",
                "        return app",
                "    winserve_app = serve:create_served_app()",
                "What the fixture takes (tmp_path_factory) such a function has to make.",
            ],
        ),
        (
            """
            @pytest.fixture(scope="session")
            def app():
                return {"shop": 1}
            """,
            [
                "AppError: the fixture `app` (conftest.py, line *) gives no app: * but dict; *",
                "    winserve_app = shop:create_app()",
            ],
        ),
        (
            """
            @pytest.fixture
            def app():
                return create_app()
            """,
            ["AppError: the fixture `app` is made anew *", "    winserve_app = shop:create_app()"],
        ),
        (
            "",
            [
                "AppError: winserve_live_server = true, but there is no app to serve: *",
                "    winserve_app = shop:create_app()",
            ],
        ),
    ],
    ids=["of-the-process", "no-app", "of-each-test", "none"],
)
def test_an_app_that_cannot_be_served_is_refused_with_what_to_write(
    pytester: pytest.Pytester, fixture: str, lines: list[str]
) -> None:
    pytester.makepyfile("def test_one(base_url): pass\ndef test_two(base_url): pass")
    pytester.makeconftest("import pytest\nfrom shop import create_app\n" + textwrap.dedent(fixture))
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(lines)
    told = [line for line in done.outlines if line.endswith(lines[-1].strip("* "))]
    assert len(told) == 1, "the second test tells it in one line"


@needs("minutes")
def test_two_urls_for_one_fixture_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        named="def pytest_addoption(parser): parser.addoption('--base-url')",
        test_it="def test_it(base_url): pass",
    )
    done = pytester.runpytest_subprocess("-p", "named", "--base-url=http://shop.example")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "two sources for the fixture base_url" in said(done)
    assert "-o winserve_live_server=false" in said(done)
