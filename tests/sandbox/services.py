"""Plain HTTP calls of both services, about one page of the test."""

import json
import uuid
from typing import Any

import requests

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.folkform import ROLE_ID

LATER = 4_000_000_000
TIMEOUT = 20


class Services:
    """Valid requests; a test can make them invalid."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.page_id = f"104{uuid.uuid4().int % 10**12:012}"
        sandbox.add_page(self.page_id, "Trà sữa Cô Ba")
        self.pancake_url = sandbox.environment["PANCAKE_BASE_URL"]
        self.folkform_url = sandbox.environment["FOLKFORM_BASE_URL"]
        self.token = sandbox.environment["FOLKFORM_TOKEN"]

    def has(self, *customers: Any) -> None:
        """Adds customers to Pancake's page."""
        self.sandbox.pancake.add_customers(self.page_id, customers)

    def customer(self, psid: str, updated_at: str = "2025-12-07T10:23:23", **fields: Any) -> dict[str, Any]:
        """A customer of the page as customer-sync sends it, with a unique id."""
        return {
            "id": f"{self.page_id}-{psid}",
            "psid": psid,
            "page_id": self.page_id,
            "updated_at": updated_at,
            **fields,
        }

    def list(self, **changes: Any) -> Any:
        """Pancake's answer to a list call; parameters that are None are omitted."""
        parameters = {
            "page_access_token": self.sandbox.pancake.page_token(self.page_id),
            "page_number": 1,
            "page_size": 100,
            "since": 0,
            "until": LATER,
            "order_by": "updated_at",
            **changes,
        }
        url = f"{self.pancake_url}/public_api/v1/pages/{self.page_id}/page_customers"
        return requests.get(url, params=parameters, timeout=TIMEOUT).json()

    def listed(self, **changes: Any) -> Any:
        """The psids in Pancake's list."""
        return [customer.get("psid") for customer in self.list(**changes)["customers"]]

    def call(self, method: str, path: str, *, token: str | None = None, **options: Any) -> requests.Response:
        """FolkForm's answer to any call."""
        usual = {"Authorization": f"Bearer {token or self.token}", "X-Active-Role-ID": ROLE_ID}
        headers = {name: value for name, value in (usual | options.pop("headers", {})).items() if value is not None}
        url = self.folkform_url + path
        return requests.request(method, url, headers=headers, timeout=TIMEOUT, **options)

    def upsert(self, customer: dict[str, Any], **options: Any) -> requests.Response:
        """FolkForm's answer to an upsert of the customer."""
        identity = {"psid": customer.get("psid"), "pageId": self.page_id}
        parameters = {"filter": json.dumps(identity)}
        body = {"panCakeData": customer}
        return self.call("POST", "/fb-customer/upsert-one", params=parameters, json=body, **options)

    def find(self, wanted: Any, options: Any = None, path: str = "/fb-customer/find") -> requests.Response:
        """FolkForm's answer to a find."""
        parameters = {"filter": json.dumps(wanted), "options": json.dumps(options or {})}
        return self.call("GET", path, params=parameters)

    def found(self, wanted: dict[str, Any], options: Any = None) -> Any:
        """The psids that FolkForm finds on the page."""
        documents = self.find({"pageId": self.page_id, **wanted}, options).json()["data"]
        return [document["psid"] for document in documents]
