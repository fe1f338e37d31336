"""A FolkForm server, and the facts of its answers that are compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.conformance.questions import Question, questions

Facts = dict[str, Any]
"""HTTP status, the envelope's code and keys, the kind of `data`, and the value that the question names."""
RECORDED: Mapping[str, Mapping[str, Facts]] = json.loads(Path(__file__).with_name("answers.json").read_text())
"""By server and question."""
_CUSTOMER_PATHS = ("/fb-customer", "/customer")
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a FolkForm is, and the user and role to ask with."""

    base: str
    token: str
    role: str
    path: str = ""
    """The customers' path; empty: the first one that exists."""

    def answers(self, run: str) -> dict[str, Facts]:
        """The facts of its answer to every question, by name."""
        path = self.path or self._customers_path()
        return {question.name: self._ask(question, path, run) for question in questions(run)}

    @classmethod
    def in_its_only_role(cls, base: str, token: str, role: str = "", path: str = "") -> "Server":
        """With the given role, else the token user's only one. Raises ValueError where there is not exactly one."""
        if role:
            return cls(base, token, role, path)
        headers = {"Authorization": f"Bearer {token}"}
        data = requests.get(f"{base}/auth/roles", headers=headers, timeout=_TIMEOUT).json().get("data")
        roles = [one["roleId"] for one in (data.get("roles") if isinstance(data, dict) else data) or []]
        if len(roles) != 1:
            raise ValueError(f"set FOLKFORM_ROLE_ID to one of the user's roles: {', '.join(roles) or 'there is none'}")
        return cls(base, token, roles[0], path)

    def _customers_path(self) -> str:
        found = (
            path for path in _CUSTOMER_PATHS if self._request("GET", f"{path}/count", {}, {}, None).status_code != 404
        )
        return next(found, _CUSTOMER_PATHS[0])

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str | None],
        body: bytes | None,
    ) -> requests.Response:
        usual = {"Authorization": f"Bearer {self.token}", "X-Active-Role-ID": self.role}
        sent = {
            name: value for name, value in (usual | {"Content-Type": "application/json"} | {**headers}).items() if value
        }
        return requests.request(method, self.base + path, params=query, headers=sent, data=body, timeout=_TIMEOUT)

    def _ask(self, question: Question, path: str, run: str) -> Facts:
        target = question.path.replace("{customers}", path)
        answer = self._request(question.method, target, question.query, question.headers, question.body)
        try:
            envelope = answer.json()
        except ValueError:
            return {"status": answer.status_code, "json": False}
        data = type(envelope.get("data")).__name__
        facts: Facts = {
            "status": answer.status_code,
            "code": envelope.get("code"),
            "keys": sorted(envelope),
            "data": data,
        }
        if question.value_path and answer.status_code == 200:
            value = _value(envelope, question.value_path)
            facts["look"] = value.replace(run, "RUN") if isinstance(value, str) else value
        return facts


def differences(answers: Mapping[str, Facts], server: str) -> dict[str, tuple[Facts, Facts]]:
    """The questions whose facts differ from those recorded of *server*: both facts, by name."""
    recorded = RECORDED[server]
    return {name: (facts, recorded[name]) for name, facts in answers.items() if facts != recorded[name]}


def _value(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value.get(key) if isinstance(value, dict) else None
    return value
