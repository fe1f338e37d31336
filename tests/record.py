"""Records what the commands print, and puts it into the documents.

`python -m tests.record [DIRECTORY]` runs the installed command on sandboxes of its own. It writes `recording.txt`, and
`recording.svg` (the demo) into docs/, or into the directory named, and the output of each command into the block of
docs/*.md that follows its `<!-- recorded: COMMAND -->`. The times are those of the run: no two recordings are the same.
"""

import io
import os
import pty
import re
import shutil
import sys
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Thread

from rich.console import Console
from rich.text import Text

from customer_sync.sandbox import Sandbox

from .conftest import COMMAND, Command, change_lately, fill_folkform, person, without_colours

DOCS = Path(__file__).parent.parent / "docs"
_COLUMNS = 120
_TIMEOUT = 120.0
# In place of the temporary directory.
_HOME = "/var/lib/customer-sync"
_CUSTOMERS, _CHANGED, _FORGOTTEN = 300, 12, 2
_BLOCK = re.compile(r"(<!-- recorded: (.+) -->\n```text\n)(?:.*\n)*?(```)")
_FONT = re.compile(r"^ *@font-face \{.*?\}\n", re.DOTALL | re.MULTILINE)


class Recorder:
    """Runs commands, and keeps the command lines and their output."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._kept: list[str] = []
        self.blocks: dict[str, str] = {}
        """The last output of each command, by the name that documents call it by."""

    @property
    def text(self) -> str:
        """The whole recording."""
        return _trimmed("\n\n".join(self._kept)) + "\n"

    def remark(self, text: str) -> None:
        self._kept.append(f"# {text}")

    def show(self, *arguments: str, name: str = "", code: int = 0, terminal: bool = True, log: bool = True) -> str:
        """Runs the command, which must end with *code*: stderr as plain lines, stdout as on a *terminal* or in a pipe.

        Returns what stdout showed, with its colours.
        """
        ours, theirs = pty.openpty() if terminal else os.pipe()
        shown: list[bytes] = []
        with TemporaryFile() as file:
            process = Popen([COMMAND, *arguments], env=self._environment, stdin=DEVNULL, stdout=theirs, stderr=file)
            os.close(theirs)
            reader = Thread(target=_read_to_the_end, args=(ours, shown))
            reader.start()
            ended = process.wait(_TIMEOUT)
            reader.join()
            os.close(ours)
            file.seek(0)
            logged = file.read().decode() if log else ""
        screen = b"".join(shown).decode().replace("\r\n", "\n").replace(self._environment["HOME"], _HOME)
        output = logged + without_colours(screen)
        if ended != code:
            raise SystemExit(f"customer-sync {' '.join(arguments)} ended with {ended}, not {code}:\n{output}")
        self._kept.append(f"$ customer-sync {' '.join(arguments)}\n{output.rstrip()}")
        if name:
            self.blocks[name] = _trimmed(self._kept[-1])
        return screen


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())


def _read_to_the_end(terminal: int, shown: list[bytes]) -> None:
    try:
        while chunk := os.read(terminal, 65536):
            shown.append(chunk)
    except OSError:  # how Linux reports that the other end is closed
        pass


def record(home: Path, docs: Path, customers: int = _CUSTOMERS) -> None:
    """Writes the recording into *docs*; lock files go into *home*."""
    with Sandbox(pages=4, customers=customers, time_formats="mixed") as box:
        pace = {"CUSTOMER_SYNC_PANCAKE_RPS": "5"}
        terminal = {"TERM": "xterm-256color", "COLUMNS": str(_COLUMNS), "LINES": "40"}
        recorder = Recorder(Command(home).environment(box, **pace, **terminal))
        recorder.remark("Made by `make record`. First the demo, on its own sandbox.")
        (docs / "recording.svg").write_text(_svg(recorder.show("demo", log=False)), encoding="utf-8")

        page_id, *_, has_problems, off = box.pancake.page_ids()
        fill_folkform(box)
        box.folkform.set_page(off, isSync=False)
        change_lately(box, _CHANGED)
        for number in range(_FORGOTTEN):
            forgotten = person(f"forgotten-{number}", 86_400.0 * (number + 40))
            box.pancake.add_customer(has_problems, forgotten)
        recorder.remark(
            f"Another sandbox: one page is off, {_CHANGED} customers changed, {_FORGOTTEN} were never copied."
        )
        recorder.show("status", name="status")
        recorder.remark("Without a terminal:")
        recorder.show("explain", "forgotten-0", "--page", has_problems, name="explain", code=1, terminal=False)
        recorder.show("incremental", name="incremental", terminal=False)
        recorder.show("verify", name="verify", code=1, terminal=False)
        recorder.remark("The command that verify prints:")
        recorder.show("backfill", "--page", has_problems, name="backfill --page", terminal=False)
        recorder.show("verify", terminal=False)
        recorder.remark("A page token was made invalid:")
        box.tokens.kill("page", page_id, after=0)
        recorder.show("check", name="check")
    (docs / "recording.txt").write_text(recorder.text, encoding="utf-8")
    for document in docs.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        new = _BLOCK.sub(lambda found: f"{found[1]}{recorder.blocks[found[2]]}\n{found[3]}", text)
        document.write_text(new, encoding="utf-8")


def _svg(shown: str) -> str:
    """What a terminal *shows* as a picture, which loads no font from elsewhere."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ customer-sync demo\n"), Text.from_ansi(shown.rstrip()), sep="")
    return _FONT.sub("", console.export_svg(title="customer-sync demo", unique_id="demo"))


def main(words: list[str]) -> int:
    """Writes the recording."""
    docs = DOCS
    if words:
        docs = Path(words[0])
        shutil.copytree(DOCS, docs, dirs_exist_ok=True)
    with TemporaryDirectory() as home:
        record(Path(home), docs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
