"""The sandbox's control calls: behaviour, faults, changes of customers, and the request log."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call, Endpoint, json_answer
from customer_sync.sandbox.difference import Difference
from customer_sync.sandbox.fault_calls import FaultCalls, settings_of
from customer_sync.sandbox.pancake import Pancake
from customer_sync.sandbox.request_log import RequestLog

_SHOWN = 100


class ControlApi:
    """Answers `/sandbox/*`."""

    name = "sandbox"
    prefix = "/sandbox"
    latency = 0.0
    clock_offset = 0.0

    def __init__(
        self,
        behaviour: Behaviour,
        pancake: Pancake,
        log: RequestLog,
        difference: Callable[[str | None], Difference],
        faults: FaultCalls,
    ) -> None:
        self._behaviour = behaviour
        self._pancake = pancake
        self._log = log
        self._difference = difference
        self._faults = faults

    def endpoints(self) -> list[Endpoint]:
        """Every control call."""
        return [
            Endpoint("GET", "/behaviour", lambda _call: json_answer(self._behaviour.as_dict())),
            Endpoint("PATCH", "/behaviour", self._change_behaviour),
            Endpoint("POST", "/change", self._change_customers),
            Endpoint("GET", "/difference", self._show_difference),
            Endpoint("GET", "/requests", self._show_requests),
            Endpoint("DELETE", "/requests", self._clear_requests),
            Endpoint("GET", "/faults", self._faults.show_faults),
            Endpoint("POST", "/faults", self._faults.add_fault),
            Endpoint("DELETE", "/faults", self._faults.clear_faults),
            Endpoint("GET", "/tokens", self._faults.show_tokens),
            Endpoint("POST", "/tokens", self._faults.kill_tokens),
            Endpoint("DELETE", "/tokens", self._faults.revive_tokens),
            Endpoint("POST", "/reset", self._faults.reset),
        ]

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call; a ValueError becomes a 400."""
        try:
            return endpoint.answer(call)
        except ValueError as error:
            return self.failure(400, str(error))

    def failure(self, status: int, message: str) -> Answer:
        """The error JSON."""
        return json_answer({"error": message}, status)

    def _change_behaviour(self, call: Call) -> Answer:
        self._behaviour.change(settings_of(call))
        return json_answer(self._behaviour.as_dict())

    def _change_customers(self, call: Call) -> Answer:
        count = call.query.get("count", "1")
        if not (count.isascii() and count.isdigit()):
            raise ValueError("count must be a whole number")
        changed = self._pancake.change_customers(int(count))
        return json_answer([{"page_id": page_id, "psid": customer["psid"]} for page_id, customer in changed])

    def _show_difference(self, call: Call) -> Answer:
        difference = self._difference(call.query.get("page_id"))
        return json_answer({"equal": difference.equal, **asdict(difference)})

    def _show_requests(self, _call: Call) -> Answer:
        counts = {" ".join(name): count for name, count in sorted(self._log.counts.items())}
        recent: list[dict[str, Any]] = [asdict(request) for request in self._log.recent[-_SHOWN:]]
        return json_answer({"counts": counts, "recent": recent})

    def _clear_requests(self, _call: Call) -> Answer:
        self._log.clear()
        return json_answer({})
