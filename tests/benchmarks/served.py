"""A sandbox in a process of its own, so that its work is not measured."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from customer_sync.sandbox import Sandbox

P = ParamSpec("P")
T = TypeVar("T")


class Served:
    """A sandbox with a home directory for the measured program. A context manager that removes both."""

    def __init__(self, behaviour: Mapping[str, Any] | None = None, *, on_disk: bool = False) -> None:
        """*behaviour* has the services' settings; *on_disk* stores the sandbox's data in a file instead of memory."""
        self._home = TemporaryDirectory()
        self._ours, self._theirs = multiprocessing.Pipe()
        data = self.home / "sandbox.db" if on_disk else None
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_serve, args=(self._theirs, data, behaviour or {}), daemon=True)

    @property
    def home(self) -> Path:
        """A directory for the files of this sandbox."""
        return Path(self._home.name)

    def do(self, work: "Callable[Concatenate[Sandbox, P], T]", *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function in the sandbox's process and returns its result."""
        self._ours.send((work, args, kwargs))
        result: T = self._ours.recv()
        return result

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()  # Otherwise a failure of that process would stay unnoticed.
        self.environment: dict[str, str] = self._ours.recv()
        """The variables that make a program use this sandbox."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()
        self._home.cleanup()


def _serve(pipe: Connection, data: Path | None, behaviour: Mapping[str, Any]) -> None:
    """Runs a sandbox and the functions that arrive through the pipe."""
    # Imported here only: the measuring process must stay small.
    from customer_sync.sandbox import Behaviour, Sandbox

    with Sandbox(pages=0, data=data, behaviour=Behaviour(**behaviour)) as sandbox:
        pipe.send(sandbox.whole_environment)
        while True:
            work, args, kwargs = pipe.recv()
            pipe.send(work(sandbox, *args, **kwargs))


def cpu(_sandbox: "Sandbox") -> float:
    """CPU seconds of the sandbox."""
    return time.process_time()
