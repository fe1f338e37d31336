"""docs/troubleshooting.md: every message in it is provoked, with its exit code."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sandbox.folkform import TOKEN, Access, Role

from .conftest import DAY, Command, Outcome, StartSandbox, only_page, people, person, refuse
from .proxy import Passing, Proxy
from .surroundings import Relay, make_certificate, served

_DOCUMENT = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """One row of the tables."""

    message: str
    code: int
    cause: str
    what_to_do: str

    @property
    def pattern(self) -> str:
        """The message as a pattern; its ellipsis matches anything within a line."""
        return ".+".join(re.escape(part.strip()) for part in self.message.split("…"))


def _rows() -> Iterator[Row]:
    for line in _DOCUMENT.partition("\n## Messages\n")[2].splitlines():
        if line.startswith("| `"):
            message, code, cause, what_to_do = (cell.strip() for cell in line.strip("|").split(" | "))
            yield Row(message.strip("`"), int(code), cause, what_to_do)


ROWS = list(_rows())
LIST = "/page_customers"


@dataclass
class Scene:
    """The environment of a provocation."""

    sandbox: StartSandbox
    run: Command
    in_between: Callable[[Sandbox], Proxy]
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


def _no_file(scene: Scene) -> Outcome:
    return scene.run(scene.sandbox(), "incremental", "--env-file", str(scene.home / "nothing.env"))


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
    """An address that accepts connections and never answers, or one that refuses them."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if listens:
            holder.listen(64)
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/api/v1"


def _refused_connection(scene: Scene) -> Outcome:
    with _address(listens=False) as address:
        return scene.run(scene.sandbox(), "incremental", FOLKFORM_BASE_URL=address)


def _no_answer(scene: Scene) -> Outcome:
    with _address(listens=True) as address:
        return scene.run(scene.sandbox(), "incremental", FOLKFORM_BASE_URL=address, CUSTOMER_SYNC_TIMEOUT="0.2")


def _locked(scene: Scene) -> Outcome:
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
    box.pancake.add_customer(only_page(box), person("forgotten", 900))
    return scene.run(box, "verify")


def _counts(scene: Scene) -> Outcome:
    box = scene.sandbox(customers=3)
    box.folkform.upsert(person("merged", 90, page_id=only_page(box)))
    return scene.run(box, "backfill")


def _nothing_on(scene: Scene) -> Outcome:
    box = scene.sandbox()
    box.folkform.set_page(only_page(box), isSync=False)
    return scene.run(box, "incremental")


def _clocks(seconds: float, folkform: float) -> Provocation:
    """A Pancake whose Date is so far ahead, and a FolkForm with its own."""

    def provoke(scene: Scene) -> Outcome:
        box = scene.sandbox(customers=3)
        proxy = scene.in_between(box)
        proxy.date = time.time() + seconds
        proxy.folkform_date = time.time() + folkform
        return scene.run(None, "incremental", **proxy.whole_environment)

    return provoke


def _refusing(*runs: str, **behaviour: Any) -> Provocation:
    """A Pancake that refuses the page with every token; the outcome is that of the last of the *runs*."""

    def provoke(scene: Scene) -> Outcome:
        box = scene.sandbox(customers=3, **behaviour)
        box.faults.add(Fault("error_code", service="pancake", endpoint=LIST, error_code=107, times=None))
        return [scene.run(box, one) for one in runs][-1]

    return provoke


def _renewed_by_another(scene: Scene) -> Outcome:
    box = scene.sandbox(customers=60)
    proxy = scene.in_between(box)
    stored = (box.folkform.page(only_page(box)) or {})["pageAccessToken"]

    def after(passing: Passing) -> None:
        if passing.path.endswith(LIST):  # Made by another program, and not stored in FolkForm.
            box.pancake.make_page_token(only_page(box))
            box.folkform.set_page(only_page(box), pageAccessToken=stored)

    proxy.after = after
    return scene.run(None, "backfill", CUSTOMER_SYNC_PAGE_SIZE="2", **proxy.whole_environment)


def _not_the_api(scene: Scene) -> Outcome:
    box = scene.sandbox()
    return scene.run(box, "incremental", FOLKFORM_BASE_URL=f"{box.url}/folkform")


def _with_fault(fault: Fault) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        box = scene.sandbox(customers=3)
        box.faults.add(fault)
        return scene.run(box, "incremental")

    return provoke


def _listing(customers: Callable[[int], list[dict[str, Any]]]) -> Provocation:
    """A Pancake that lists these customers of a page number."""

    def provoke(scene: Scene) -> Outcome:
        proxy = scene.in_between(scene.sandbox())

        def before(passing: Passing) -> bytes | None:
            if not passing.path.endswith(LIST):
                return None
            listed = customers(int(passing.query["page_number"]))
            return json.dumps({"success": True, "customers": listed, "total": 900}).encode()

        proxy.before = before
        return scene.run(None, "incremental", **proxy.whole_environment)

    return provoke


def _alike(scene: Scene) -> Outcome:
    """Every answer is the first one."""
    rows = people(100, 60, 0)
    return _listing(lambda _: rows)(scene)


def _vanishing(scene: Scene) -> Outcome:
    """Each answer lists other customers, whatever is asked for."""
    numbers = count()
    return _listing(lambda _: people(100, 60 + 7000 * next(numbers), 60, f"{next(numbers)}-"))(scene)


def _ignoring(what: str) -> Provocation:
    """A FolkForm that ignores the page that is asked for."""

    def provoke(scene: Scene) -> Outcome:
        box = scene.sandbox(pages=2, ignores_page_id=what)
        first, second = box.pancake.page_ids()
        box.folkform.upsert(person("first", 90, page_id=first))
        box.folkform.set_page(second, pageAccessToken="a-page-token-that-is-wrong")
        return scene.run(box, "incremental", "--page", second)

    return provoke


def _forgetting(scene: Scene) -> Outcome:
    """FolkForm accepts every customer, and keeps none."""
    box = scene.sandbox()
    box.pancake.add_customers(only_page(box), people(1500, 40 * DAY, 60))
    proxy = scene.in_between(box)
    stored = b'{"code": 200, "message": "ok", "status": "success", "data": {}}'
    proxy.before = lambda passing: stored if passing.upserts else None
    return scene.run(None, "backfill", **proxy.whole_environment)


def _no_https(scene: Scene) -> Outcome:
    box = scene.sandbox()
    return scene.run(box, "incremental", FOLKFORM_BASE_URL=f"https{box.url.removeprefix('http')}/api/v1")


def _second_record(scene: Scene) -> Outcome:
    box = scene.sandbox()
    box.pancake.add_customers(only_page(box), [person("twice", 90), {**person("twice", 900), "id": "older"}])
    return scene.run(box, "incremental")


PROVOCATIONS: dict[str, Provocation] = {
    "customer-sync: … not found": _not_found,
    "is missing: set": _no_setting,
    "--env-file … cannot be read": _no_file,
    "page … not found in FolkForm": _unknown_page,
    "CUSTOMER_SYNC_LOCK_DIR … cannot be used": _lock_directory,
    "This machine's clock is": _clocks(7200, 7200),
    "is locked by another run": _locked,
    "The time limit (--max-runtime) was reached": _too_slow,
    "FolkForm answered 401": _bearer_token,
    "FOLKFORM_ROLE_ID is not set": _role,
    "and there is no user token to make one": _page_token,
    "and the user token that should make a new one": _user_token,
    "and it is the present one, so that a new one would not help": _refusing("incremental", shows_page_tokens=True),
    "and the new one, too": _refusing("incremental"),
    "and refused a new one, too, in an earlier run": _refusing("incremental", "incremental"),
    "new ones were renewed by another program": _renewed_by_another,
    "refused the connection at": _refused_connection,
    "did not answer within": _no_answer,
    "is not an HTTPS server at": _no_https,
    "cannot be trusted at": _certificate,
    "answered 404": _not_the_api,
    "with a web page, not JSON": _with_fault(Fault("html", service="folkform", status=200, times=None)),
    "sent an answer larger than 2 MiB, or of too many values": _with_fault(
        Fault("huge", service="pancake", times=None)
    ),
    "Pancake's clock (the Date of its answers) is": _clocks(7200, 0),
    "did not list the newest customers first": _listing(lambda _: people(5, 600, -60)),
    "answers every page_number alike": _alike,
    "no longer lists a customer that it listed before": _vanishing,
    "listed customers of page … for page": _listing(lambda _: [person("stray", 90, page_id="another")]),
    "ignores the filter pageId": _ignoring("customers"),
    "returned the record of page … for page": _ignoring("records"),
    "all of them malformed": _listing(
        lambda number: [person(f"{number}-{n}", 90) | {"updated_at": None} for n in range(60 if number == 1 else 0)]
    ),
    "its oldest ones are still the same": _forgetting,
    "psid … failed:": _refused,
    "malformed: id is missing": _malformed,
    "Pancake has a newer record of this psid": _second_record,
    "missing in FolkForm": _missing,
    "Pancake counts … customers, FolkForm": _counts,
    "no page switched on (isSync)": _nothing_on,
}


def test_every_row_is_provoked() -> None:
    """Every row has a provocation, and every provocation a row."""
    assert [row.message for row in ROWS] == list(PROVOCATIONS)
    assert all(row.cause and row.what_to_do for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.message)
def test_a_trouble(
    row: Row, sandbox: StartSandbox, run: Command, in_between: Callable[[Sandbox], Proxy], tmp_path: Path
) -> None:
    """The situation ends with the exit code and the message of its row."""
    outcome = PROVOCATIONS[row.message](Scene(sandbox, run, in_between, tmp_path))
    assert outcome.code == row.code, outcome.output
    assert re.search(row.pattern, outcome.err), outcome.output
    assert "Traceback" not in outcome.output
