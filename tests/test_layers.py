"""The packages of `customer_sync/` are layers: imports run downward, and one library is known in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import customer_sync

PACKAGE = Path(customer_sync.__file__).parent
# From the bottom up: a package imports from lower floors only.
FLOORS = [
    {"core"},
    {"config", "http"},
    {"services"},
    {"results"},
    {"sync", "monitoring", "output"},
    {"inspect", "check"},
    {"cli"},
]
LIBRARIES = {
    "typer": "cli",
    "click": "cli",
    "rich": "output",
    "requests": "http",
    "urllib3": "http",
    "backoff": "http",
    "dateutil": "core",
    "fcntl": "core",
    "prometheus_client": "monitoring",
    "starlette": "sandbox",
    "uvicorn": "sandbox",
}
CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.sleep"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"),
}
MODULES = {
    path.relative_to(PACKAGE): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" and path.parent != PACKAGE
}
PROGRAM = {path: module for path, module in MODULES.items() if path.parts[0] != "sandbox"}


def imported(module: ast.Module) -> Iterator[str]:
    """The dotted name of every import in a module, also inside of functions."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(module: ast.Module) -> set[str]:
    """The dotted name of everything that a module uses by name."""
    return {ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Name | ast.Attribute)}


def floor(package: str) -> int:
    """The floor of a package. Raises ValueError for one that has none."""
    (number,) = (number for number, packages in enumerate(FLOORS) if package in packages)
    return number


def test_imports_run_downward() -> None:
    """A package imports from itself and from lower floors; a new package needs a floor."""
    for path, module in PROGRAM.items():
        for name in imported(module):
            _, _, rest = name.partition("customer_sync.")
            other = rest.partition(".")[0]
            if rest and other not in ("__version__", path.parts[0]) and not name.startswith("customer_sync.sandbox"):
                assert floor(other) < floor(path.parts[0]), f"{path} imports {name}"


def test_no_module_is_part_of_a_cycle() -> None:
    """Inside a package, too, imports run one way."""
    names = {f"customer_sync.{'.'.join(path.with_suffix('').parts)}": module for path, module in PROGRAM.items()}
    waiting = {
        name: {other for one in imported(module) for other in (one, one.rpartition(".")[0]) if other in names}
        for name, module in names.items()
    }
    while free := {name for name, needs in waiting.items() if not needs}:
        waiting = {name: needs - free for name, needs in waiting.items() if name not in free}
    assert not waiting


def test_a_library_is_known_to_one_package() -> None:
    """Replacing a library touches one package."""
    for path, module in MODULES.items():
        for name in imported(module):
            package = LIBRARIES.get(name.partition(".")[0])
            assert package in (None, path.parts[0]), f"{path} imports {name}"


def test_only_the_demo_needs_the_sandbox() -> None:
    """The passes run without the extra `sandbox`."""
    users = {
        path.name for path, module in PROGRAM.items() if any("customer_sync.sandbox" in one for one in imported(module))
    }
    assert users == {"demo.py"}


def test_the_sandbox_shares_no_code_with_the_program() -> None:
    """A mistake of the program cannot hide in what it is tested on."""
    for path, module in MODULES.items():
        if path.parts[0] == "sandbox":
            others = [one for one in imported(module) if one.startswith("customer_sync.")]
            assert all(one.startswith("customer_sync.sandbox") for one in others), path


def test_only_output_prints() -> None:
    """Everything printed goes through the screen, which hides secrets."""
    printing = {"print", "sys.stdout", "sys.stderr", "sys.stdout.write", "sys.stderr.write", "builtins.print"}
    for path, module in PROGRAM.items():
        if path.parts[0] != "output" and path.name != "streams.py":
            assert not printing & (named(module) | set(imported(module))), path


def test_only_the_clock_knows_the_time() -> None:
    """A test may bring a clock of its own."""
    for path, module in PROGRAM.items():
        if path.name not in ("clock.py", "demo.py"):
            assert not CLOCKS & (named(module) | set(imported(module))), path
