"""Records `demo`, `status` and `verify` as a terminal of 110 columns shows them: docs/recording.txt, or a file named.

`python -m tests.record [FILE]` runs the installed command on a sandbox of its own. The times in it are those of the
run, so no two recordings are the same.
"""

import os
import pty
import sys
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Thread

from customer_sync.sandbox import Sandbox

from .conftest import COMMAND, Command, change_lately, fill_folkform, person, without_colours

RECORDING = Path(__file__).parent.parent / "docs" / "recording.txt"
_COLUMNS = 110
_TIMEOUT = 120.0
_CUSTOMERS, _CHANGED, _FORGOTTEN = 300, 12, 2


class Recorder:
    """Runs commands, and keeps the command lines and their output."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._kept: list[str] = []

    @property
    def text(self) -> str:
        """The whole recording."""
        lines = "\n\n".join(self._kept).splitlines()
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def remark(self, text: str) -> None:
        self._kept.append(f"# {text}")

    def show(self, *arguments: str, code: int = 0, with_log: bool = True) -> None:
        """Runs the command, which must end with *code*: stderr as plain lines, stdout as on a terminal."""
        ours, theirs = pty.openpty()
        shown: list[bytes] = []
        with TemporaryFile() as log:
            process = Popen([COMMAND, *arguments], env=self._environment, stdin=DEVNULL, stdout=theirs, stderr=log)
            os.close(theirs)
            reader = Thread(target=_read_to_the_end, args=(ours, shown))
            reader.start()
            ended = process.wait(_TIMEOUT)
            reader.join()
            os.close(ours)
            log.seek(0)
            logged = log.read().decode() if with_log else ""
        output = logged + without_colours(b"".join(shown).decode()).replace("\r\n", "\n")
        if ended != code:
            raise SystemExit(f"customer-sync {' '.join(arguments)} ended with {ended}, not {code}:\n{output}")
        self._kept.append(f"$ customer-sync {' '.join(arguments)}\n{output.rstrip()}")


def _read_to_the_end(terminal: int, shown: list[bytes]) -> None:
    try:
        while chunk := os.read(terminal, 65536):
            shown.append(chunk)
    except OSError:  # how Linux reports that the other end is closed
        pass


def record(home: Path, customers: int = _CUSTOMERS) -> str:
    """The whole recording; lock files go into *home*."""
    with Sandbox(pages=4, customers=customers, time_formats="mixed") as box:
        pace = {"CUSTOMER_SYNC_PANCAKE_RPS": "5"}
        terminal = {"TERM": "xterm-256color", "COLUMNS": str(_COLUMNS), "LINES": "40"}
        recorder = Recorder(Command(home).environment(box, **pace, **terminal))
        recorder.remark("Made by `make record`. First the demo, on its own sandbox.")
        recorder.show("demo", with_log=False)

        *_, has_problems, off = box.pancake.page_ids()
        fill_folkform(box)
        box.folkform.set_page(off, isSync=False)
        change_lately(box, _CHANGED)
        for number in range(_FORGOTTEN):
            forgotten = person(f"forgotten-{number}", 86_400.0 * (number + 40))
            box.pancake.add_customer(has_problems, forgotten)
        recorder.remark(
            f"Another sandbox: one page is off, {_CHANGED} customers changed, {_FORGOTTEN} were never copied."
        )
        recorder.show("status")
        recorder.show("incremental")
        recorder.show("verify", code=1)
        recorder.remark("The command that verify prints:")
        recorder.show("backfill", "--page", has_problems)
        recorder.show("verify")
        return recorder.text


def main(words: list[str]) -> int:
    """Writes the recording."""
    target = Path(words[0]) if words else RECORDING
    with TemporaryDirectory() as home:
        target.write_text(record(Path(home)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
