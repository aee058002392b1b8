"""The middleware and its counters, without a server around them."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from pytest_winserve.backend.counters import _SLOTS, Counters, Counts, read_counts
from pytest_winserve.backend.instrument import Instrument
from pytest_winserve.tags import BACKEND_HEADER, PROCESS_HEADER, TOTALS, lab_tag, load_tag
from tests.kit.waiting import eventually

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Served:
    """An instrumented app, called as a server would."""

    def __init__(self, app: App, path: Path) -> None:
        self.path = path
        self.app = Instrument(app, "nonce", 3, Counters(path))
        self.seen: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}

    def call(self, tag: str | None = None, more: dict[str, Any] | None = None) -> Iterable[bytes]:
        environ: dict[str, Any] = dict(more or {})
        setup_testing_defaults(environ)
        if tag is not None:
            environ["HTTP_X_WINSERVE"] = tag

        def start_response(status: str, headers: list[tuple[str, str]], exc: Any = None) -> Any:
            self.headers = dict(headers)

        body = self.app(environ, start_response)
        self.seen.append(environ)
        return body

    def counts(self, tag: str = TOTALS) -> Counts:
        return read_counts(self.path, tag)


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counters"


def test_an_answer_is_marked_and_counted(path: Path) -> None:
    served = Served(hello, path)
    assert list(served.call(load_tag(7))) == [b"hello"]
    assert served.headers == {"Content-Type": "text/plain", BACKEND_HEADER: "nonce.3"}
    assert served.counts(load_tag(7)) == Counts(started=1, peak=1)
    assert served.counts() == Counts(started=1, peak=1)
    assert served.counts(load_tag(8)) == Counts()


def test_the_tag_is_not_shown_to_the_app(path: Path) -> None:
    served = Served(hello, path)
    served.call(load_tag(7))
    served.call(lab_tag(8))
    assert [key for environ in served.seen for key in environ if "WINSERVE" in key] == []


def test_the_labs_own_requests_stay_out_of_the_totals(path: Path) -> None:
    served = Served(hello, path)
    served.call(lab_tag(5))
    process, _, thread = served.headers[PROCESS_HEADER].partition(".")
    assert int(process) > 0
    assert int(thread) == threading.get_ident()
    assert served.counts(lab_tag(5)) == Counts(started=1, peak=1)
    assert served.counts() == Counts()


@pytest.mark.parametrize(
    "tag", [None, "", "load", "load-", "load-x", "other-3", "lab-x", "load--1"]
)
def test_requests_without_a_tag_of_the_lab_are_the_users(path: Path, tag: str | None) -> None:
    served = Served(hello, path)
    served.call(tag)
    assert served.counts() == Counts(started=1, peak=1)


def test_slots_are_taken_over_by_later_runs(path: Path) -> None:
    served = Served(hello, path)
    runs = range(1, 3 * _SLOTS)
    for run in runs:
        served.call(load_tag(run))
    kept = [run for run in runs if served.counts(load_tag(run)).started]
    assert kept == list(runs)[-(_SLOTS - 1) :]
    assert served.counts().started == len(runs)


def test_a_request_of_an_old_run_does_not_count_for_the_new_one(path: Path) -> None:
    counters = Counters(path)
    old = counters.start(load_tag(1))
    counters.start(load_tag(_SLOTS))  # the same slot
    counters.leave(old, raised=True)
    assert read_counts(path, load_tag(_SLOTS)) == Counts(started=1, in_flight=1, peak=1)
    assert read_counts(path, load_tag(1)) == Counts()
    assert read_counts(path, TOTALS) == Counts(started=2, raised=1, in_flight=1, peak=2)


def test_an_exception_before_the_body_is_counted_and_passes(path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise LookupError("before")

    served = Served(app, path)
    with pytest.raises(LookupError, match="before"):
        served.call(load_tag(1))
    assert served.counts(load_tag(1)) == Counts(started=1, raised=1, peak=1)


def test_an_exception_inside_the_body_is_counted_and_passes(path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        raise LookupError("inside")

    served = Served(app, path)
    parts = iter(served.call(lab_tag(1)))
    assert next(parts) == b"one"
    with pytest.raises(LookupError, match="inside"):
        next(parts)
    assert served.counts(lab_tag(1)) == Counts(started=1, raised=1, peak=1)


@pytest.mark.parametrize("body", [[], [b"a"], [b"a", b"b"], (b"a",)])
def test_lists_and_tuples_are_handed_on_untouched(path: Path, body: Iterable[bytes]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    assert Served(app, path).call() is body


def test_a_streamed_body_runs_only_while_a_part_is_made(path: Path) -> None:
    flights: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for part in (b"one", b"two"):
            flights.append(served.counts(lab_tag(1)).in_flight)
            yield part

    served = Served(app, path)
    parts = iter(served.call(lab_tag(1)))
    assert served.counts(lab_tag(1)).in_flight == 0
    assert next(parts) == b"one"
    assert served.counts(lab_tag(1)).in_flight == 0
    assert list(parts) == [b"two"]
    assert flights == [1, 1]
    assert served.counts(lab_tag(1)) == Counts(started=1, peak=1)


def test_two_streams_that_take_turns_never_run_at_once(path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from (b"one", b"two")

    served = Served(app, path)
    pairs = zip(served.call(lab_tag(1)), served.call(lab_tag(1)), strict=True)
    assert list(pairs) == [(b"one", b"one"), (b"two", b"two")]
    assert served.counts(lab_tag(1)) == Counts(started=2, peak=1)


def test_the_bodys_close_is_called(path: Path) -> None:
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body()

    body: Any = Served(app, path).call(lab_tag(1))
    assert list(body) == [b"x"]
    body.close()
    assert closed == [True]


def test_a_body_without_close_can_be_closed(path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter([b"x"])

    body: Any = Served(app, path).call(lab_tag(1))
    body.close()


class Piece:
    """A body of one piece that code of an app's makes."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"x"


def answering(body: Callable[[dict[str, Any]], Any]) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return body(environ)

    return app


def pieces() -> Iterator[bytes]:
    yield from (b"one", b"two")


@pytest.mark.parametrize("make", [Piece, pieces, lambda: iter([b"x"]), lambda: b"x"])
def test_in_a_load_the_server_gets_the_apps_own_body(path: Path, make: Callable[[], Any]) -> None:
    made: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        made.append(make())
        return made[-1]

    served = Served(app, path)
    for tag in (load_tag(1), None):
        assert served.call(tag) is made[-1]


def test_in_a_load_a_request_ends_when_the_server_lets_go_of_the_body(path: Path) -> None:
    served = Served(answering(lambda environ: pieces()), path)
    first, second = served.call(load_tag(1)), served.call(load_tag(1))
    assert served.counts(load_tag(1)) == Counts(started=2, in_flight=2, peak=2)
    del first
    assert served.counts(load_tag(1)) == Counts(started=2, in_flight=1, peak=2)
    assert list(second) == [b"one", b"two"]
    del second
    assert served.counts(load_tag(1)) == Counts(started=2, peak=2)


def test_a_body_that_the_app_keeps_does_not_keep_its_request(path: Path) -> None:
    body = Piece()
    served = Served(answering(lambda environ: body), path)
    assert [served.call(load_tag(1)) for _ in range(3)] == [body] * 3
    assert served.counts(load_tag(1)) == Counts(started=3, peak=1)


def test_bodies_that_the_collector_frees_are_counted(path: Path) -> None:
    class Circle(Piece):
        def __init__(self) -> None:
            self.itself = self

    served = Served(answering(lambda environ: Circle()), path)
    for _ in range(5000):
        # The collector runs at any time, also while the counters are changed.
        served.call(load_tag(1))
    gc.collect()
    assert served.counts(load_tag(1)).in_flight == 0
    assert served.counts(load_tag(1)).started == 5000


def file_function(file: Any) -> Any:
    return Piece() if file is None else file


@pytest.mark.parametrize("wrapper", [FileWrapper, file_function])
@pytest.mark.parametrize("tag", [None, load_tag(1), lab_tag(1)])
def test_what_the_servers_file_wrapper_made_goes_back_to_it(
    path: Path, wrapper: Any, tag: str | None, tmp_path: Path
) -> None:
    made: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        made.append(environ["wsgi.file_wrapper"](file))
        return made[-1]

    with (tmp_path / "file").open("wb+") as file:
        served = Served(app, path)
        body = served.call(tag, {"wsgi.file_wrapper": wrapper})
        assert body is made[0]
        assert type(body) is type(wrapper(file))


def test_a_probe_counts_within_a_body_that_is_no_file_of_the_servers(path: Path) -> None:
    served = Served(answering(lambda environ: pieces()), path)
    body = served.call(lab_tag(1), {"wsgi.file_wrapper": FileWrapper})
    assert served.counts(lab_tag(1)).in_flight == 0
    assert list(body) == [b"one", b"two"]


@pytest.mark.parametrize("tag", [load_tag(1), lab_tag(1)])
def test_start_response_takes_what_that_of_a_server_takes(path: Path, tag: str) -> None:
    given = [("A", "b")]
    called: tuple[Callable[[Any], Any], ...] = (
        lambda start: start("200 OK", given),
        lambda start: start("200 OK", given, None),
        lambda start: start("200 OK", given, exc_info=None),
        lambda start: start("200 OK", headers=given),
        lambda start: start(status="200 OK", headers=given),
        lambda start: start("200 OK", tuple(given)),
    )
    for call in called:
        kinds: list[type] = []

        def app(environ: dict[str, Any], start_response: Any, call: Any = call) -> list[bytes]:
            call(start_response)
            return []

        def starting(status: str, headers: Any, exc_info: Any = None, kinds: Any = kinds) -> None:
            kinds.append(type(headers))
            assert (status, exc_info) == ("200 OK", None)
            assert list(headers)[:2] == [*given, (BACKEND_HEADER, "nonce.3")]

        start_response: Any = starting
        Served(app, path).app({"HTTP_X_WINSERVE": tag}, start_response)
        assert kinds == [tuple if call is called[-1] else list]
    assert given == [("A", "b")]


def test_threads_are_counted_exactly_and_their_peak_is_theirs(path: Path) -> None:
    together = threading.Barrier(8)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        together.wait()
        return [b""]

    served = Served(app, path)
    threads = [
        threading.Thread(target=lambda: [served.call(load_tag(2)) for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.counts(load_tag(2)) == Counts(started=400, peak=8)


forks = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows cannot fork")


class Worker:
    """A process that joins the counters of the one that forked it, and counts when told to."""

    def __init__(self, counters: Counters, number: int) -> None:
        context = multiprocessing.get_context("fork")
        self._orders, theirs = context.Pipe()
        self.process = context.Process(target=self._run, args=(counters, number, theirs))
        self.process.start()
        theirs.close()
        self._orders.recv()

    @staticmethod
    def _run(counters: Counters, number: int, orders: Any) -> None:
        counters.join(number)
        orders.send(None)
        running = []
        while True:
            times, tag = orders.recv()
            for _ in range(times):
                running.append(counters.start(tag))
            for _ in range(-times):
                counters.leave(running.pop())
            orders.send(None)

    def tell(self, times: int, tag: str = load_tag(1)) -> None:
        """Start so many requests, or end them."""
        self._orders.send((times, tag))
        self._orders.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@pytest.fixture
def fork(path: Path) -> Iterator[Callable[[int], Worker]]:
    counters = Counters(path, 3)
    started: list[Worker] = []

    def fork(number: int) -> Worker:
        started.append(Worker(counters, number))
        return started[-1]

    yield fork
    for worker in started:
        worker.kill()


@forks
def test_workers_count_together_and_their_peak_is_of_one_time(
    path: Path, fork: Callable[[int], Worker]
) -> None:
    first, second = fork(0), fork(1)
    first.tell(3)
    second.tell(2)
    assert read_counts(path, load_tag(1)) == Counts(started=5, in_flight=5, peak=5)
    first.tell(-3)
    second.tell(2)
    # The sum of the workers' own peaks would be 7.
    assert read_counts(path, load_tag(1)) == Counts(started=7, in_flight=4, peak=5)
    assert read_counts(path, TOTALS) == Counts(started=7, in_flight=4, peak=5)


@forks
def test_what_a_killed_worker_ran_is_over_when_another_takes_its_place(
    path: Path, fork: Callable[[int], Worker]
) -> None:
    first, second = fork(0), fork(1)
    first.tell(3)
    second.tell(1)
    first.kill()
    again = fork(0)
    assert read_counts(path, load_tag(1)) == Counts(started=4, in_flight=1, peak=4)
    again.tell(1)
    assert read_counts(path, load_tag(1)) == Counts(started=5, in_flight=2, peak=4)
    second.tell(-1)
    again.tell(-1)
    assert read_counts(path, TOTALS) == Counts(started=5, in_flight=0, peak=4)


@forks
def test_a_workers_request_of_an_old_run_does_not_count_for_the_new_one(
    path: Path, fork: Callable[[int], Worker]
) -> None:
    first, second = fork(0), fork(1)
    first.tell(1, load_tag(1))
    second.tell(1, load_tag(_SLOTS))  # the same slot
    first.tell(-1)
    assert read_counts(path, load_tag(_SLOTS)) == Counts(started=1, in_flight=1, peak=1)
    first.kill()
    fork(0)
    assert read_counts(path, load_tag(_SLOTS)) == Counts(started=1, in_flight=1, peak=1)


@forks
def test_nothing_is_lost_between_workers_that_count_at_once(
    path: Path, fork: Callable[[int], Worker]
) -> None:
    workers = [fork(number) for number in range(3)]
    for turn in (1000, -1000):
        threads = [threading.Thread(target=worker.tell, args=(turn,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read_counts(path, load_tag(1)) == Counts(started=3000, peak=3000)


ATTACHED = """
import sys
from pathlib import Path
from pytest_winserve.backend.counters import Counters
from pytest_winserve.tags import load_tag

counters = Counters.attach(Path(sys.argv[1]))
print(counters._own, flush=True)
running = []
for line in sys.stdin:
    for _ in range(int(line)):
        running.append(counters.start(load_tag(1)))
    for _ in range(-int(line)):
        counters.leave(running.pop())
    print("done", flush=True)
"""


class Attached:
    """A process that finds the counters by their file, and counts when told to."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ATTACHED, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.place = self._answer()

    def tell(self, times: int) -> None:
        """Start so many requests, or end them."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def kill(self) -> None:
        with self._process:
            self._process.kill()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def attach(path: Path) -> Iterator[Callable[[], Attached]]:
    Counters(path, 2)
    started: list[Attached] = []

    def attach() -> Attached:
        started.append(Attached(path))
        return started[-1]

    yield attach
    for process in started:
        process.kill()


def test_processes_that_are_not_forked_take_free_places(
    path: Path, attach: Callable[[], Attached]
) -> None:
    first, second = attach(), attach()
    assert first.place != second.place
    with pytest.raises(RuntimeError, match="more than 2 processes count in"):
        Counters.attach(path)
    first.tell(3)
    second.tell(1)
    assert read_counts(path, load_tag(1)) == Counts(started=4, in_flight=4, peak=4)
    first.kill()
    again = attach()
    # The system gave the place back, and what ran in it is over.
    assert again.place == first.place
    assert read_counts(path, load_tag(1)) == Counts(started=4, in_flight=1, peak=4)
    again.tell(1)
    second.tell(-1)
    assert read_counts(path, load_tag(1)) == Counts(started=5, in_flight=1, peak=4)


def test_a_single_worker_is_followed_by_the_next_one(path: Path) -> None:
    Counters(path, 1)
    first = Attached(path)
    first.tell(3)
    assert read_counts(path, load_tag(1)) == Counts(started=3, in_flight=3, peak=3)
    first.kill()
    second = Attached(path)
    # What the first one ran is over.
    assert read_counts(path, load_tag(1)) == Counts(started=3, in_flight=0, peak=3)
    assert read_counts(path, TOTALS) == Counts(started=3, in_flight=0, peak=3)
    second.tell(1)
    assert read_counts(path, load_tag(1)) == Counts(started=4, in_flight=1, peak=3)
    second.kill()


def test_nothing_is_lost_between_processes_that_count_at_once(
    path: Path, attach: Callable[[], Attached]
) -> None:
    processes = [attach(), attach()]
    for turn in (1000, -1000):
        threads = [threading.Thread(target=each.tell, args=(turn,)) for each in processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read_counts(path, load_tag(1)) == Counts(started=2000, peak=2000)


def test_counts_are_read_while_the_process_runs_and_after_it_was_killed(path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pytest_winserve.backend.counters import Counters\n"
        "from pytest_winserve.tags import load_tag\n"
        "counters = Counters(Path(sys.argv[1]))\n"
        "done = counters.start(load_tag(9))\n"
        "counters.start(load_tag(9))\n"
        "counters.leave(done)\n"
        "print('counted', flush=True)\n"
        "time.sleep(600)\n"
    )
    expected = Counts(started=2, in_flight=1, peak=2)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        try:
            assert eventually(lambda: read_counts(path, load_tag(9))) == expected
        finally:
            process.kill()
    assert read_counts(path, load_tag(9)) == expected
    assert read_counts(path, TOTALS) == expected


def test_a_file_that_is_not_complete_counts_nothing(path: Path) -> None:
    path.write_bytes(b"")
    assert read_counts(path, TOTALS) == Counts()
