"""Whether a host is this machine."""

from ipaddress import ip_address


def is_this_machine(host: str | None) -> bool:
    """Whether *host*, a name or an address, is the loopback interface."""
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
