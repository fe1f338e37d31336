"""Runs a command and measures its cost: seconds, CPU, memory."""

import os
import re
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

_POLL = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """The cost of one run. *seconds* are the wall clock's, start and end included."""

    seconds: float
    cpu: float
    """CPU seconds of the command, user and system."""
    memory: float | None
    """Peak memory in MiB; None if it is unknown."""
    out: str
    code: int = 0
    """The exit code."""
    sandbox_cpu: float = 0.0
    """CPU seconds of the sandbox during the run."""

    @property
    def peak(self) -> float:
        """Peak memory in MiB."""
        if self.memory is None:
            raise AssertionError("The program that measures is larger than what it measures: let it import less.")
        return self.memory


class CommandFailed(Exception):
    """A command failed."""


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    watch: Callable[[int], None] | None = None,
    *,
    may_fail: bool = False,
) -> Run:
    """Runs a command; *watch* is called repeatedly with its process number. Raises CommandFailed unless *may_fail*."""
    with TemporaryFile() as out, TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        status, usage = _end_of(process.pid, watch)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode and not may_fail:
            words = " ".join(map(str, command))
            raise CommandFailed(f"{words} ended with {process.returncode}\n{(out.read() + err.read()).decode()}")
        return Run(seconds, usage.ru_utime + usage.ru_stime, _peak(usage), out.read().decode(), process.returncode)


def _end_of(pid: int, watch: Callable[[int], None] | None) -> tuple[int, resource.struct_rusage]:
    """Waits for a child; returns its status and its resource usage."""
    while watch is not None:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage
        watch(pid)
        time.sleep(_POLL)
    _, status, usage = os.wait4(pid, 0)
    return status, usage


def _peak(usage: resource.struct_rusage) -> float | None:
    """MiB, or None: a child starts in its parent's memory, so a smaller peak than the parent's is not measured."""
    return usage.ru_maxrss / 1024 if usage.ru_maxrss > _own_peak() else None


def _own_peak() -> int:
    """KiB. getrusage would return at least the peak of this process's parent."""
    (line,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(line)


def alternate(rounds: int, *works: Callable[[], Run]) -> list[list[Run]]:
    """Runs the works alternately, A B A B …, so that other load of the machine affects all of them.

    Returns the runs of each.
    """
    turns = [[work() for work in works] for _ in range(rounds)]
    return [list(runs) for runs in zip(*turns, strict=True)]
