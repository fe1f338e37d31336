"""README's table "When something is wrong": every message in it is provoked for real, and ends with its exit code."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.sandbox.folkform import TOKEN, Access, Role

from .conftest import Command, Outcome, StartSandbox, only_page, person, refuse
from .surroundings import Relay, make_certificate, served

_README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    message: str
    code: int
    cause: str
    what_to_do: str

    @property
    def pattern(self) -> str:
        """The message as it is looked for; its ellipsis stands for anything within a line."""
        return ".+".join(re.escape(part.strip()) for part in self.message.split("…"))


def _rows() -> Iterator[Row]:
    section = _README.partition("\n## When something is wrong\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            message, code, cause, what_to_do = (cell.strip() for cell in line.strip("|").split(" | "))
            yield Row(message.strip("`"), int(code), cause, what_to_do)


ROWS = list(_rows())


@dataclass
class Scene:
    """What a provocation works with."""

    sandbox: StartSandbox
    run: Command
    home: Path


Provocation = Callable[[Scene], Outcome]


def _not_found(scene: Scene) -> Outcome:
    ended = subprocess.run(
        ["/bin/sh", "-c", "customer-sync incremental -q"],
        env={"PATH": "/nowhere", "HOME": str(scene.home), "LANG": "C"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def _no_setting(scene: Scene) -> Outcome:
    return scene.run(scene.sandbox(), "incremental", FOLKFORM_BASE_URL="")


def _unknown_page(scene: Scene) -> Outcome:
    return scene.run(scene.sandbox(), "backfill", "--page", "1234")


def _lock_directory(scene: Scene) -> Outcome:
    file = scene.home / "a-file"
    file.touch()
    return scene.run(scene.sandbox(), "incremental", CUSTOMER_SYNC_LOCK_DIR=str(file / "locks"))


def _bearer_token(scene: Scene) -> Outcome:
    return scene.run(scene.sandbox(), "incremental", FOLKFORM_TOKEN="a-token-that-is-wrong")


def _role(scene: Scene) -> Outcome:
    box = scene.sandbox()
    box.folkform.tokens[TOKEN] = Access(roles=(Role(), Role("65f0c0ffee0000000000bee2", "Reader")))
    return scene.run(box, "incremental", FOLKFORM_ROLE_ID="")


def _certificate(scene: Scene) -> Outcome:
    box = scene.sandbox()
    with served(Relay, urlsplit(box.url).netloc, [], make_certificate(scene.home)) as place:
        return scene.run(box, "incremental", FOLKFORM_BASE_URL=f"https://{place}/folkform/api/v1")


def _page_token(scene: Scene) -> Outcome:
    box = scene.sandbox()
    box.folkform.set_page(only_page(box), pageAccessToken="a-page-token-that-is-wrong", accessToken="")
    return scene.run(box, "incremental")


def _user_token(scene: Scene) -> Outcome:
    box = scene.sandbox()
    box.folkform.set_page(only_page(box), pageAccessToken="a-page-token-that-is-wrong", accessToken="a-dead-user-token")
    return scene.run(box, "incremental")


@contextmanager
def _address(*, listens: bool) -> Iterator[str]:
    """An address that takes connections and never answers, or one where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if listens:
            holder.listen(64)
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/api/v1"


def _nobody_listens(scene: Scene) -> Outcome:
    with _address(listens=False) as address:
        return scene.run(scene.sandbox(), "incremental", FOLKFORM_BASE_URL=address)


def _nobody_answers(scene: Scene) -> Outcome:
    with _address(listens=True) as address:
        return scene.run(scene.sandbox(), "incremental", FOLKFORM_BASE_URL=address, CUSTOMER_SYNC_TIMEOUT="0.2")


def _busy(scene: Scene) -> Outcome:
    box = scene.sandbox()
    with PageLocks(scene.run.lock_dir, Clock(), "incremental").held("incremental", only_page(box)):
        return scene.run(box, "incremental")


def _too_slow(scene: Scene) -> Outcome:
    return scene.run(scene.sandbox(customers=5, folkform_latency=1.5), "incremental", "--max-runtime", "1")


def _refused(scene: Scene) -> Outcome:
    box = scene.sandbox(customers=3)
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    return scene.run(box, "incremental")


def _malformed(scene: Scene) -> Outcome:
    box = scene.sandbox(customers=3)
    box.pancake.add_customer(only_page(box), {**person("malformed", 90), "id": None})
    return scene.run(box, "incremental")


def _missing(scene: Scene) -> Outcome:
    box = scene.sandbox(customers=3)
    assert scene.run(box, "backfill").code == 0
    box.pancake.add_customer(only_page(box), person("forgotten", 90))
    return scene.run(box, "verify")


def _counts(scene: Scene) -> Outcome:
    box = scene.sandbox(customers=3)
    box.folkform.upsert(person("merged", 90, page_id=only_page(box)))
    return scene.run(box, "backfill")


def _nothing_on(scene: Scene) -> Outcome:
    box = scene.sandbox()
    box.folkform.set_page(only_page(box), isSync=False)
    return scene.run(box, "incremental")


PROVOCATIONS: dict[str, Provocation] = {
    "customer-sync: … not found": _not_found,
    "is missing: set": _no_setting,
    "page … not found in FolkForm": _unknown_page,
    "CUSTOMER_SYNC_LOCK_DIR … cannot be used": _lock_directory,
    "FOLKFORM_ROLE_ID is not set": _role,
    "FolkForm answered 401": _bearer_token,
    "cannot be trusted at": _certificate,
    "and there is no user token to make one": _page_token,
    "and the user token that should make a new one": _user_token,
    "refused the connection at": _nobody_listens,
    "did not answer within": _nobody_answers,
    "is locked by another run": _busy,
    "The time limit (--max-runtime) was reached": _too_slow,
    "psid … failed:": _refused,
    "malformed: id is missing": _malformed,
    "missing in FolkForm": _missing,
    "Pancake counts … customers, FolkForm": _counts,
    "no page switched on (isSync)": _nothing_on,
}


def test_every_row_is_provoked() -> None:
    """No row is without a provocation, and none is provoked that is not told."""
    assert [row.message for row in ROWS] == list(PROVOCATIONS)
    assert all(row.cause and row.what_to_do for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.message)
def test_a_trouble(row: Row, sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """The situation ends with the exit code of its row, and says the message of its row."""
    outcome = PROVOCATIONS[row.message](Scene(sandbox, run, tmp_path))
    assert outcome.code == row.code, outcome.output
    assert re.search(row.pattern, outcome.err), outcome.output
    assert "Traceback" not in outcome.output
