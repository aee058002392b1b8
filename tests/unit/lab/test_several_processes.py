"""What is said of several processes, from what they have and how they answer."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from pytest_winserve.backend.own_state import Log, OwnState, Thread
from pytest_winserve.lab.several_processes import Answer, judged
from pytest_winserve.topology import Topology

NOTHING = OwnState(0, 1, {}, (), (), (), memory_database=False, logs=())


def processes(*states: OwnState) -> list[OwnState]:
    return [replace(state, backend=n, pid=100 + n) for n, state in enumerate(states)]


def test_a_key_that_one_process_lacks_differs_too() -> None:
    keyed = replace(NOTHING, keys={"JWT_SECRET_KEY of the Flask app 'a'": "12ab"})
    (why,) = judged(processes(keyed, NOTHING), (), keeps_users=False, processes=2).lost
    assert why.startswith("JWT_SECRET_KEY of the Flask app 'a' is another one in each process")
    assert "12ab" not in why
    assert judged(processes(keyed, keyed), (), keeps_users=False, processes=2).lost == ()


def test_where_the_front_keeps_users_keys_that_differ_are_told() -> None:
    states = processes(*(replace(NOTHING, keys={"K": digest}) for digest in ("1", "2")))
    found = judged(states, (), keeps_users=True, processes=2)
    assert found.lost == ()
    assert found.told[0].endswith("whoever's process ends loses the session")


def test_what_one_process_alone_has_is_no_reason_for_one_process() -> None:
    """As where a scheduler is started under a lock."""
    scheduler = replace(NOTHING, threads=(Thread("t", "BackgroundScheduler of apscheduler"),))
    one = judged(processes(scheduler, NOTHING), (), keeps_users=False, processes=2)
    assert one.apart == ()
    several = judged(processes(scheduler, scheduler), (), keeps_users=False, processes=2)
    (why,) = several.apart
    assert why == (
        "each of 2 processes runs the scheduler thread 't' (BackgroundScheduler of apscheduler): "
        "its jobs run 2 times"
    )


def test_databases_in_memory() -> None:
    memory, unknown = (replace(NOTHING, memory_database=found) for found in (True, None))
    found = judged(processes(memory, memory), (), keeps_users=False, processes=2)
    assert found.told == ()
    assert found.apart[0].startswith("each of 2 processes has an SQLite database in memory: what")
    found = judged(processes(unknown, unknown), (), keeps_users=False, processes=2)
    assert found.apart == ()
    (text,) = found.told
    assert text.startswith("it is not known whether each of 2 processes has an SQLite database in")


def test_logs() -> None:
    turning, plain = Log("/a/turning.log", rotates=True), Log("/a/plain.log", rotates=False)
    state = replace(NOTHING, logs=(turning, plain))
    found = judged(processes(state, state, state), (), keeps_users=False, processes=3)
    assert found.apart[0].startswith("the log turning.log is rotated by 3 processes: on Windows")
    assert found.told == ("the log plain.log is written by 3 processes",)
    windows = replace(NOTHING, logs=(Log("C:\\shop\\app.log", rotates=False),))
    found = judged(processes(windows, windows), (), keeps_users=False, processes=2)
    assert found.told == ("the log app.log is written by 2 processes",)
    own = [replace(NOTHING, logs=(Log(f"/a/{n}.log", rotates=True),)) for n in range(2)]
    assert judged(processes(*own), (), keeps_users=False, processes=2).apart == ()


def test_processes_that_did_not_answer_are_told() -> None:
    (text,) = judged(processes(NOTHING), (), keeps_users=False, processes=2).told
    assert text == "1 of 2 processes were looked at; the others did not answer"
    assert judged([], (), keeps_users=False, processes=2).told == ()


def answer(**given: object) -> Answer:
    return replace(Answer("a", 200, "", ()), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "like"),
    [
        (answer(who="b"), True),
        (answer(status=302, place="/login"), False),
        (answer(cookies=(("session", "x"),)), False),
    ],
)
def test_answers_to_a_user_who_is_known(other: Answer, like: bool) -> None:
    assert other.like(answer()) is like


def test_a_cookie_that_everybody_is_given_each_time_makes_nobody_a_stranger() -> None:
    own = answer(cookies=(("session", "x"), ("seen", "1")))
    assert answer(cookies=(("session", "y"),)).like(own)


def test_a_state_comes_back_as_it_was() -> None:
    state = OwnState(
        1, 2, {"K": "d"}, (Thread("a", "b"),), None, ("127.0.0.1:1",), True, (Log("/l", True),)
    )
    assert OwnState.from_dict(asdict(state)) == state


@pytest.mark.parametrize(
    ("topology", "processes", "keeps"),
    [
        ("waitress", 1, False),
        ("nginx1-waitress", 1, False),
        ("nginx4", 4, False),
        ("gunicorn:workers=2", 2, False),
        ("nginx2-uwsgi:processes=3", 6, False),
        ("granian:workers=2", 2, False),
        ("mod_wsgi", 1, False),
        ("mod_wsgi:processes=2", 2, False),
        ("cgi", 2, False),
        ("nginx4:front.sticky=true", 4, True),
        ("apache2-waitress:front.sticky=true", 2, True),
    ],
)
def test_in_how_many_processes_an_app_runs(topology: str, processes: int, keeps: bool) -> None:
    parsed = Topology.parse(topology)
    assert (parsed.processes, parsed.keeps_users) == (processes, keeps)
