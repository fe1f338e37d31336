"""Why no answer came, in one sentence: host name, proxy, refusal, certificate, timeout."""

import ssl
from urllib.parse import urlsplit

import requests
import urllib3

from customer_sync.core.command_line import quoted
from customer_sync.core.errors import Refused, ServiceError, Unreachable
from customer_sync.core.loopback import is_this_machine
from customer_sync.http.service import Service

_NO_ADDRESS = (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.exceptions.InvalidURL)
# OpenSSL's words for an answer in plain text, the second since 3.2.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_TIMEOUTS = (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)


def connection_error(
    error: Exception, service: Service, address: str, timeouts: tuple[float, float], *, is_proven: bool
) -> ServiceError:
    """Our error for one of `requests`, `urllib3` or the socket. *address* is the redacted base address, *is_proven*
    whether the service has answered there before; *timeouts* are those of the connection and of the answer, seconds.
    """
    name, setting = service.name, service.address_setting
    if isinstance(error, _NO_ADDRESS):
        return Refused(name, f"cannot be called at {address}", f"Check {setting}, and HTTPS_PROXY if set.")
    # requests wraps the reason twice.
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if distrust := _distrust(error, getattr(reason, "args", (None,))[0]):
        return Refused(name, f"cannot be trusted at {address} ({distrust})", "Check REQUESTS_CA_BUNDLE.")
    step = f"Check {setting}, and that {name} is up"
    if isinstance(error, requests.exceptions.ProxyError):
        problem, step = "could not be reached through the proxy", "Check HTTPS_PROXY and NO_PROXY"
    elif isinstance(error, requests.exceptions.ConnectTimeout):
        problem = f"accepted no connection within {timeouts[0]:g} s"
    elif isinstance(error, _TIMEOUTS):
        problem = f"did not answer within {timeouts[1]:g} s"
    elif isinstance(reason, urllib3.exceptions.NameResolutionError):
        problem, step = "was not found", f"Check {setting}, and the DNS of this machine"
    elif isinstance(reason, urllib3.exceptions.NewConnectionError):
        problem = "refused the connection"
    elif any(sign in str(reason) for sign in _NO_TLS):
        return _no_https(service, address, Unreachable if is_proven else Refused)
    else:
        problem = "closed the connection"
        if address.startswith("http:") and not is_proven:
            step = f"Check {setting} (https instead of http?), and that {name} is up"
    return Unreachable(name, f"{problem} at {address}", f"{step}; the next run retries.")


def _no_https(service: Service, address: str, kind: type[ServiceError]) -> ServiceError:
    step = f"Check the host and port in {service.address_setting}: plain HTTP is spoken there."
    if is_this_machine(urlsplit(address).hostname):
        plain = quoted(f"http:{address.removeprefix('https:')}")
        step = f"Set {service.address_setting}={plain} instead."
    return kind(service.name, f"is not an HTTPS server at {address}", step)


def _distrust(error: Exception, cause: object) -> str:
    """Why the service's certificate is not trusted; empty where that is not the cause."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    no_bundle = "CA certificate bundle" in str(error) or "X509" in str(cause)
    return "the bundle holds no certificate" if no_bundle else ""
