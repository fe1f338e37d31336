"""The sandbox's control calls for faults and tokens."""

from collections.abc import Callable
from typing import Any

from customer_sync.sandbox import typed
from customer_sync.sandbox.call import Answer, Call, json_answer
from customer_sync.sandbox.faults import Fault, Faults
from customer_sync.sandbox.json_text import loads
from customer_sync.sandbox.token_lives import TokenKind, TokenLives

_KILLED = {"kind": TokenKind, "page_id": str | None, "after": int}


class FaultCalls:
    """Answers `/sandbox/faults`, `/sandbox/tokens` and `/sandbox/reset`."""

    def __init__(self, faults: Faults, lives: TokenLives, reset: Callable[[], None]) -> None:
        self._faults = faults
        self._lives = lives
        self._reset = reset

    def show_faults(self, _call: Call) -> Answer:
        """Answers `GET faults`."""
        return json_answer([active.as_dict() for active in self._faults.active])

    def add_fault(self, call: Call) -> Answer:
        """Answers `POST faults`, whose body is the settings of a Fault."""
        return json_answer(self._faults.add(Fault.from_settings(settings_of(call))).as_dict())

    def clear_faults(self, call: Call) -> Answer:
        """Answers `DELETE faults`: requests that hang continue."""
        self._faults.clear()
        return self.show_faults(call)

    def show_tokens(self, _call: Call) -> Answer:
        """Answers `GET tokens`: the calls left, by token, of expired and expiring tokens."""
        return json_answer(self._lives.left)

    def kill_tokens(self, call: Call) -> Answer:
        """Answers `POST tokens`, whose body is `{"kind": page, user or bearer, "page_id": …, "after": calls}`."""
        settings = {"kind": None, **settings_of(call)}
        typed.check(settings, _KILLED)
        self._lives.kill(**settings)
        return self.show_tokens(call)

    def revive_tokens(self, call: Call) -> Answer:
        """Answers `DELETE tokens`."""
        self._lives.revive()
        return self.show_tokens(call)

    def reset(self, _call: Call) -> Answer:
        """Answers `POST reset`, see `Sandbox.reset`."""
        self._reset()
        return json_answer({})


def settings_of(call: Call) -> dict[str, Any]:
    """The body. Raises ValueError unless it is a JSON object."""
    settings = loads(call.body)
    if not isinstance(settings, dict):
        raise ValueError("the body must be an object of settings")
    return settings
