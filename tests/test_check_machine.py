"""`check` tells how the services are reached, and what this machine does otherwise than cron will."""

import os
import re
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from customer_sync.config.settings import SHARDS, declared
from customer_sync.sandbox import Sandbox

from .checked import CRON_FILE, check, read
from .conftest import COMMAND, Command, Outcome, StartSandbox, only_page
from .surroundings import ConnectProxy, Relay, make_certificate, permitted, served

_NAMED = "https://folkform.example/folkform/api/v1"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox that is only asked."""
    with Sandbox(pages=1, customers=3) as started:
        yield started


@pytest.fixture(scope="module", params=[2, 90])
def certificate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A certificate that signs itself, its key, and for how many days it is valid."""
    return (*make_certificate(tmp_path_factory.mktemp("certificate"), request.param), request.param)


# How a service is reached


def test_loopback(box: Sandbox, run: Command) -> None:
    """On loopback no TLS is needed, which is said."""
    assert check(run, box)["FolkForm: connection"]["detail"] == f"{urlsplit(box.url).netloc}, no TLS (this machine)"


def test_a_host_name(box: Sandbox, run: Command) -> None:
    """A host name is told with its address; one that nobody knows is an outage that ends only its service's part."""
    named = {name: text.replace("127.0.0.1", "localhost") for name, text in box.environment.items()}
    assert check(run, None, **named)["FolkForm: host name"]["detail"].startswith("localhost is 127.0.0.1")
    checked = check(run, box, FOLKFORM_BASE_URL="https://nobody.invalid/api/v1")
    assert (checked.code, checked.wrong) == (75, ["FolkForm: host name"])
    assert "nobody.invalid has no address" in checked["FolkForm: host name"]["detail"]
    assert "getent hosts nobody.invalid" in checked["FolkForm: host name"]["next_step"]
    assert "Pancake: connection" in checked
    endless = f"https://{'a' * 70}.example/api/v1"
    assert check(run, box, FOLKFORM_BASE_URL=endless).wrong == ["FolkForm: host name"]


def test_nobody_listens(box: Sandbox, run: Command) -> None:
    """Where nothing listens FolkForm's part is told in full all the same."""
    checked = check(run, box, PANCAKE_BASE_URL="http://127.0.0.1:1/api")
    assert (checked.code, checked.wrong) == (75, ["Pancake: connection"])
    assert "127.0.0.1:1 (Connection refused)" in checked["Pancake: connection"]["detail"]
    assert "PANCAKE_BASE_URL" in checked["Pancake: connection"]["next_step"]
    assert "FolkForm: customers" in checked


def test_no_tls_where_it_should_be(box: Sandbox, run: Command) -> None:
    """An https address where plain http is spoken is told as that."""
    checked = check(run, box, FOLKFORM_BASE_URL=box.environment["FOLKFORM_BASE_URL"].replace("http:", "https:"))
    assert (checked.code, checked.wrong) == (75, ["FolkForm: connection"])
    assert "speaks no TLS" in checked["FolkForm: connection"]["detail"]


def test_a_handshake_that_never_ends(box: Sandbox, run: Command) -> None:
    """A server that takes the connection and says nothing is given up."""
    with socket.create_server(("127.0.0.1", 0), backlog=4) as deaf:
        address = f"https://127.0.0.1:{deaf.getsockname()[1]}/api/v1"
        checked = check(run, box, "--timeout", "0.2", FOLKFORM_BASE_URL=address)
    assert (checked.code, checked.wrong) == (75, ["FolkForm: connection"])
    assert checked["FolkForm: connection"]["detail"].endswith("within 0.2 s")


def test_a_certificate(box: Sandbox, run: Command, certificate: tuple[Path, Path, int]) -> None:
    """A trusted certificate is told with its end, which is a warning when it is near."""
    cert, key, days = certificate
    with served(Relay, urlsplit(box.url).netloc, [], (cert, key)) as place:
        address = f"https://{place}/folkform/api/v1"
        checked = check(run, box, FOLKFORM_BASE_URL=address, REQUESTS_CA_BUNDLE=str(cert))
    assert (checked.code, checked.wrong) == (0, [])
    assert checked["FolkForm: connection"]["detail"] == f"{place}, TLSv1.3 (this machine)"
    told = checked["FolkForm: certificate"]
    left = "1 day" if days == 2 else f"{days - 1} days"
    assert re.fullmatch(rf"valid until \d{{4}}-\d\d-\d\d \({left}\), issued by Folk", told["detail"])
    assert (told["state"], "renewed" in told["next_step"]) == (("warning", True) if days < 14 else ("ok", False))


def test_a_distrusted_certificate(box: Sandbox, run: Command, certificate: tuple[Path, Path, int]) -> None:
    """A certificate that nobody vouches for, and a bundle that holds none, are refusals; nothing is asked."""
    box.requests.clear()
    with served(Relay, urlsplit(box.url).netloc, [], certificate[:2]) as place:
        address = f"https://{place}/folkform/api/v1"
        for bundle, why in (("", "self-signed certificate"), ("missing.pem", "missing.pem holds no certificate")):
            checked = check(run, box, FOLKFORM_BASE_URL=address, REQUESTS_CA_BUNDLE=bundle)
            assert (checked.code, checked.wrong) == (3, ["FolkForm: connection"])
            assert f"cannot be trusted ({why}" in checked["FolkForm: connection"]["detail"]
            assert "REQUESTS_CA_BUNDLE" in checked["FolkForm: connection"]["next_step"]
    assert box.requests.count() == 0


def test_proxies(box: Sandbox, run: Command, certificate: tuple[Path, Path, int]) -> None:
    """The proxy in use is told with the variable that names it, and that NO_PROXY goes past it; no login is shown."""
    cert, key, _ = certificate
    asked: list[str] = []
    with ExitStack() as servers:
        folkform = servers.enter_context(served(Relay, urlsplit(box.url).netloc, [], (cert, key)))
        proxy = servers.enter_context(served(ConnectProxy, folkform, asked))
        for login in ("http://user:secret@", ""):
            settings = {"HTTPS_PROXY": f"{login}{proxy}", "REQUESTS_CA_BUNDLE": str(cert), "NO_PROXY": "127.0.0.1"}
            checked = check(run, box, FOLKFORM_BASE_URL=_NAMED, **settings)
            assert (checked.code, "secret" in str(checked)) == (0, False)
            told = f"{proxy}, from HTTPS_PROXY; it looks the host name up"
            assert checked["FolkForm: proxy"]["detail"] == told
            assert checked["FolkForm: connection"]["detail"] == "folkform.example, TLSv1.3"
            assert "FolkForm: host name" not in checked
        assert set(asked) == {"folkform.example:443"}
        direct = check(run, box, FOLKFORM_BASE_URL=f"https://{folkform}/folkform/api/v1", **settings)
        past = f"{folkform}, TLSv1.3 (this machine); past HTTPS_PROXY, as NO_PROXY says"
        assert direct["FolkForm: connection"]["detail"] == past


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://user:secret@127.0.0.1:port", "http://127.0.0.1:1x"])
def test_a_proxy_that_fails(box: Sandbox, run: Command, proxy: str) -> None:
    """A proxy that is not there, or whose address is none, is an outage with the variable to look at."""
    checked = check(run, box, FOLKFORM_BASE_URL=_NAMED, https_proxy=proxy)
    assert (checked.code, checked.wrong) == (75, ["FolkForm: connection"])
    assert "through the proxy" in checked["FolkForm: connection"]["detail"]
    assert "https_proxy" in checked["FolkForm: connection"]["next_step"]
    assert "secret" not in str(checked)


class _LockedProxy(ConnectProxy):
    """A proxy that wants a login."""

    def do_CONNECT(self) -> None:  # noqa: N802
        if self.headers["Proxy-Authorization"] == f"Basic {b64encode(b'user:secret').decode()}":
            super().do_CONNECT()
        else:
            self.send_error(407)


def test_a_proxy_with_a_login(box: Sandbox, run: Command, certificate: tuple[Path, Path, int]) -> None:
    """A proxy gets the login of its address; one that lets us not through is told in its words."""
    cert, key, _ = certificate
    with ExitStack() as servers:
        folkform = servers.enter_context(served(Relay, urlsplit(box.url).netloc, [], (cert, key)))
        proxy = servers.enter_context(served(_LockedProxy, folkform, []))
        settings = {"FOLKFORM_BASE_URL": _NAMED, "REQUESTS_CA_BUNDLE": str(cert)}
        assert check(run, box, HTTPS_PROXY=f"http://user:secret@{proxy}", **settings).wrong == []
        checked = check(run, box, HTTPS_PROXY=f"http://user:vergessen@{proxy}", **settings)
    assert (checked.code, checked.wrong) == (75, ["FolkForm: connection"])
    assert "407 Proxy Authentication Required" in checked["FolkForm: connection"]["detail"]
    assert "vergessen" not in str(checked)


def test_a_proxy_of_another_kind(box: Sandbox, run: Command) -> None:
    """A way that no probe can take is left to the first request."""
    checked = check(run, box, FOLKFORM_BASE_URL=_NAMED, ALL_PROXY="socks5://127.0.0.1:1", NO_PROXY="127.0.0.1")
    assert checked["FolkForm: proxy"]["detail"].startswith("127.0.0.1:1, from ALL_PROXY")
    assert checked["FolkForm: connection"]["detail"].startswith("not looked at before the first request")
    assert checked.wrong == ["FolkForm: pages"]


# This machine


@pytest.mark.parametrize(
    ("offset", "told"), [(95.0, "this machine's is 9. s behind it: "), (-95.0, "is 9. s behind this machine's: ")]
)
def test_clocks(sandbox: StartSandbox, run: Command, offset: float, told: str) -> None:
    """Clocks that agree are told as one; of two that do not it is said which is behind, and what follows."""
    box = sandbox(customers=3)
    assert check(run, box)["This machine: FolkForm's clock"]["state"] == "ok"
    box.behaviour.pancake_clock_offset = offset
    checked = check(run, box)
    assert (checked.code, checked.warnings) == (0, ["This machine: Pancake's clock"])
    detail = checked["This machine: Pancake's clock"]["detail"]
    assert re.fullmatch(f"{told}whoever changed since is synced that much later", detail)


class _LateRelay(Relay):
    """A relay whose clock is behind."""

    def send_header(self, keyword: str, value: str) -> None:
        late = formatdate(time.time() - 95, usegmt=True)
        super().send_header(keyword, late if keyword.lower() == "date" else value)


def test_a_clock_that_no_pass_goes_by(box: Sandbox, run: Command) -> None:
    """FolkForm's clock is compared, too, and said to delay nobody."""
    with served(_LateRelay, urlsplit(box.url).netloc, []) as place:
        checked = check(run, box, FOLKFORM_BASE_URL=f"http://{place}/folkform/api/v1")
    assert (checked.code, checked.warnings) == (0, ["This machine: FolkForm's clock"])
    detail = checked["This machine: FolkForm's clock"]["detail"]
    assert re.fullmatch("is 9. s behind this machine's: no pass goes by it", detail)


def test_the_lock_directory(box: Sandbox, run: Command) -> None:
    """The lock directory is made as a pass would make it, and told with its owner."""
    detail = check(run, box)["This machine: lock directory"]["detail"]
    assert run.lock_dir.is_dir()
    assert detail.startswith(f"{run.lock_dir}, owned by {run.lock_dir.owner()}")
    assert list(run.lock_dir.iterdir()) == []


def test_a_lock_directory_that_cannot_be(box: Sandbox, run: Command) -> None:
    """A lock directory that cannot be used is wrong, and everything else is looked at."""
    (run.home / "file").touch()
    checked = check(run, box, CUSTOMER_SYNC_LOCK_DIR=f"{run.home}/file/locks")
    assert (checked.code, checked.wrong) == (2, ["This machine: lock directory"])
    assert checked[f"Pancake: {only_page(box)} token"]["state"] == "ok"


def test_a_lock_directory_of_another(box: Sandbox, run: Command) -> None:
    """A lock directory that our user may not write to is wrong, and its owner is named."""
    nobody = permitted(["--user", "--map-user=12345", "--map-group=12345"])
    run.lock_dir.mkdir(mode=0o500)
    checked = read(_run([*nobody, str(COMMAND), "check", "--json"], run.environment(box)))
    assert (checked.code, checked.wrong) == (2, ["This machine: lock directory"])
    assert "cannot be written to" in checked["This machine: lock directory"]["detail"]


# Cron


def _run(arguments: list[str], environment: dict[str, str]) -> Outcome:
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def test_variables_that_cron_does_not_see(box: Sandbox, run: Command) -> None:
    """What is set only here is named, never shown, with the file that cron would need."""
    checked = check(run, box, HTTPS_PROXY="http://secret-proxy", NO_PROXY="*", ENVIRONMENT="production")
    told = checked["Cron: variables"]
    assert told["state"] == "warning"
    for name in ("FOLKFORM_TOKEN", "PANCAKE_BASE_URL", "CUSTOMER_SYNC_LOCK_DIR", "HTTPS_PROXY", "NO_PROXY"):
        assert name in told["detail"]
    assert "/etc/customer-sync.env" in told["detail"]
    assert "crontab.example" in told["next_step"]
    assert "secret-proxy" not in str(checked)


def test_variables_that_cron_sees(box: Sandbox, run: Command) -> None:
    """What cron's file sets is no warning, and what it leaves out is."""
    file = run.home / CRON_FILE
    names = [*box.whole_environment, "CUSTOMER_SYNC_LOCK_DIR", "CUSTOMER_SYNC_PANCAKE_RPS"]
    values = {name: run.environment(box)[name] for name in names}
    file.write_text("# settings\n" + "".join(f'{name}="{value}"  # ours\n' for name, value in values.items()))
    checked = check(run, box)
    assert "Cron: other values" not in checked
    assert checked["Cron: variables"]["detail"].startswith(f"{file} sets all that are set here: FOLKFORM_BASE_URL, ")
    assert checked["Cron: variables"]["state"] == "ok"
    file.write_text("".join(f" export {name}='something'\n" for name in names if name != "FOLKFORM_TOKEN"))
    checked = check(run, box)
    assert checked["Cron: variables"]["detail"] == f"set here and not in {file}: FOLKFORM_TOKEN"


def test_other_values_than_cron_sees(box: Sandbox, run: Command) -> None:
    """A value that cron's file gives otherwise, an old token say, is named and never shown."""
    file = run.home / CRON_FILE
    environment = run.environment(box) | {"FOLKFORM_TOKEN": "an-old-token", "CUSTOMER_SYNC_LOCK_DIR": "/elsewhere"}
    file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    checked = check(run, box)
    told = checked["Cron: other values"]
    assert told["state"] == "warning"
    assert told["detail"].endswith("to: FOLKFORM_TOKEN, CUSTOMER_SYNC_LOCK_DIR")
    assert "an-old-token" not in str(checked)


def test_no_variables_at_all(run: Command) -> None:
    """With nothing set there is nothing that cron would miss; the settings are still wrong."""
    environment = {"PATH": os.environ["PATH"], "ENVIRONMENT": str(run.home / CRON_FILE)}
    options = ["--lock-dir", str(run.lock_dir), "--pancake-base-url", "http://127.0.0.1:1"]
    checked = read(_run([str(COMMAND), "check", "--json", *options], environment))
    assert checked["Cron: variables"]["detail"] == "none that matters is set here"
    assert checked["Cron: time zone"]["state"] == "ok"
    assert checked.code == 2


def test_a_command_that_cron_does_not_find(box: Sandbox, run: Command) -> None:
    """A command that is not on cron's PATH is told with its whole path, however it was called."""
    checked = check(run, box)
    assert (
        checked["Cron: command"]["detail"]
        == f"{COMMAND} is not on the PATH of crontab.example (/usr/local/bin:/usr/bin:/bin)"
    )
    assert f"PATH={COMMAND.parent}:/usr/local/bin:/usr/bin:/bin" in checked["Cron: command"]["next_step"]
    python = [str(COMMAND.with_name("python")), "-m", "customer_sync", "check", "--json"]
    called = read(_run(python, {**run.environment(box), "ENVIRONMENT": str(run.home / CRON_FILE)}))
    assert called["Cron: command"] == checked["Cron: command"]


@pytest.mark.parametrize("ours", [True, False])
def test_a_command_that_cron_finds(box: Sandbox, run: Command, ours: bool) -> None:
    """A command on cron's PATH is in order when it is this one, and told apart when it is another."""
    layer = run.home / "layer"
    layer.mkdir()
    if ours:
        (layer / "customer-sync").symlink_to(COMMAND)
    else:
        shutil.copy(COMMAND, layer / "customer-sync")
    overlay = f'mount -t overlay overlay -o "lowerdir={layer}:/usr/bin" /usr/bin && exec "$@"'
    mounts = permitted(["--mount"], ["--user", "--map-root-user", "--mount"], then=["/bin/sh", "-c", overlay, "sh"])
    if subprocess.run([*mounts, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine permits no overlay")
    checked = read(_run([*mounts, str(COMMAND), "check", "--json"], run.environment(box)))
    state, says = (
        ("ok", "/usr/bin/customer-sync is on") if ours else ("warning", "cron would run /usr/bin/customer-sync")
    )
    assert checked["Cron: command"]["state"] == state
    assert checked["Cron: command"]["detail"].startswith(says)


def test_a_time_zone_of_our_own(box: Sandbox, run: Command) -> None:
    """A time zone that only this environment has is a warning, and none where cron's file has it, too."""
    checked = check(run, box, TZ="Asia/Kathmandu")
    assert checked["Cron: time zone"]["detail"] == "Asia/Kathmandu (+0545) is set here only; cron keeps the machine's"
    (run.home / CRON_FILE).write_text("TZ=Asia/Kathmandu\n")
    assert check(run, box, TZ="Asia/Kathmandu")["Cron: time zone"]["detail"] == "+0545, and cron's, too"


def test_cron_itself(box: Sandbox, run: Command) -> None:
    """Started by cron nothing differs from cron: no variable, no path, no time zone is warned of."""
    cron = run.home / "cron"
    cron.symlink_to("/bin/sh")
    line = f"{COMMAND} check --json; exit $?"
    checked = read(_run([str(cron), "-c", line], run.environment(box)))
    assert [one["what"] for one in checked.findings if one["area"] == "Cron"] == ["environment"]
    assert (checked.code, checked.of("warning", cron=True)) == (0, [])
    assert "was started by cron" in checked["Cron: environment"]["detail"]


def test_kubernetes(box: Sandbox, run: Command) -> None:
    """In a pod there is no cron: its environment is that of the job."""
    checked = check(run, box, KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert (checked.of("warning", cron=True), "Kubernetes" in checked["Cron: environment"]["detail"]) == ([], True)


def test_every_variable_is_looked_for(run: Command) -> None:
    """Each setting's variable, with its file, is one that cron must see."""
    names = [SHARDS, "FOLKFORM_TOKEN_FILE", *(declaration["variable"] for declaration in declared().values())]
    told = check(run, None, **dict.fromkeys(names, "x"))["Cron: variables"]["detail"]
    assert [name for name in names if not re.search(rf"\b{name}\b", told)] == []
