"""The sandbox as a server: data, threads, stop."""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from customer_sync.sandbox import Sandbox

from .services import Services

SERVE = """
import signal
from customer_sync.sandbox import serve
signal.signal(signal.SIGINT, signal.default_int_handler)  # The parent process may ignore it.
serve(port=0, pages=2, customers=5, seed=1, data=None, ready=lambda sandbox: print(sandbox.url, flush=True))
"""


def test_data_survives_a_restart(tmp_path: Path) -> None:
    """A file with data is reused: no samples are added; customers, documents and tokens stay."""
    data = tmp_path / "sandbox.db"
    with Sandbox(pages=1, customers=20, data=data) as first:
        services = Services(first)
        services.has(services.customer("7", thread_id=2**70))
        services.upsert(services.customer("7"))
        pages = [(page_id, first.pancake.customers(page_id)) for page_id in first.pancake.page_ids()]
        documents, records = first.folkform.documents(services.page_id), first.folkform.pages()
    with Sandbox(pages=3, customers=5, seed=9, data=data) as second:
        assert [(page_id, second.pancake.customers(page_id)) for page_id in second.pancake.page_ids()] == pages
        assert second.folkform.documents(services.page_id) == documents
        assert second.folkform.pages() == records
        assert second.pancake.page_token(services.page_id) == records[-1]["pageAccessToken"]


def test_can_be_stopped_and_started_again() -> None:
    """A stopped sandbox refuses connections; started again it has the same address and data."""
    with Sandbox(pages=1, customers=3) as sandbox:
        url, (page_id,) = sandbox.url, sandbox.pancake.page_ids()
        sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
        assert len(sandbox.pancake.customers(page_id)) == 3
        sandbox.start()
        assert sandbox.url == url
        assert requests.get(f"{url}/sandbox/behaviour", timeout=5).status_code == 200


def test_stops_at_once() -> None:
    """A stop closes the connections of delayed answers."""
    with Sandbox(pages=0) as sandbox:
        sandbox.behaviour.folkform_latency = 600
        errors: list[Exception] = []

        def ask() -> None:
            try:
                requests.get(f"{sandbox.environment['FOLKFORM_BASE_URL']}/auth/roles", timeout=60)
            except requests.ConnectionError as error:
                errors.append(error)

        client = threading.Thread(target=ask)
        client.start()
        while not sandbox.requests.count("folkform"):
            time.sleep(0.001)
        started = time.monotonic()
    client.join(10)
    assert time.monotonic() - started < 5
    assert len(errors) == 1


def test_a_taken_port_is_an_error() -> None:
    """An occupied port is an error before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sandbox = Sandbox(port=taken.getsockname()[1], pages=0)
        with pytest.raises(OSError, match="in use"):
            sandbox.start()
        sandbox.close()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_on_a_signal(end: signal.Signals) -> None:
    """`serve` reports its address, serves, and ends on a signal."""
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = requests.get(f"{url}/sandbox/difference", timeout=10).json()
        assert [len(page["missing"]) for page in answer["pages"].values()] == [5, 5]
        process.send_signal(end)
        assert process.wait(10) != 0


def test_changes_from_other_threads(services: Services) -> None:
    """Tests may change data while the server answers: every answer is complete."""
    services.has(*(services.customer(str(n)) for n in range(50)))
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            services.sandbox.pancake.change_customers(5, random.Random(1))

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(20):
            assert services.list()["total"] == 50
            assert services.upsert(services.customer("7")).status_code == 200
    finally:
        stop.set()
        changer.join()


def test_unknown_addresses(sandbox: Sandbox) -> None:
    """An unknown path is a 404; FolkForm's has the envelope, for a wrong method too."""
    assert requests.get(f"{sandbox.url}/nothing", timeout=10).status_code == 404
    wrong_method = requests.delete(f"{sandbox.environment['FOLKFORM_BASE_URL']}/fb-customer/find", timeout=10)
    assert (wrong_method.status_code, wrong_method.json()["code"]) == (404, "DB_002")


def test_changes_one_customer(services: Services) -> None:
    """A test can set any field of a customer, and remove the customer."""
    services.has(services.customer("7"), services.customer("8"))
    pancake = services.sandbox.pancake
    pancake.change_customer(services.page_id, "7", {"name": "Lan", "updated_at": "2026-01-01T00:00:00"})
    assert services.list()["customers"][0]["name"] == "Lan"
    pancake.remove_customer(services.page_id, "7")
    assert services.listed() == ["8"]
    pancake.add_customer(services.page_id, services.customer("9"))
    assert services.listed() == ["8", "9"]


def test_unknown_pages_and_customers(services: Services) -> None:
    """A change of an unknown record is a KeyError; the deletion of a page's documents returns their number."""
    with pytest.raises(KeyError):
        services.sandbox.pancake.change_customer(services.page_id, "7", {})
    with pytest.raises(KeyError):
        services.sandbox.pancake.make_page_token("unknown")
    services.upsert(services.customer("7"))
    assert services.sandbox.folkform.document(services.page_id, "8") is None
    assert services.sandbox.folkform.delete(services.page_id) == 1
    assert services.found({}) == []
