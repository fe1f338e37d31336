"""A real HTTP Pancake and FolkForm on loopback, for the demo and the tests."""

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.difference import Difference, PageDifference
from customer_sync.sandbox.faults import ActiveFault, Fault
from customer_sync.sandbox.request_log import LoggedRequest, Selection
from customer_sync.sandbox.server import Sandbox, serve

__all__ = [
    "ActiveFault",
    "Behaviour",
    "Difference",
    "Fault",
    "LoggedRequest",
    "PageDifference",
    "Sandbox",
    "Selection",
    "serve",
]
