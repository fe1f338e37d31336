"""The same with dlt, as documented: a REST API source with an incremental cursor, a custom destination.

`python dlt_pipeline.py PAGE_ID THREADS`, in an environment of its own (requirements.txt). With one thread the
destination posts the items in sequence, with more through a thread pool.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import dlt
from dlt.sources.helpers import requests
from dlt.sources.rest_api import rest_api_source

# Items per call of the destination: dlt's default, and enough for a thread pool.
ITEMS_AT_ONCE, ITEMS_FOR_A_POOL = 10, 1000


def main(page_id: str, threads: int) -> None:
    """Runs the pipeline once; its cursor is in DLT_DATA_DIR."""
    pipeline = dlt.pipeline("customers", destination=destination(page_id, threads), dataset_name="folkform")
    pipeline.run(source(page_id))


def source(page_id: str) -> Any:
    """The customers that changed since the last run."""
    customers = {
        "name": "customers",
        "primary_key": "psid",
        "columns": {name: {"data_type": "text"} for name in ("updated_at", "inserted_at")},
        "endpoint": {
            "path": f"public_api/v1/pages/{page_id}/page_customers",
            "params": {"page_size": 100, "until": int(time.time()), "order_by": "updated_at"},
            "data_selector": "customers",
            "paginator": {"type": "page_number", "base_page": 1, "page_param": "page_number", "total_path": None},
            "incremental": {
                "start_param": "since",
                "cursor_path": "updated_at",
                "initial_value": "1970-01-01T00:00:01",
                "convert": unix_seconds,
                "row_order": "desc",
            },
        },
    }
    token = os.environ["PANCAKE_PAGE_TOKEN"]
    auth = {"type": "api_key", "name": "page_access_token", "api_key": token, "location": "query"}
    client = {"base_url": os.environ["PANCAKE_BASE_URL"], "auth": auth}
    return rest_api_source({"client": client, "resources": [customers]})


def destination(page_id: str, threads: int) -> Any:
    """Posts every item to upsert-one."""
    headers = {
        "Authorization": f"Bearer {os.environ['FOLKFORM_TOKEN']}",
        "X-Active-Role-ID": os.environ["FOLKFORM_ROLE_ID"],
    }
    address = f"{os.environ['FOLKFORM_BASE_URL']}/fb-customer/upsert-one"

    def post(customer: dict[str, Any]) -> None:
        wanted = json.dumps({"psid": customer["psid"], "pageId": page_id})
        body = {"panCakeData": {**customer, "page_id": page_id}}
        requests.post(address, params={"filter": wanted}, json=body, headers=headers).raise_for_status()

    def folkform(items: list[dict[str, Any]], table: Any) -> None:  # noqa: ARG001 - dlt passes both
        if threads == 1:
            for item in items:
                post(item)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(post, items))

    return dlt.destination(folkform, batch_size=ITEMS_AT_ONCE if threads == 1 else ITEMS_FOR_A_POOL)


def unix_seconds(text: str) -> int:
    """Of Pancake's time, which is UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
