"""Why no answer came, in one sentence: host name, proxy, refusal, certificate, timeout."""

import ssl

import requests
import urllib3

from customer_sync.core.errors import Refused, ServiceError, Unreachable
from customer_sync.http.service import Service

_NO_ADDRESS = (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.exceptions.InvalidURL)
_TIMEOUTS = (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)


def connection_error(error: Exception, service: Service, address: str, timeouts: tuple[float, float]) -> ServiceError:
    """Our error for one of `requests`, `urllib3` or the socket. *address* is the redacted base address, *timeouts* are
    those of the connection and of the answer, seconds.
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
    elif "WRONG_VERSION_NUMBER" in str(reason):
        problem, step = "is not an HTTPS server", f"Check {setting} (http instead of https?)"
    else:
        problem = "closed the connection"
    return Unreachable(name, f"{problem} at {address}", f"{step}; the next run retries.")


def _distrust(error: Exception, cause: object) -> str:
    """Why the service's certificate is not trusted; empty where that is not the cause."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    no_bundle = "CA certificate bundle" in str(error) or "X509" in str(cause)
    return "the bundle holds no certificate" if no_bundle else ""
