"""Each room has one subject, and imports run downward: read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import customer_sync

PACKAGE = Path(customer_sync.__file__).parent
# From the bottom up: a room may import from rooms of lower floors only.
FLOORS = [
    {
        "errors",
        "manner",
        "streams",
        "redact",
        "page",
        "shard",
        "rate_limiter",
        "read_ahead",
        "personal",
        "table",
        "given",
        "kept",
    },
    {"clock", "settings", "customer", "role"},
    {"transport", "locks", "interrupt", "page_token", "documents"},
    {"http", "probe"},
    {"sign_in", "customer_path"},
    {"pancake", "folkform_access"},
    {"folkform_order"},
    {"folkform"},
    {"marks", "stored_versions", "walk", "result"},
    {
        "pieces",
        "write",
        "pages",
        "services",
        "ping",
        "page_status",
        "verified_page",
        "fields",
        "findings",
        "check_window",
    },
    {"sync", "verify", "status", "metrics", "explanation", "check_settings", "check_address"},
    {"explain", "monitor", "check_folkform", "check_pancake", "check_machine", "check_cron"},
    {"passes", "check", "bars"},
    {"readings", "console"},
    {"demo", "commands"},
    {"cli"},
    {"__main__"},
]
ONLY_ROOM = {
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"bars", "console"},
    "requests": {"http", "transport"},
    "urllib3": {"http", "transport"},
    "backoff": {"http"},
    "dateutil": {"customer"},
    "fcntl": {"locks"},
    "prometheus_client": {"metrics"},
    "starlette": set(),
    "uvicorn": set(),
}
ROOMS = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
FREE = {"demo"}


def tree(room: str) -> ast.Module:
    """The syntax tree of a room."""
    return ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))


def imported(module: ast.Module) -> Iterator[str]:
    """Every module that is imported anywhere in it, also inside of functions."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(module: ast.Module) -> Iterator[str]:
    """The dotted name of everything that is called or handed on by its name."""
    for node in ast.walk(module):
        if isinstance(node, ast.Name | ast.Attribute):
            yield ast.unparse(node)


def floor(room: str) -> int:
    """On which floor a room is."""
    (number,) = (number for number, rooms in enumerate(FLOORS) if room in rooms)
    return number


def test_every_room_has_its_floor() -> None:
    """A new room has to find its place."""
    assert sorted(set().union(*FLOORS)) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_downward(room: str) -> None:
    """No room imports from its own floor or above."""
    for name in imported(tree(room)):
        package, _, rest = name.partition(".")
        below = rest.partition(".")[0]
        if package == "customer_sync" and below in ROOMS:
            assert floor(below) < floor(room), f"{room} imports {below}"


@pytest.mark.parametrize("room", ROOMS)
def test_one_library_one_room(room: str) -> None:
    """Each library is known in one room; nobody else imports it."""
    for name in imported(tree(room)):
        rooms = ONLY_ROOM.get(name.partition(".")[0])
        assert rooms is None or room in rooms, f"{room} imports {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_only_the_demo_knows_the_sandbox(room: str) -> None:
    """The program runs without the extra: nobody but the demo imports the sandbox."""
    if room not in FREE:
        assert not [name for name in imported(tree(room)) if name.startswith("customer_sync.sandbox")]


@pytest.mark.parametrize("path", sorted((PACKAGE / "sandbox").glob("*.py")), ids=lambda path: path.stem)
def test_the_sandbox_stands_alone(path: Path) -> None:
    """The sandbox shares no code with what is tested on it."""
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        assert not name.startswith("customer_sync.") or name.startswith("customer_sync.sandbox"), name
        assert name.partition(".")[0] not in {"typer", "rich", "requests", "urllib3", "backoff", "dateutil"}


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"console", "streams"}))
def test_only_the_console_prints(room: str) -> None:
    """Everything said goes through the console, which hides secrets."""
    said = {"print", "sys.stdout", "sys.stderr", "sys.stdout.write", "sys.stderr.write", "builtins.print"}
    assert not said & set(called(tree(room)))


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"clock", *FREE}))
def test_only_the_clock_tells_the_time(room: str) -> None:
    """The time comes from the clock, so that a test may bring its own."""
    clocks = {
        *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.sleep"),
        *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"),
    }
    assert not clocks & set(called(tree(room)))


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_hides_a_clock_behind_its_name(room: str) -> None:
    """`from time import time` would not be seen by the test above."""
    hidden = {"time.time", "time.monotonic", "time.sleep", "builtins.print", "sys.stdout", "sys.stderr"}
    assert not hidden & set(imported(tree(room)))
