"""A real Pushgateway: the groups of shards, and the command that deletes those of a former number."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.conftest import Command, StartSandbox, wait_until

GATEWAY = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")


@contextmanager
def _gateway() -> Iterator[str]:
    """The address of a gateway."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert GATEWAY
    arguments = [f"--web.listen-address={address}", "--persistence.file="]
    process = subprocess.Popen([GATEWAY, *arguments], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(address))
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _shards(gateway: str) -> set[str]:
    text = requests.get(f"{gateway}/metrics", timeout=10).text
    return set(re.findall(r'customer_sync_shards\{.*shard="(.*?)"', text))


@pytest.mark.skipif(GATEWAY is None, reason="no Pushgateway (Debian: apt-get install prometheus-pushgateway)")
def test_groups_of_shards(sandbox: StartSandbox, run: Command) -> None:
    """Each shard has its group; a plain path, without base64, deletes one."""
    box = sandbox(pages=4, customers=2)
    with _gateway() as gateway:
        for shard in ("0/2", "1/2", "0/3"):
            outcome = run(box, "incremental", "--shard", shard, CUSTOMER_SYNC_PUSHGATEWAY=gateway)
            assert (outcome.code, "metrics cannot" in outcome.err) == (0, False)
        assert _shards(gateway) == {"0-of-2", "1-of-2", "0-of-3"}
        for index in (0, 1):
            group = f"{gateway}/metrics/job/customer-sync/pass/incremental/shard/{index}-of-2"
            assert requests.delete(group, timeout=10).status_code == 202
        assert _shards(gateway) == {"0-of-3"}
