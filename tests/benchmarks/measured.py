"""Runs a command to its end and tells what it cost: seconds, CPU, memory."""

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
    """What one run of a command cost. *seconds* are the wall clock's, its start and end included."""

    seconds: float
    cpu: float
    """CPU seconds of the command, in the kernel and outside."""
    memory: float | None
    """MiB it held at most; None where that cannot be told."""
    out: str
    sandbox_cpu: float = 0.0
    """CPU seconds that the sandbox used meanwhile."""

    @property
    def peak(self) -> float:
        """MiB it held at most."""
        if self.memory is None:
            raise AssertionError("The program that measures is larger than what it measures: let it import less.")
        return self.memory


class CommandFailed(Exception):
    """A command ended with something else than 0."""


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], watch: Callable[[int], None] | None = None
) -> Run:
    """Runs a command; *watch* is told its process number again and again while it runs."""
    with TemporaryFile() as out, TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        status, usage = _end_of(process.pid, watch)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            words = " ".join(map(str, command))
            raise CommandFailed(f"{words} ended with {process.returncode}\n{(out.read() + err.read()).decode()}")
        return Run(seconds, usage.ru_utime + usage.ru_stime, _peak(usage), out.read().decode())


def _end_of(pid: int, watch: Callable[[int], None] | None) -> tuple[int, resource.struct_rusage]:
    """Waits for a child; returns its status and what it used."""
    while watch is not None:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage
        watch(pid)
        time.sleep(_POLL)
    _, status, usage = os.wait4(pid, 0)
    return status, usage


def _peak(usage: resource.struct_rusage) -> float | None:
    """MiB. A child starts in its parent's memory, so the system tells at least the parent's own peak as its: None."""
    return usage.ru_maxrss / 1024 if usage.ru_maxrss > _own_peak() else None


def _own_peak() -> int:
    """KiB. Not from getrusage, which would tell our own parent's in the same way."""
    (line,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(line)


def alternate(rounds: int, *works: Callable[[], Run]) -> list[list[Run]]:
    """Does the works in turn, A B A B …, so that whatever else the machine does meets all alike.

    Returns the runs of each.
    """
    turns = [[work() for work in works] for _ in range(rounds)]
    return [list(runs) for runs in zip(*turns, strict=True)]
