"""How a service is reached: its host name, the proxy, the connection, the certificate."""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import NoReturn
from urllib.parse import urlsplit

from customer_sync.check.probe import Certificate, DistrustedError, ProxyFailedError, can_look, connect, look_up
from customer_sync.config.settings import is_this_machine
from customer_sync.core.errors import Refused, Unreachable
from customer_sync.http.session import CONNECT_TIMEOUT
from customer_sync.http.transport import Route, route_to
from customer_sync.results.findings import Report

_DAY = 86400
_SOON = 14


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is, by which variable, and how the environment has it reached."""

    service: str
    url: str
    variable: str
    environment: Mapping[str, str]

    @property
    def place(self) -> str:
        """Host and port."""
        return _sort_key(self.url)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def proxy_variables(self) -> list[str]:
        """The variables that are set and name a proxy for it, the decisive one first."""
        scheme = urlsplit(self.url).scheme
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
        return [name for name in names if self.environment.get(name)]


def check_address(report: Report, address: Address, timeout: float, now: float) -> None:
    """Everything about *address* that can be known before anything is asked there."""
    route = route_to(address.url)
    if route.proxy:
        by = ", ".join(address.proxy_variables[:1]) or "the environment"
        report.ok("proxy", f"{_sort_key(route.proxy)}, from {by}; it looks the host name up")
    elif not _is_ip(address.host):
        with report.step("host name"):
            report.ok("host name", f"{address.host} is {_looked_up(address)}")
    if not can_look(route):
        report.ok("connection", "not looked at before the first request: no probe takes the way of such a proxy")
        return
    with report.step("connection"):
        certificate = _connected(address, route, min(timeout, CONNECT_TIMEOUT))
    _tell_connection(report, address, route, certificate)
    if certificate:
        _tell_certificate(report, certificate, now)


def _looked_up(address: Address) -> str:
    try:
        found = look_up(address.url)
    except OSError as error:
        problem = f"cannot be found: {address.host} has no address ({error.strerror})"
        step = f"Check {address.variable}, and this machine's DNS: getent hosts {address.host}"
        raise Unreachable(address.service, problem, step) from None
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{found[0]}{more}"


def _connected(address: Address, route: Route, timeout: float) -> Certificate | None:
    try:
        return connect(address.url, route, timeout)
    except DistrustedError as why:
        step = f"Check {address.variable}, the certificate and REQUESTS_CA_BUNDLE."
        raise Refused(address.service, f"cannot be trusted ({why})", step) from None
    except ProxyFailedError as why:
        step = f"Check {' and '.join(address.proxy_variables[:1])} and NO_PROXY."
        raise Unreachable(address.service, f"cannot be reached through the proxy ({why})", step) from None
    except OSError as error:
        _refuse(address, error, timeout)


def _refuse(address: Address, error: OSError, timeout: float) -> NoReturn:
    step = f"Is {address.variable} right and {address.service} up?"
    if isinstance(error, TimeoutError):
        problem = f"does not answer at {address.place} within {timeout:g} s"
    elif isinstance(error, ssl.SSLError):
        problem = f"speaks no TLS at {address.place} ({error.reason or 'broken off'})"
    else:
        problem = f"takes no connection at {address.place} ({error.strerror or type(error).__name__})"
    raise Unreachable(address.service, problem, step)


def _tell_certificate(report: Report, certificate: Certificate, now: float) -> None:
    day = datetime.fromtimestamp(certificate.valid_until, UTC).date()
    days = int((certificate.valid_until - now) / _DAY)
    detail = f"valid until {day} ({'1 day' if days == 1 else f'{days} days'}), issued by {certificate.issuer}"
    if days < _SOON:
        report.warn("certificate", detail, "Have it renewed in time: from that day on nothing is synced.")
    else:
        report.ok("certificate", detail)


def _tell_connection(report: Report, address: Address, route: Route, certificate: Certificate | None) -> None:
    secured = certificate.tls if certificate else "no TLS"
    here = " (this machine)" if is_this_machine(address.url) else ""
    passed = address.proxy_variables[:1] if route.proxy is None else []
    past = "".join(f"; past {name}, as NO_PROXY says" for name in passed)
    report.ok("connection", f"{address.place}, {secured}{here}{past}")


def _sort_key(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _is_ip(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False
