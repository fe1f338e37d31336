"""`--env-file`: read strictly, as sh and systemd read it, before anything else; and every proposed command names it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import COMMAND, Command, Outcome, StartSandbox, fill_folkform, only_page
from .surroundings import permitted

_TOKEN = "s3cret-t0ken"
_NEEDED = f"FOLKFORM_BASE_URL='http://127.0.0.1:9/api/v1'\nFOLKFORM_TOKEN='{_TOKEN}'\n"
_READ = """
import json, sys
from customer_sync.config.env_file import load_env_file, loaded
environment = {}
load_env_file(sys.argv[1], environment)
print(json.dumps([environment, loaded().problems]))
"""


def _file(run: Command, text: str | bytes, name: str = "settings.env") -> Path:
    path = run.home / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def _read(path: Path) -> tuple[dict[str, str], list[str]]:
    """The variables and the problems of a file, as the program reads it."""
    ended = subprocess.run([sys.executable, "-c", _READ, path], capture_output=True, text=True, check=True)
    environment, problems = json.loads(ended.stdout)
    return environment, problems


def _settings(box: object, run: Command) -> str:
    """A file of all that a run in this sandbox needs."""
    needed = {name: value for name, value in run.environment(box).items() if name != "PATH"}  # type: ignore[arg-type]
    return "".join(f"{name}='{value}'\n" for name, value in needed.items())


# What a line means

_ALIKE = [
    "PLAIN=value-1.2_3/4:5@6%7+8,9^!{x}[0]",
    "PADDING=abc==",
    "EMPTY=",
    "QUOTED_EMPTY=''",
    "  INDENTED=value",
    "TRAILING=value  \t",
    "SINGLE='two  words $HOME `date` \"quoted\" \\ # no comment; & | < > ( ) * ? ~'",
    'DOUBLE="it\'s \\"quoted\\", \\$HOME, \\`date\\` and \\\\"',
    "JOINED='it'\"'\"'s'",
    "VIETNAMESE='Trà sữa Hạ Long'",
    "URL='https://hc-ping.com/key/customer-sync-{pass}?create=1'",
    "lower_case=x",
    "# A comment with = and 'quotes",
    "   # another",
    "",
    "   ",
]


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_a_shell_reads_it_alike(run: Command, shell: str) -> None:
    """`set -a; . FILE` gives the same values for every line that is accepted."""
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    file = _file(run, "\n".join(_ALIKE))
    ours, problems = _read(file)
    assert problems == []
    script = f'set -a; . "$1"; exec {sys.executable} -c "import json, os; print(json.dumps(dict(os.environ)))"'
    sourced = subprocess.run(
        [shell, "-c", script, shell, file], env={"HOME": "/home/x"}, capture_output=True, text=True, check=True
    )
    theirs = json.loads(sourced.stdout)
    assert ours == {name: theirs[name] for name in ours}
    assert len(ours) == sum(1 for line in _ALIKE if "=" in line and "#" not in line.lstrip()[:1])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("s3cret", "is not VARIABLE=value"),
        ("FOLKFORM TOKEN=s3cret", "is not VARIABLE=value"),
        ("A =s3cret", "is not VARIABLE=value"),
        ("1A=s3cret", "is not VARIABLE=value"),
        ("; s3cret", "is not VARIABLE=value"),
        ("export A=s3cret", "is not VARIABLE=value: remove the word export"),
        ("A= s3cret", "has a value that shells read differently"),
        ("A=s3cret two", "has a value that shells read differently"),
        ("A=s3cret # comment", "has a value that shells read differently"),
        ("A='s3cret' # comment", "has a value that shells read differently"),
        ("A='s3cret'more", "has a value that shells read differently"),
        ("A='s3cret' 'more'", "has a value that shells read differently"),
        ("A='s3cret", "has a value that shells read differently"),
        ('A="s3cret', "has a value that shells read differently"),
        ('A="s3cret$HOME"', "has a value that shells read differently"),
        ('A="s3cret`date`"', "has a value that shells read differently"),
        ('A="s3cret\\n"', "has a value that shells read differently"),
        *((f"A=s3cret{character}", "has a value that shells read differently") for character in "$`\\;&|<>()#~\"'"),
        ("A='it'\\''s3cret'", "has a value that shells read differently"),
        ("# s3cret \\", "is a comment that ends in a backslash"),
        ("A=s3cret\x00", "has a control character"),
        ("A=s3cret\x0bB=1", "has a control character"),
        ("A=s3cret\rB=1", "has a control character"),
        ("A='s3cret\u200b'", "has a control character"),
        ("A=s3cret\u00a0", "has a control character"),
        ("A=s3cret\u2028B=1", "has a control character"),
        ("OK=s3cret", "sets a variable again"),
    ],
)
def test_a_malformed_line_is_named_and_not_shown(run: Command, line: str, problem: str) -> None:
    """File and line number; never what the line holds."""
    file = _file(run, f"OK=1\n{line}\nLAST=2\n")
    values, (found,) = _read(file)
    assert found.startswith(f"{file} line 2 {problem}")
    assert "s3cret" not in found
    assert values == {"OK": "1", "LAST": "2"}


def test_one_problem_for_many_lines(run: Command) -> None:
    """A file of another kind is not listed line by line."""
    file = _file(run, "just text\n" * 400)
    step = "write it so, without spaces around ="
    assert _read(file)[1] == [f"{file} line 1 (also 2, 3, 4, 396 more) is not VARIABLE=value: {step}"]
    file = _file(run, "A=1\njust text\nB=2\nmore text\n")
    assert _read(file)[1] == [f"{file} line 2 (also 4) is not VARIABLE=value: {step}"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (_NEEDED.replace("\n", "\r\n").encode(), "has Windows line ends (CRLF): save it with line feeds only"),
        (b"\xef\xbb\xbf" + _NEEDED.encode(), "begins with a byte order mark: save it as UTF-8 without BOM"),
        (b"A=\xff\n", "cannot be read (not UTF-8 text)"),
        (b"#" * 65537, "cannot be read (larger than 65,536 bytes)"),
    ],
)
def test_a_file_of_another_form(run: Command, content: bytes, problem: str) -> None:
    """What another program has written is refused as a whole."""
    values, (found,) = _read(_file(run, content))
    assert problem in found
    assert values == {}


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device", "huge", "", "nul", "unreadable"])
def test_a_file_that_cannot_be_read(run: Command, kind: str) -> None:
    """One sentence with its name, at once, exit code 2; `check` says it, too."""
    path, reason = str(run.home / kind), "not a regular file"
    match kind:
        case "missing":
            reason = "No such file or directory"
        case "directory":
            Path(path).mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path = "/dev/zero"
        case "huge":
            reason = "larger than 65,536 bytes"
            with Path(path).open("wb") as file:
                file.truncate(100 * 2**20)
        case "":
            path = ""
        case "nul":
            path, reason = "a/../" * 2000, "File name too long"
        case "unreadable":
            path, reason = f"{COMMAND}/below", "Not a directory"
    for command in ("incremental", "check"):
        outcome = run(None, command, "--env-file", path)
        assert outcome.code == 2
        assert f"cannot be read ({reason})" in " ".join(outcome.output.split())
        assert "Traceback" not in outcome.output


def test_all_problems_at_once(run: Command) -> None:
    """Lines, settings and arguments are reported together, without the content of a line, and without settings that
    are missing: they may be on the line that is wrong.
    """
    file = _file(run, f"FOLKFORM_TOKEN={_TOKEN} two\nCUSTOMER_SYNC_WORKERS=many\n")
    outcome = run(None, "incremental", "--env-file", str(file), "--since", "soon")
    assert outcome.code == 2
    assert f"{file} line 1 has a value" in outcome.err
    assert f"CUSTOMER_SYNC_WORKERS is 'many' (from {file})" in outcome.err
    assert "--since: 'soon'" in outcome.err
    assert "is missing" not in outcome.err
    check = run(None, "check", "--env-file", str(file))
    assert (check.code, "is missing" in check.out) == (2, False)
    assert _TOKEN not in outcome.output


# Where it applies


@pytest.mark.parametrize("how", ["after", "before", "variable", "relative"])
def test_every_way_to_name_it(sandbox: StartSandbox, run: Command, how: str) -> None:
    """After the command, before it, by its variable, and relative: the settings of the file are used."""
    file = _file(run, _settings(sandbox(customers=3), run))
    option = ["--env-file", file.name if how == "relative" else str(file)]
    environment = {"PATH": run.environment(None)["PATH"]}
    if how == "variable":
        environment["CUSTOMER_SYNC_ENV_FILE"] = option.pop()
        option.clear()
    arguments = [*option, "backfill", "--json"] if how == "before" else ["backfill", "--json", *option]
    ended = subprocess.run(
        [COMMAND, *arguments], env=environment, cwd=run.home, capture_output=True, text=True, check=False
    )
    assert Outcome(ended.returncode, ended.stdout, ended.stderr).totals["upserted"] == 3


@pytest.mark.parametrize("command", ["incremental", "backfill", "verify", "status", "explain", "check"])
def test_every_command_reads_it(sandbox: StartSandbox, run: Command, command: str) -> None:
    """Each command that reads settings takes the option."""
    box = sandbox(customers=60)
    fill_folkform(box)
    psid = box.pancake.customers(only_page(box))[0]["psid"]
    more = [psid, "--page", only_page(box)] if command == "explain" else []
    file = _file(run, _settings(box, run))
    assert run(None, command, *more, "--env-file", str(file)).code == 0


def test_the_environment_takes_precedence(run: Command) -> None:
    """`check` shows where each setting comes from."""
    file = _file(run, f"{_NEEDED}CUSTOMER_SYNC_WORKERS=2\nCUSTOMER_SYNC_PAGE_SIZE=50\nCUSTOMER_SYNC_SHARDS=4\n")
    outcome = run(None, "check", "--json", "--env-file", str(file), CUSTOMER_SYNC_WORKERS="3", JOB_COMPLETION_INDEX="1")
    details = {one["what"]: one["detail"] for one in outcome.json["findings"]}
    assert details["CUSTOMER_SYNC_WORKERS"] == "3 (environment variable)"
    assert details["CUSTOMER_SYNC_PAGE_SIZE"] == f"50 ({file})"
    assert details["CUSTOMER_SYNC_SHARDS"] == f"4 ({file}); a pass takes shard 1/4"
    assert details["FOLKFORM_TOKEN"] == f"set, {len(_TOKEN)} characters ({file})"
    assert details["--env-file"].startswith(str(file))
    assert _TOKEN not in outcome.output


def test_variables_of_others_take_effect(run: Command) -> None:
    """A time zone, a proxy, a log format: as if the environment had them."""
    more = "TZ='America/New_York'\nHTTPS_PROXY='http://127.0.0.1:9'\nCUSTOMER_SYNC_LOG_FORMAT=json\n"
    needed = _NEEDED.replace("http://127.0.0.1:9", "https://folkform.example")
    environment = {"PATH": run.environment(None)["PATH"], "HOME": str(run.home)}
    ended = subprocess.run(
        [COMMAND, "incremental", "--env-file", _file(run, needed + more), "--since", "2020-01-31", "--max-runtime=1"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2020-01-31 00:00:00 -05:00" in ended.stderr
    assert all(json.loads(line) for line in ended.stderr.splitlines())
    assert "proxy" in ended.stderr


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_public_file_is_warned_of(sandbox: StartSandbox, run: Command, mode: int, warned: bool) -> None:
    """As a secret's file: where every user can read it, a run warns, and so does `check`."""
    file = _file(run, _settings(sandbox(), run))
    for directory in (file, *file.parents):
        if directory.stat().st_mode & 0o777 == 0o700:
            directory.chmod(0o711)
    file.chmod(mode)
    for command in ("incremental", "check"):
        outcome = run(None, command, "--env-file", str(file))
        assert outcome.code == 0
        assert ("can be read or changed by every user of this machine" in " ".join(outcome.output.split())) == warned


# What the commands that are printed say


@pytest.mark.parametrize("name", ["settings.env", "my settings.env"])
def test_a_remedy_runs_as_pasted(sandbox: StartSandbox, run: Command, name: str) -> None:
    """The command that a comparison proposes runs in a shell that has none of its variables."""
    box = sandbox(customers=3)
    file = _file(run, _settings(box, run), name)
    outcome = run(None, "verify", "--env-file", str(file))
    assert outcome.code == 1
    (remedy,) = set(re.findall(r"customer-sync backfill --page \d+ --env-file .*?\.env'?", outcome.output))
    pasted = subprocess.run(
        ["/bin/sh", "-c", f"cd / && {remedy}"],
        env={"PATH": f"{COMMAND.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert pasted.returncode == 0, pasted
    assert box.difference().equal


@pytest.mark.parametrize(
    ("started", "path", "named"),
    [
        ([str(COMMAND)], f"{COMMAND.parent}:/usr/bin", "customer-sync"),
        ([str(COMMAND)], "/usr/bin:/bin", str(COMMAND)),
        ([sys.executable, "-m", "customer_sync"], "/usr/bin:/bin", str(COMMAND)),
    ],
)
def test_a_proposed_command_is_found(
    sandbox: StartSandbox, run: Command, started: list[str], path: str, named: str
) -> None:
    """It begins with a name that PATH finds, or else with the absolute path of what runs."""
    box = sandbox(customers=3)
    environment = run.environment(box, PATH=path)
    ended = subprocess.run([*started, "verify"], env=environment, capture_output=True, text=True, check=False)
    assert set(re.findall(rf"(\S+) backfill --page {only_page(box)}", ended.stdout + ended.stderr)) == {named}


def test_the_file_of_another_user(run: Command) -> None:
    """A user who may not read it is told as which user to run the command."""
    nameless = permitted(["--user", "--map-user=12345", "--map-group=12345"])
    file = _file(run, _NEEDED)
    file.chmod(0)
    ended = subprocess.run(
        [*nameless, COMMAND, "check", "--env-file", file],
        env=run.environment(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "cannot be read (Permission denied) → Run the command as its user" in " ".join(ended.stdout.split())


def test_root_is_warned_of_the_file_of_a_user(sandbox: StartSandbox, run: Command) -> None:
    """Locks are per user: root must not run beside the user whose file it is."""
    if os.geteuid() != 0:
        pytest.skip("this test needs root")
    file = _file(run, _settings(sandbox(), run))
    shutil.chown(file, "daemon")
    outcome = run(None, "incremental", "--env-file", str(file))
    assert f"{file} belongs to daemon, and locks are per user: run the command with sudo -u daemon" in outcome.output
