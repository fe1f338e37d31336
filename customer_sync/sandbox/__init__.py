"""A real HTTP Pancake and FolkForm on loopback, to try customer-sync on and to test it against."""

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.difference import Difference, PageDifference
from customer_sync.sandbox.server import Sandbox, serve

__all__ = ["Behaviour", "Difference", "PageDifference", "Sandbox", "serve"]
