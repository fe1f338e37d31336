"""The upper bound with `requests`: a bare thread pool that posts documents.

`python bare_pool.py DOCUMENTS THREADS`: a file with a line of JSON for each customer. It reads no list, has no
order, no retries and no rate limit.
"""

import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter


def main(documents: Path, threads: int) -> None:
    """Posts every document."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=threads))
    session.headers["Authorization"] = f"Bearer {os.environ['FOLKFORM_TOKEN']}"
    session.headers["X-Active-Role-ID"] = os.environ["FOLKFORM_ROLE_ID"]
    address = f"{os.environ['FOLKFORM_BASE_URL']}/fb-customer/upsert-one"

    def post(customer: Mapping[str, Any]) -> None:
        wanted = json.dumps({"psid": customer["psid"], "pageId": customer["page_id"]})
        answer = session.post(address, params={"filter": wanted}, json={"panCakeData": customer}, timeout=30)
        answer.raise_for_status()
        if answer.json()["status"] != "success":
            raise RuntimeError(answer.text)

    with documents.open(encoding="utf-8") as lines, ThreadPoolExecutor(threads) as pool:
        list(pool.map(post, map(json.loads, lines)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
