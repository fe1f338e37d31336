"""How many upserts per second the sandbox handles on one core.

Run `python tests/benchmarks/sandbox_upserts.py [COUNT]`.
The server runs in a process pinned to the first core, the client on the others.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from urllib.parse import quote, urlsplit

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.sample_data import SampleCustomers

CONNECTIONS = 16
PAGE_ID = "104000000000001"


def main() -> None:
    upserts = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    environment: dict[str, str] = ours.recv()
    pin(range(1, os.cpu_count() or 1))
    requests = [upsert_request(environment, customer) for customer in customers(upserts)]
    for title in ("insert", "update"):
        cpu, started = server_cpu(ours), time.perf_counter()
        asyncio.run(send_all(environment["FOLKFORM_BASE_URL"], requests))
        seconds, cpu = time.perf_counter() - started, server_cpu(ours) - cpu
        print(f"{title}: {upserts / seconds:,.0f} upserts/s, server CPU {cpu / upserts * 1e6:.0f} µs per upsert")
    server.terminate()


def serve(pipe: Connection) -> None:
    """Runs a sandbox; answers every message with its CPU seconds."""
    pin(range(1))
    with Sandbox(pages=0) as sandbox:
        pipe.send(sandbox.whole_environment)
        while True:
            pipe.recv()
            pipe.send(time.process_time())


def server_cpu(pipe: Connection) -> float:
    """CPU seconds of the server."""
    pipe.send("cpu")
    seconds: float = pipe.recv()
    return seconds


def pin(cores: range) -> None:
    """Pins this process to the cores, if the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def customers(count: int) -> Iterator[dict[str, object]]:
    """Customers as customer-sync sends them: with a page_id."""
    for customer in SampleCustomers(PAGE_ID, 1, time.time_ns() // 1000).take(count):
        yield {**customer, "page_id": PAGE_ID}


def upsert_request(environment: dict[str, str], customer: dict[str, object]) -> bytes:
    """The bytes of one upsert."""
    wanted = json.dumps({"psid": customer["psid"], "pageId": customer["page_id"]})
    body = json.dumps({"panCakeData": customer}).encode()
    path = urlsplit(environment["FOLKFORM_BASE_URL"]).path
    head = (
        f"POST {path}/fb-customer/upsert-one?filter={quote(wanted)} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: benchmark\r\n"
        f"Authorization: Bearer {environment['FOLKFORM_TOKEN']}\r\n"
        f"X-Active-Role-ID: {environment['FOLKFORM_ROLE_ID']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send_all(url: str, requests: list[bytes]) -> None:
    """Sends the requests over several connections in parallel."""
    queue = iter(requests)
    await asyncio.gather(*(send_some(url, queue) for _ in range(CONNECTIONS)))


async def send_some(url: str, queue: Iterator[bytes]) -> None:
    """Sends requests in sequence until the queue is empty."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for request in queue:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.close()


if __name__ == "__main__":
    main()
