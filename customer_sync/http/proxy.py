"""The proxy of the environment, as `requests` chooses it."""

from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from customer_sync.core.loopback import is_this_machine


def remote_proxy(url: str) -> str:
    """Host and port of the proxy that calls to *url* go through; empty if there is none, or it is on this machine."""
    proxy = select_proxy(url, get_environ_proxies(url))
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
    except ValueError:  # The first call says so.
        return ""
    if parts is None or is_this_machine(parts.hostname):
        return ""
    return parts.netloc.rpartition("@")[2]
