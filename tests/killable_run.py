"""A run of the installed command that a test kills with SIGKILL."""

import subprocess
import threading

from .conftest import Command, Outcome
from .proxy import PATIENCE, Lost, Proxy


class KillableRun:
    """A run of the installed command that a test kills at a chosen request."""

    def __init__(self, run: Command, proxy: Proxy, *arguments: str) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._started = threading.Event()
        self._run = run
        self._proxy = proxy
        self._arguments = arguments

    def start(self) -> None:
        self._process = self._run.start(None, *self._arguments, **self._proxy.whole_environment)
        self._started.set()

    def die(self) -> None:
        """Sends SIGKILL; the request in progress never arrives."""
        assert self._started.wait(PATIENCE)
        assert self._process
        self._process.kill()
        self._process.wait(PATIENCE)
        raise Lost

    def end(self) -> int:
        """Waits for its end and returns the exit code."""
        return self.ended().code

    def ended(self) -> Outcome:
        """Waits for its end and returns the outcome."""
        assert self._process
        return self._run.end(self._process)
