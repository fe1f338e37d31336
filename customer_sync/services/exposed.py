"""The services' addresses to which tokens and customer data are sent unencrypted."""

from urllib.parse import urlsplit

from customer_sync.config.settings import Settings, declared
from customer_sync.core.loopback import is_this_machine
from customer_sync.http.proxy import remote_proxy

_ADDRESSES = ("folkform_base_url", "firebase_base_url", "pancake_base_url")
_UNENCRYPTED = "tokens and customer data are sent unencrypted"


def exposed_addresses(settings: Settings) -> dict[str, str]:
    """Field name of each address that others can listen to → what they can read."""
    exposed = {name: _exposure(getattr(settings, name)) for name in _ADDRESSES}
    return {name: what for name, what in exposed.items() if what}


def exposure_warnings(settings: Settings) -> list[str]:
    """The same as sentences."""
    return [f"{declared()[name].variable} is not https: {what}" for name, what in exposed_addresses(settings).items()]


def _exposure(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme != "http":
        return ""
    if proxy := remote_proxy(address):
        return f"{_UNENCRYPTED} through the proxy {proxy} (http_proxy; NO_PROXY bypasses it)"
    return "" if is_this_machine(parts.hostname) else _UNENCRYPTED
