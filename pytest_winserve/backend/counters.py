"""Counts of a backend, in a memory-mapped file.

They can be read while the server is blocked and after it was killed. A server of several processes
counts in one file all the same: the peak is of what they ran at one time, not a sum of their peaks,
so they change it under a lock of the file's. What a process runs is noted beside it, and given back
when another takes the place of one that died.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys

# The system's own, which an app that patches `threading` leaves alone.
from _thread import LockType, allocate_lock
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.tags import run_of

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes
else:
    import fcntl

_SLOT = struct.Struct("=qqqqq")  # run, started, raised, running, peak of running
_SLOTS = 64
_PAGE = _SLOT.size * _SLOTS
_RUN, _STARTED, _RAISED, _RUNNING, _PEAK = range(5)
_FIELDS = 5
_SIZE = _SLOT.size // _FIELDS
_KNOWN_TAGS = 256
"""How many tags are kept with where they count."""

Token = tuple[int, tuple[int, ...]]
"""A run, and where its slots begin."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one process counted for one run: requests started, those that the app ended with an
    exception, those whose app code runs now, and the peak of these."""

    started: int = 0
    raised: int = 0
    in_flight: int = 0
    peak: int = 0


def _slot_of(run: int) -> int:
    """Slot 0 holds the totals; runs take turns on the others."""
    return 1 + run % (_SLOTS - 1)


class Counters:
    """The counters of one backend, in a file.

    With `workers`, that many processes count in it, and each takes a place before it does: one that
    is forked from the process that made the counters by `join`, one that is started otherwise by
    `attach`. The file then has a page for the backend and one for each place, of which only
    `running` is used.
    """

    def __init__(self, path: Path, workers: int = 0) -> None:
        with path.open("w+b") as file:
            file.truncate(_PAGE * (1 + workers))
        self._take(path, workers)

    @classmethod
    def attach(cls, path: Path) -> Counters:
        """The counters that another process made with workers, for a worker that is not forked
        from it: it gets the first place that no living process has."""
        counters = cls.__new__(cls)
        workers = path.stat().st_size // _PAGE - 1
        counters._take(path, workers)
        for worker in range(workers):
            place = os.open(path.with_name(f"{path.name}-{worker}"), os.O_RDWR | os.O_CREAT)
            # Never given back: the system does that when the process ends, however it does.
            if _lock(place, wait=False):
                counters.join(worker)
                return counters
            os.close(place)
        raise RuntimeError(f"more than {workers} processes count in {path}")

    def _take(self, path: Path, workers: int) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _PAGE * (1 + workers))
        self._fields = memoryview(self._map).cast("q")
        self._path = path
        self._workers = workers
        self._lock = self._new_lock()
        self._own: int | None = None  # where the page of this worker begins
        self._tokens: dict[str, Token] = {}
        self._left: deque[Token] = deque()  # by `let_go`, and not yet counted

    def _new_lock(self) -> _SharedLock | LockType:
        # A single worker is followed by the next one when it has ended. The system's lock would
        # cost each request four calls of the system.
        return _SharedLock(self._path) if self._workers > 1 else allocate_lock()

    def join(self, worker: int) -> None:
        """Count as `worker` (from 0) from now on. What another one ran in this place when it died
        is over."""
        assert self._workers, "made without workers"
        # One that came by a fork would be the other process's lock too, and maybe held.
        self._lock = self._new_lock()
        # A single worker has nobody to tell its own requests from.
        self._own = _PAGE * (1 + worker) if self._workers > 1 else None
        with self._lock:
            if self._own is not None:
                self._map[self._own : self._own + _PAGE] = bytes(_PAGE)
            pages = range(_PAGE, _PAGE * (1 + self._workers), _PAGE)
            used = [page for page in pages if any(self._map[page : page + _PAGE])]
            for at in range(0, _PAGE, _SLOT.size):
                held, started, raised, _, peak = _SLOT.unpack_from(self._map, at)
                running = sum(self._running(page + at, held) for page in used)
                _SLOT.pack_into(self._map, at, held, started, raised, running, peak)

    def start(self, tag: str) -> Token:
        """Count a request in; the result is what the other methods want."""
        token = self._tokens.get(tag) or self._token(tag)
        run, slots = token
        fields = self._fields
        with self._lock:
            for at in slots:
                if fields[at] != run and at:
                    fields[at + _STARTED] = fields[at + _RAISED] = 0
                    fields[at + _RUNNING] = fields[at + _PEAK] = 0
                    fields[at] = run
                fields[at + _STARTED] += 1
                fields[at + _RUNNING] = now = fields[at + _RUNNING] + 1
                if now > fields[at + _PEAK]:
                    fields[at + _PEAK] = now
            if self._own is not None:
                self._note(token, 1)
        if self._left:
            self._count_left()
        return token

    def leave(self, token: Token, raised: bool = False) -> None:
        """The app's code is left, for good or until its body is asked for more."""
        with self._lock:
            self._change(token, -1, raised)
        if self._left:
            self._count_left()

    def enter(self, token: Token) -> None:
        """The app's code runs again, to make more of its body."""
        with self._lock:
            self._change(token, 1)

    def let_go(self, token: Token) -> None:
        """As `leave`, from where nobody may be waited for: when an object is freed, which may be
        while its thread is in this very class."""
        self._left.append(token)
        self._count_left()

    def _count_left(self) -> None:
        # Who has the lock looks into `_left` after it has given it back, so nothing stays there.
        while self._left and self._lock.acquire(False):
            try:
                while self._left:
                    self._change(self._left.popleft(), -1)
            finally:
                self._lock.release()

    def _token(self, tag: str) -> Token:
        run, own = run_of(tag)
        slots = (*([] if own else [0]), *([_slot_of(run)] if run else []))
        token = run, tuple(slot * _FIELDS for slot in slots)
        if len(self._tokens) < _KNOWN_TAGS:  # they come from outside
            self._tokens[tag] = token
        return token

    def _change(self, token: Token, running: int, raised: bool = False) -> None:
        """Count so many more as running. For who has the lock."""
        run, slots = token
        fields = self._fields
        for at in slots:
            if fields[at] != run and at:
                continue  # a later run has taken the slot over
            fields[at + _RUNNING] = now = fields[at + _RUNNING] + running
            if now > fields[at + _PEAK]:
                fields[at + _PEAK] = now
            if raised:
                fields[at + _RAISED] += 1
        if self._own is not None:
            self._note(token, running)

    def _note(self, token: Token, running: int) -> None:
        """Note it for this worker as well, unless a later run has taken the slot over."""
        assert self._own is not None
        run, slots = token
        fields, own = self._fields, self._own // _SIZE
        for at in slots:
            if at and fields[at] != run:
                continue
            if at and fields[own + at] != run:
                fields[own + at], fields[own + at + _RUNNING] = run, 0
            fields[own + at + _RUNNING] += running

    def _running(self, at: int, run: int) -> int:
        """What a worker's slot says it runs of `run`."""
        held, _, _, running, _ = _SLOT.unpack_from(self._map, at)
        return int(running) if held == run else 0


class _SharedLock:
    """A lock between the threads of all processes that make one of the same file. It is the
    system's own, so it goes with a process that is killed while it holds it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)
        self._threads = allocate_lock()  # the file's lock is the process's, not the thread's

    def acquire(self, blocking: bool = True) -> bool:
        """Not `blocking`: False when another thread of this process has it."""
        if not self._threads.acquire(blocking):
            return False
        _lock(self._file, wait=True)
        return True

    def release(self) -> None:
        _unlock(self._file)
        self._threads.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


if sys.platform == "win32":
    _EXCLUSIVE, _AT_ONCE = 2, 1  # LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY
    _FAR = 1 << 8  # in 4 GB: a byte behind the file's end, for nobody can read a locked one

    class _Overlapped(ctypes.Structure):
        _fields_ = (
            ("internal", ctypes.c_size_t * 2),
            ("low", wintypes.DWORD),
            ("high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    def _lock(file: int, wait: bool) -> bool:
        flags = _EXCLUSIVE if wait else _EXCLUSIVE | _AT_ONCE
        return bool(ctypes.windll.kernel32.LockFileEx(*_place(file, flags)))

    def _unlock(file: int) -> None:
        ctypes.windll.kernel32.UnlockFileEx(*_place(file))

    def _place(file: int, *flags: int) -> tuple[Any, ...]:
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(file))
        return (handle, *flags, 0, 1, 0, ctypes.byref(_Overlapped(high=_FAR)))

else:

    def _lock(file: int, wait: bool) -> bool:
        """Lock a file that this process has opened; False when another has locked it.

        Not with lockf: its locks are a process's, and with those that a server takes in other
        threads, such as mod_wsgi's accept mutex, the system sees deadlocks where there are none.
        """
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def read_counts(path: Path, tag: str) -> Counts:
    """What the process behind a counter file counted for `tag`, or in total for TOTALS."""
    run, _ = run_of(tag)
    slot = _slot_of(run) if run else 0
    with path.open("rb") as file:
        file.seek(slot * _SLOT.size)
        data = file.read(_SLOT.size)
    if len(data) < _SLOT.size:
        return Counts()
    held, *counts = _SLOT.unpack(data)
    return Counts(*counts) if held == run or not slot else Counts()
