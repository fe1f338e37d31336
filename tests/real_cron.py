"""A real cron runs crontab.example on the sandbox: `make test-cron`; it takes up to two minutes, so not in `make test`.

Cron gets its own namespace: its spool has this crontab only, and it does not see the machine's jobs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from customer_sync.core.clock import local_time

from .conftest import COMMAND, Command, StartSandbox, only_page, people, wait_until, writes

CRONTAB = (Path(__file__).parent.parent / "crontab.example").read_text(encoding="utf-8")
# A minute until cron wakes, and the entry's --jitter.
_TIMEOUT = 120.0
_ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
_START = """
mount --bind "$1" /var/spool/cron/crontabs && mount --bind /dev/null /etc/crontab && mount -t tmpfs none /etc/cron.d &&
mount -t tmpfs none /run && exec cron -f
"""


def _crontab(settings: Path, output: Path) -> str:
    """crontab.example with the first entry every minute, our command and settings, and *output* instead of a mail."""
    changes = {
        r"^\*/5 (.*) /etc/customer-sync.env": rf"* \1 {settings} >>{output} 2>&1",
        r"^PATH=": f"PATH={COMMAND.parent}:",
        r"^MAILTO=.*": 'MAILTO=""',
    }
    text = CRONTAB
    for pattern, replacement in changes.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count == 1, pattern
    return text


@contextmanager
def _cron(spool: Path) -> Iterator[None]:
    """A cron of our own; it is killed with everything that it has started."""
    with subprocess.Popen([*_ALONE, "/bin/sh", "-c", _START, "sh", spool]) as cron:
        try:
            yield
        finally:
            cron.kill()


@pytest.fixture(scope="module", autouse=True)
def _needs_cron() -> None:
    if os.getuid() != 0 or shutil.which("cron") is None:
        pytest.skip("skipped: this test needs root and Debian's cron (apt-get install cron)")
    tried = subprocess.run([*_ALONE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"skipped: this machine permits no namespaces ({tried.stderr.strip()})")


def test_cron_syncs(sandbox: StartSandbox, run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Cron runs the pass of crontab.example, which finds its settings, copies every customer, and sends no mail."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(100, 60, 600))
    spool, settings, output = (run.home / name for name in ("spool", "customer-sync.env", "output"))
    spool.mkdir()
    (spool / "root").write_text(_crontab(settings, output))
    environment = {name: value for name, value in run.environment(box).items() if name != "PATH"}
    settings.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()))
    for file in (spool / "root", settings):
        file.chmod(0o600)
    with _cron(spool):
        wait_until(lambda: writes(box) == 100, _TIMEOUT)
        wait_until(lambda: box.difference().equal)
    assert output.read_text() == ""
    lock = json.loads((run.lock_dir / f"incremental-{only_page(box)}.lock").read_text())
    with capsys.disabled():
        sys.stdout.write(f"\ncron ran customer-sync {lock['command']} at {local_time(lock['since'])}: 100 upserted\n")
