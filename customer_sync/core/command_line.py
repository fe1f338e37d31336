"""Commands as messages propose them: they run as pasted, whatever a page is called."""

import shlex
import shutil
import sys
from pathlib import Path

NAME = "customer-sync"
_program = [NAME]
_common: list[str] = []


def command(*words: str) -> str:
    """The command line of `customer-sync` with these words, and those that every command of this process needs."""
    return " ".join(map(quoted, (*_program, *words, *_common)))


def name_program() -> None:
    """Every command that this process proposes begins with a name that `PATH` finds, or else with an absolute path."""
    path = own_path()
    found = shutil.which(NAME)
    if not path.exists():
        _program[:] = [sys.executable, "-m", "customer_sync"]
    elif not (found and path.samefile(found)):
        _program[:] = [str(path)]


def own_path() -> Path:
    """The command that runs now, or the one beside the interpreter, which may not exist."""
    called = Path(sys.argv[0])
    return (called if called.name == NAME else Path(sys.executable).with_name(NAME)).absolute()


def add_to_commands(*words: str) -> None:
    """Every command that this process proposes needs these words, such as `--env-file FILE`."""
    _common[:] = words


def quoted(word: str) -> str:
    """One word of a command line. Control characters are escaped as bash and zsh read them."""
    return shlex.quote(word) if word.isprintable() else f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return f"\\U{ord(character):08x}"
