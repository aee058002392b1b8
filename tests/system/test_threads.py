"""Flags between threads of the system's own."""

from __future__ import annotations

from pytest_winserve.system.threads import Flag, start_new_thread


def test_a_flag_is_down_until_it_is_set() -> None:
    flag = Flag()
    assert not flag.is_set()
    assert not flag.wait(0)
    flag.set()
    assert flag.is_set()
    assert flag.wait(0)
    assert flag.wait()


def test_a_thread_waits_for_a_flag() -> None:
    asked, answered = Flag(), Flag()

    def answer() -> None:
        asked.wait()
        answered.set()

    start_new_thread(answer, ())
    assert not answered.is_set()
    asked.set()
    assert answered.wait()
