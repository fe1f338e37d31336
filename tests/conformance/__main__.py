"""`python -m tests.conformance BASE [SERVER]`: asks the FolkForm at BASE what two real servers were asked.

It needs FOLKFORM_TOKEN, and FOLKFORM_ROLE_ID and FOLKFORM_CUSTOMER_PATH where they cannot be found out. Exit 0: it
answers as SERVER did, or without one as either did; 1: it does not; 2: it could not be asked.
"""

import json
import os
import sys
import time

import requests

from tests.conformance.server import RECORDED, Server, otherwise


def main(arguments: list[str]) -> int:
    """Asks everything, prints what is otherwise, and returns the exit code."""
    token = os.environ.get("FOLKFORM_TOKEN", "")
    servers = arguments[1:] or sorted(RECORDED)
    if not arguments or not token or not set(servers) <= RECORDED.keys():
        print(f"{__doc__}\nSERVER is one of: {', '.join(RECORDED)}", file=sys.stderr)
        return 2
    base, run = arguments[0].rstrip("/"), str(time.time_ns())[:13]
    print(f"This writes about sixty customers of pages named conformance-{run}… into {base}, and nothing else.")
    try:
        role, path = os.environ.get("FOLKFORM_ROLE_ID", ""), os.environ.get("FOLKFORM_CUSTOMER_PATH", "")
        answers = Server.in_its_only_role(base, token, role, path).answers(run)
    except (requests.RequestException, ValueError) as error:
        print(f"It could not be asked: {error}", file=sys.stderr)
        return 2
    return _report(answers, servers)


def _report(answers: dict[str, dict[str, object]], servers: list[str]) -> int:
    differing = {server: otherwise(answers, server) for server in servers}
    wrong = [name for name in answers if all(name in one for one in differing.values())]
    for name in wrong:
        print(f"{name}: {json.dumps(answers[name])}")
        for server, one in differing.items():
            print(f"    {server}: {json.dumps(one[name][1])}")
    as_recorded = f"{len(answers) - len(wrong)} answered as by {' or '.join(servers)}"
    print(f"{len(answers)} asked, {as_recorded}, {len(wrong)} otherwise")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
