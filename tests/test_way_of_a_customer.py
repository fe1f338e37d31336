"""The way of a customer, from the command line to the POST: few frames, few modules, each adding one concern."""

import json
import subprocess
import sys

from .conftest import Command, StartSandbox, only_page, people

MAX_FRAMES, MAX_MODULES = 14, 6
# Prints the program's own frames at the first upsert, threads chained by who started the work in them.
_TRACER = """
import json, os, sys, threading, traceback
from concurrent.futures import ThreadPoolExecutor
import requests.adapters

package = os.path.join("customer_sync", "")
above = threading.local()

def own_frames():
    frames = [
        [frame.filename.rpartition(package)[2].removesuffix(".py").replace("/", "."), frame.name]
        for frame in traceback.extract_stack()
        if package in frame.filename and "sandbox" not in frame.filename
    ]
    return getattr(above, "frames", []) + frames

def submit(self, work, /, *args, **more):
    frames = own_frames()
    def with_frames(*args, **more):
        above.frames = frames
        return work(*args, **more)
    return plain_submit(self, with_frames, *args, **more)

def send(self, request, *args, **more):
    if "/upsert-one" in request.url:
        print(json.dumps(own_frames()), flush=True)
        os._exit(0)
    return plain_send(self, request, *args, **more)

plain_submit, ThreadPoolExecutor.submit = ThreadPoolExecutor.submit, submit
plain_send, requests.adapters.HTTPAdapter.send = requests.adapters.HTTPAdapter.send, send
sys.argv = ["customer-sync", "incremental"]
from customer_sync.__main__ import main
main()
"""


def test_the_way_of_a_customer(sandbox: StartSandbox, run: Command) -> None:
    """CONTRIBUTING draws it; here it is traced."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 60, 60))
    ended = subprocess.run(
        [sys.executable, "-c", _TRACER], env=run.environment(box), capture_output=True, text=True, check=True
    )
    frames = json.loads(ended.stdout)
    way = frames[[module for module, _ in frames].index("cli.app") :]
    assert len(way) <= MAX_FRAMES, way
    assert len({module for module, _ in way}) <= MAX_MODULES, way
    ends = (["cli.app", "main"], ["cli.app", "incremental"]), ["http.session", "_send"]
    assert way[0] in ends[0]
    assert way[-1][0] == "http.session", way
