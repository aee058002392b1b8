"""The keeper of Windows: a job object that ends all its processes when its last handle closes,
which the system does even for a lab that was killed.

A process is created suspended, put into the job, and only then resumed, so that nothing it starts
can be outside. Source: Microsoft, "Job Objects"; NtResumeProcess is what debuggers resume with.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import ctypes
    import subprocess
    from contextlib import suppress
    from ctypes import wintypes

    import psutil

    from pytest_winserve.errors import StartError

    CREATE_SUSPENDED = 0x4
    KILL_ON_JOB_CLOSE = 0x2000
    BASIC_PROCESS_ID_LIST, EXTENDED_LIMIT_INFORMATION = 3, 9
    MOST_PROCESSES = 4096
    EXIT_SECONDS = 0.5

    def is_console(process: psutil.Process) -> bool:
        """Whether it is the system's console of a program, which ends a moment after that."""
        with suppress(psutil.Error, OSError):
            words = process.cmdline()  # not the name, which Wine does not know
            return bool(words) and words[0].lower().endswith("\\conhost.exe")
        return False

    class _BasicLimits(ctypes.Structure):
        _fields_ = (
            ("per_process_user_time", ctypes.c_int64),
            ("per_job_user_time", ctypes.c_int64),
            ("flags", wintypes.DWORD),
            ("minimum_working_set", ctypes.c_size_t),
            ("maximum_working_set", ctypes.c_size_t),
            ("active_processes", wintypes.DWORD),
            ("affinity", ctypes.c_size_t),
            ("priority_class", wintypes.DWORD),
            ("scheduling_class", wintypes.DWORD),
        )

    class _ExtendedLimits(ctypes.Structure):
        _fields_ = (
            ("basic", _BasicLimits),
            ("io_counters", ctypes.c_uint64 * 6),
            ("process_memory", ctypes.c_size_t),
            ("job_memory", ctypes.c_size_t),
            ("peak_process_memory", ctypes.c_size_t),
            ("peak_job_memory", ctypes.c_size_t),
        )

    class _ProcessIds(ctypes.Structure):
        _fields_ = (
            ("assigned", wintypes.DWORD),
            ("listed", wintypes.DWORD),
            ("pids", ctypes.c_size_t * MOST_PROCESSES),
        )

    class JobKeeper:
        """Holds a job object for as long as it is not dismissed."""

        creation_flags = subprocess.CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED

        def __init__(self) -> None:
            self._kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            self._native = ctypes.WinDLL("ntdll")
            self._leaders: list[int] = []
            self._leader_of: dict[int, int | None] = {}
            self._kernel.CreateJobObjectW.restype = wintypes.HANDLE
            # Not inheritable: a copy of the handle in a child would keep the job alive.
            self._job = wintypes.HANDLE(self._kernel.CreateJobObjectW(None, None))
            limits = _ExtendedLimits()
            limits.basic.flags = KILL_ON_JOB_CLOSE
            self._check(
                self._kernel.SetInformationJobObject(
                    self._job,
                    EXTENDED_LIMIT_INFORMATION,
                    ctypes.byref(limits),
                    ctypes.sizeof(limits),
                ),
                "make a job object",
            )

        def adopt(self, process: subprocess.Popen[bytes]) -> None:
            handle = wintypes.HANDLE(int(process._handle))  # type: ignore[attr-defined]
            try:
                self._check(
                    self._kernel.AssignProcessToJobObject(self._job, handle),
                    f"put pid {process.pid} into the job object",
                )
            except StartError:
                process.kill()
                raise
            self._leaders.append(process.pid)
            self._native.NtResumeProcess(handle)

        def take_stock(self) -> None:
            return

        def families(self) -> dict[int, list[int]]:
            found: dict[int, list[int]] = {leader: [] for leader in self._leaders}
            for pid in self._pids():
                if pid not in self._leader_of:
                    self._leader_of[pid] = self._find_leader(pid)
                leader = self._leader_of[pid]
                if leader is not None:
                    found[leader].append(pid)
            return found

        def _find_leader(self, pid: int) -> int | None:
            """Which adopted process it descends from; None for a console, or when it is gone."""
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                line = [] if is_console(process) else [process, *process.parents()]
                return next((each.pid for each in line if each.pid in self._leaders), None)
            return None

        def members(self) -> list[psutil.Process]:
            found = []
            for pid in self._pids():
                try:
                    found.append(psutil.Process(pid))
                except psutil.NoSuchProcess:
                    continue
            # One that was ended is listed until the system has taken it apart.
            ours = [process for process in found if not is_console(process)]
            return psutil.wait_procs(ours, timeout=EXIT_SECONDS)[1]

        def _pids(self) -> list[int]:
            ids = _ProcessIds()
            self._check(
                self._kernel.QueryInformationJobObject(
                    self._job, BASIC_PROCESS_ID_LIST, ctypes.byref(ids), ctypes.sizeof(ids), None
                ),
                "list the job object's processes",
            )
            return list(ids.pids[: ids.listed])

        def dismiss(self) -> list[str]:
            self._kernel.CloseHandle(self._job)
            return []

        def _check(self, result: int, what: str) -> None:
            if not result:
                error = ctypes.get_last_error()
                raise StartError(f"cannot {what}: {ctypes.FormatError(error)} ({error})")
