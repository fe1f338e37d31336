"""The sandbox: sample data, all services, and the server that runs them on loopback."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.routing import Router

from customer_sync.sandbox import sample_data
from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.connection import Protocol
from customer_sync.sandbox.control_api import ControlApi
from customer_sync.sandbox.database import COLLECTIONS, Database
from customer_sync.sandbox.difference import Difference, compare
from customer_sync.sandbox.fault_calls import FaultCalls
from customer_sync.sandbox.faults import Faults
from customer_sync.sandbox.firebase_api import API_KEY, EMAIL, PASSWORD, FirebaseApi
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, EmptyFolkForm, FolkForm
from customer_sync.sandbox.folkform_api import FolkFormApi
from customer_sync.sandbox.gate import Service, routes
from customer_sync.sandbox.limits import Limits
from customer_sync.sandbox.pancake import Pancake
from customer_sync.sandbox.pancake_api import PancakeApi
from customer_sync.sandbox.request_log import RequestLog
from customer_sync.sandbox.token_lives import TokenLives

_HOST = "127.0.0.1"
_START_TIMEOUT = 30.0
_POLL = 0.01


class Sandbox:
    """A Pancake and a FolkForm on 127.0.0.1.

    `with Sandbox() as sandbox:` serves in a thread; `serve_forever` serves until a signal. A stopped sandbox can be
    started again on the same port with the same data, until it is closed.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        pages: int = 3,
        customers: int = 300,
        seed: int = 1,
        data: str | Path | None = None,
        behaviour: Behaviour | None = None,
        time_formats: sample_data.TimeFormats = "real",
    ) -> None:
        """Adds *pages* with *customers* each unless the file *data* has pages; *port* 0 means any free one."""
        self._behaviour = behaviour or Behaviour()
        self._usual_behaviour = self._behaviour.as_dict()
        self.requests = RequestLog()
        self.faults = Faults(seed)
        self._database = Database(data)
        self.pancake = Pancake(self._database, self.behaviour, seed)
        self.folkform = FolkForm(self._database, self.behaviour)
        self.other_folkform = FolkForm(self._database, self.behaviour, COLLECTIONS[1])
        """The second collection of a FolkForm with two customer paths."""
        self.tokens = TokenLives(self.pancake, self.folkform)
        self._limits = Limits(self.behaviour)
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        if not self.pancake.page_ids():
            self._add_sample(pages, customers, seed, time_formats)

    @property
    def behaviour(self) -> Behaviour:
        """How the services behave; change its fields at any time."""
        return self._behaviour

    @property
    def url(self) -> str:
        """The address, after the start."""
        return f"http://{_HOST}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make customer-sync use the sandbox."""
        return {
            "PANCAKE_BASE_URL": self.url + PancakeApi.prefix,
            "FOLKFORM_BASE_URL": self.url + FolkFormApi.prefix,
            "FOLKFORM_TOKEN": TOKEN,
        }

    @property
    def whole_environment(self) -> dict[str, str]:
        """The same with the role and the customer path, which customer-sync could also find out."""
        path = self.behaviour.customer_path or ("/customer" if self.behaviour.server == "2025-12" else "/fb-customer")
        return {**self.environment, "FOLKFORM_ROLE_ID": ROLE_ID, "FOLKFORM_CUSTOMER_PATH": path}

    @property
    def sign_in_environment(self) -> dict[str, str]:
        """The same with a sign-in through Firebase in place of the bearer token."""
        variables = {name: value for name, value in self.environment.items() if name != "FOLKFORM_TOKEN"}
        return {
            **variables,
            "FOLKFORM_EMAIL": EMAIL,
            "FOLKFORM_PASSWORD": PASSWORD,
            "FIREBASE_API_KEY": API_KEY,
            "FIREBASE_BASE_URL": self.url + FirebaseApi.prefix,
        }

    def reset(self) -> None:
        """Restores the initial behaviour: no faults, valid tokens, full limits, an empty log; the data stays."""
        self.behaviour.change(self._usual_behaviour)
        self.faults.clear()
        self.tokens.revive()
        self._limits.clear()
        self.requests.clear()

    def add_page(self, page_id: str, name: str = "", *, is_sync: bool = True) -> None:
        """Adds a page to both services; FolkForm's record has its tokens."""
        self.pancake.add_page(page_id, name)
        tokens: dict[str, Any] = {
            "accessToken": self.pancake.user_token(page_id),
            "pageAccessToken": self.pancake.make_page_token(page_id),
        }
        self.folkform.add_page(page_id, name, isSync=is_sync, **tokens)

    def difference(self, page_id: str | None = None) -> Difference:
        """Compares both sides, one page or all."""
        return compare(self.pancake, self.folkform, page_id)

    def start(self) -> None:
        """Serves in a thread; returns when the port accepts connections."""
        listener = self._bind()
        self._server = _Server(self._config())
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START_TIMEOUT):
            raise RuntimeError("the sandbox did not start")

    def stop(self) -> None:
        """Stops serving and closes all connections; the data stays."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join()
        self._server = self._thread = None

    def serve_forever(self, ready: Callable[[Self], None] = lambda _sandbox: None) -> None:
        """Serves in this thread until SIGINT or SIGTERM; calls *ready* once the port is known."""
        listener = self._bind()
        ready(self)
        _Server(self._config()).run([listener])

    def close(self) -> None:
        """Stops serving and closes the data."""
        self.stop()
        self._database.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _add_sample(self, pages: int, customers: int, seed: int, time_formats: sample_data.TimeFormats) -> None:
        now = time.time_ns() // 1000
        for index in range(pages):
            page_id, name = sample_data.page(seed, index)
            self.add_page(page_id, name)
            sample = sample_data.SampleCustomers(page_id, seed, now, time_formats)
            self.pancake.add_customers(page_id, sample.take(customers))

    def _bind(self) -> socket.socket:
        # asyncio disables Nagle's algorithm, which delays answers by 40 ms, only if TCP is named here.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, self._port))
        except OSError:
            listener.close()
            raise
        listener.listen(1024)
        self._port = listener.getsockname()[1]
        return listener

    def _config(self) -> uvicorn.Config:
        empty = EmptyFolkForm(self._database, self.behaviour)
        folkform = FolkFormApi(self.folkform, self.other_folkform, empty, self.behaviour, self._limits, self.tokens)
        pancake = PancakeApi(self.pancake, self.behaviour, self._limits, self.tokens)
        calls = FaultCalls(self.faults, self.tokens, self.reset)
        control = ControlApi(self.behaviour, self.pancake, self.requests, self.difference, calls)
        services: list[Service] = [folkform, pancake, FirebaseApi()]
        app = Router(
            [
                *(route for service in services for route in routes(service, self.requests, self.faults)),
                # Control calls are neither logged nor subject to faults.
                *routes(control, RequestLog(), Faults(0)),
            ]
        )
        return uvicorn.Config(
            app,
            http=Protocol,
            # A reset needs a real socket, which other loops hide.
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            # Pancake's clock may differ: the gate writes the Date header.
            date_header=False,
            server_header=False,
            timeout_keep_alive=75,
        )


def serve(
    *,
    port: int,
    pages: int,
    customers: int,
    seed: int,
    data: str | Path | None,
    ready: Callable[[Sandbox], None],
) -> None:
    """Serves a sandbox until SIGINT or SIGTERM; calls *ready* once its address is known."""
    sandbox = Sandbox(port=port, pages=pages, customers=customers, seed=seed, data=data)
    try:
        sandbox.serve_forever(ready)
    finally:
        sandbox.close()


class _Server(uvicorn.Server):
    """Signals when it accepts connections, and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        while not self.should_exit:  # Uvicorn checks only ten times a second.
            await asyncio.sleep(_POLL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Uvicorn would wait for requests in flight, which may take minutes.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
