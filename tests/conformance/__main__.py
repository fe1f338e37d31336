"""`python -m tests.conformance BASE [SERVER]`: compares the FolkForm at BASE with the recorded answers of real servers.

It needs FOLKFORM_TOKEN, and FOLKFORM_ROLE_ID and FOLKFORM_CUSTOMER_PATH where they cannot be detected. Exit code 0:
the same answers as SERVER, or without one as either; 1: other answers; 2: wrong usage, or FolkForm cannot be called.
"""

import json
import os
import sys
import time

import requests

from tests.conformance.server import RECORDED, Server, differences


def main(arguments: list[str]) -> int:
    """Sends all requests, prints the differences, and returns the exit code."""
    token = os.environ.get("FOLKFORM_TOKEN", "")
    servers = arguments[1:] or sorted(RECORDED)
    if not arguments or not token or not set(servers) <= RECORDED.keys():
        print(f"{__doc__}\nSERVER is one of: {', '.join(RECORDED)}", file=sys.stderr)
        return 2
    base, run = arguments[0].rstrip("/"), str(time.time_ns())[:13]
    print(f"This writes about 60 customers of pages named conformance-{run}… into {base}, and nothing else.")
    try:
        role, path = os.environ.get("FOLKFORM_ROLE_ID", ""), os.environ.get("FOLKFORM_CUSTOMER_PATH", "")
        answers = Server.in_its_only_role(base, token, role, path).answers(run)
    except (requests.RequestException, ValueError) as error:
        print(f"cannot call FolkForm: {error}", file=sys.stderr)
        return 2
    return _report(answers, servers)


def _report(answers: dict[str, dict[str, object]], servers: list[str]) -> int:
    differing = {server: differences(answers, server) for server in servers}
    wrong = [name for name in answers if all(name in one for one in differing.values())]
    for name in wrong:
        print(f"{name}: {json.dumps(answers[name])}")
        for server, one in differing.items():
            print(f"    {server}: {json.dumps(one[name][1])}")
    as_recorded = f"{len(answers) - len(wrong)} answered as by {' or '.join(servers)}"
    print(f"{len(answers)} asked, {as_recorded}, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
