"""Commands as messages propose them: they run as pasted, whatever a page is called."""

import shlex

_NAME = "customer-sync"
_common: list[str] = []


def command(*words: str) -> str:
    """The command line of `customer-sync` with these words, and those that every command of this process needs."""
    return " ".join([_NAME, *map(quoted, (*words, *_common))])


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
