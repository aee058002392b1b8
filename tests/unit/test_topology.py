"""The grammar of topologies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve import Topology
from pytest_winserve.errors import UsageError
from pytest_winserve.fronts import front_names, get_front
from pytest_winserve.options import Option, Value
from pytest_winserve.servers import get_server, server_names
from pytest_winserve.topology import ARTICLE


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("flask", "flask"),
        ("  flask\n", "flask"),
        ("flask:threaded=true", "flask"),
        ("flask:threaded=off", "flask:threaded=false"),
        ("flask:threaded=No", "flask:threaded=false"),
        ("nginx4", "nginx4"),
        ("nginx4-flask", "nginx4"),
        ("nginx04", "nginx4"),
        ("nginx64-tornado", "nginx64-tornado"),
        ("nginx2:threaded=false", "nginx2:threaded=false"),
        ("nginx2-waitress:threads=4", "nginx2-waitress"),
        ("nginx2-waitress:threads=08", "nginx2-waitress:threads=8"),
        # The order is that of the declarations, the front's options last.
        (
            "nginx2-waitress:front.retry=no:connection_limit=50:front.keepalive=0:threads=8",
            "nginx2-waitress:threads=8:connection_limit=50:front.keepalive=0:front.retry=false",
        ),
        ("tornado:threads=0", "tornado"),
        ("command", "command"),
        ("nginx2-command", "nginx2-command"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    topology = Topology.parse(text)
    assert str(topology) == canonical
    assert Topology.parse(canonical) == topology


@pytest.mark.parametrize("name", ARTICLE)
def test_the_articles_names_are_canonical(name: str) -> None:
    assert str(Topology.parse(name)) == name


def _values(option: Option) -> st.SearchStrategy[Value]:
    if isinstance(option.default, bool):
        return st.booleans()
    top = 10**6 if option.maximum == float("inf") else int(option.maximum)
    return st.integers(int(option.minimum), top)


def _pairs(options: tuple[Option, ...], prefix: str) -> st.SearchStrategy[list[str]]:
    if not options:
        return st.just([])
    pair = st.sampled_from(options).flatmap(
        lambda option: _values(option).map(
            lambda value: (option.name, f"{prefix}{option.name}={option.format(value)}")
        )
    )
    return st.lists(pair, unique_by=lambda each: each[0]).map(lambda found: [p for _, p in found])


@st.composite
def _texts(draw: st.DrawFn) -> str:
    server = draw(st.sampled_from(server_names()))
    pairs = draw(_pairs(get_server(server).options, ""))
    head = server
    if draw(st.booleans()):
        front = draw(st.sampled_from(front_names()))
        head = f"{front}{draw(st.integers(1, 64))}-{server}"
        pairs += draw(_pairs(get_front(front).options, "front."))
    return ":".join([head, *draw(st.permutations(pairs))])


@given(_texts())
def test_every_topology_survives_the_round_trip(text: str) -> None:
    topology = Topology.parse(text)
    canonical = str(topology)
    assert Topology.parse(canonical) == topology
    assert str(Topology.parse(canonical)) == canonical
    # Leaving defaults out, and the order, change nothing about what runs.
    given_values = dict(pair.split("=") for pair in text.split(":")[1:])
    effective = topology.server_options | {
        f"front.{name}": value for name, value in topology.all_front_options.items()
    }
    for name, value in given_values.items():
        assert str(effective[name]).lower() == value


@given(st.text())
def test_any_other_text_is_a_usage_error_and_nothing_else(text: str) -> None:
    said = f"topology {text!r}: "
    try:
        topology = Topology.parse(text)
    except UsageError as error:
        said = str(error)
    else:
        assert Topology.parse(str(topology)) == topology
    assert said.startswith(f"topology {text!r}: ")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["it is empty", "nginx4-tornado"]),
        ("   ", ["it is empty"]),
        ("tornad", ["unknown server 'tornad' at character 1", "nearest: tornado"]),
        ("ngin4", ["unknown front 'ngin' at character 1", "nearest: nginx"]),
        ("ngin4-tornado", ["unknown front 'ngin' at character 1", "nearest: nginx"]),
        ("nginx", ["needs a number of backends", "nginx1, nginx4"]),
        ("nginx-tornado", ["needs a number of backends"]),
        ("nginx4-tornad", ["unknown server 'tornad' at character 8", "nearest: tornado"]),
        (
            "nginx4-",
            ["unknown server '' at character 8", "known: cgi, cheroot, command, "],
        ),
        ("nginx0", ["0 backends at character 6", "1 to 64"]),
        ("nginx65-flask", ["65 backends at character 6", "1 to 64"]),
        ("tornado4", ["'tornado4': a number of backends needs a front", "nginx4-tornado"]),
        ("flask:", ["'' at character 7 is not key=value"]),
        ("flask:threaded", ["'threaded' at character 7 is not key=value"]),
        ("flask:threaded=", ["'threaded=' at character 7 is not key=value"]),
        ("flask:=true", ["'=true' at character 7 is not key=value"]),
        ("flask:thread=true", ["no option 'thread' (at character 7)", "nearest: threaded"]),
        ("command:threads=2", ["command has no option 'threads'", "it has none"]),
        ("flask:threaded=perhaps", ["'perhaps' is not true or false", "at character 7"]),
        ("waitress:threads=many", ["'many' is not a whole number", "at character 10"]),
        ("waitress:threads=2.5", ["'2.5' is not a whole number"]),
        ("waitress:threads=0", ["threads=0 is out of range: 1 to 1000", "at character 10"]),
        ("waitress:threads=1001", ["threads=1001 is out of range"]),
        ("waitress:threads=2:threads=3", ["'threads' is given twice, again at character 20"]),
        ("flask:front.retry=no", ["front.retry at character 7", "there is no front"]),
        ("nginx2:front.retries=1", ["nginx has no option 'retries'", "nearest: retry"]),
        ("nginx2:front.=1", ["nginx has no option ''"]),
        ("nginx2:front.fail_timeout=0", ["fail_timeout=0 is out of range: 1 to 3600"]),
        ("all", ["'all' names several topologies"]),
    ],
)
def test_what_is_wrong_where_and_what_would_be_right(text: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        Topology.parse(text)
    for part in [f"topology {text!r}: ", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("flask", None),
        ("flask:threaded=false", 1),
        ("nginx4", None),
        ("nginx4:threaded=false", 4),
        ("tornado", 1),
        ("tornado:threads=3", 3),
        ("nginx4-tornado", 4),
        ("waitress", 4),
        ("nginx2-waitress:threads=8", 16),
        ("gunicorn", 1),
        ("nginx2-gunicorn:workers=3:threads=4", 24),
        ("uwsgi:processes=3:threads=4", 12),
        ("mod_wsgi", 15),
        ("apache2-mod_wsgi:processes=2:threads=3", 12),
        ("gevent:pool=2", 2),
        ("nginx4-gevent", None),
        # Idle connections of the front take places among those that the option bounds.
        ("nginx4-gevent:pool=2", "unknown"),
        ("nginx4-gevent:pool=2:front.keepalive=0", 8),
        ("apache4-granian:blocking_threads=2", 8),
        # A busy worker may take what another could serve.
        ("granian:workers=2:blocking_threads=2", "unknown"),
        ("granian:workers=2:blocking_threads=2:backpressure=2", 4),
        ("apache4-granian:backpressure=8", "unknown"),
        ("apache4-granian:backpressure=8:front.keepalive=false", 16),
        ("cgi", "unknown"),
        ("fastcgi", "unknown"),
        ("command", "unknown"),
        ("nginx2-command", "unknown"),
    ],
)
def test_declared_concurrency_is_the_sum_over_the_backends(text: str, declared: object) -> None:
    assert Topology.parse(text).declared == declared
