"""One run at a time per pass and page, and no lock outlives its holder."""

import fcntl
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from customer_sync.core.clock import Clock, local_time
from customer_sync.core.errors import ExitCode, SettingsError, StopRequested
from customer_sync.core.locks import Holder, PageLocked, PageLocks

PATIENCE = 30.0
BOTH = ("incremental", "backfill")
_HOLD = """
import sys, time
from pathlib import Path
from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
with PageLocks(Path(sys.argv[1]), Clock()).held("incremental", "104"):
    print("held", flush=True)
    time.sleep(600)
"""


def locks(directory: Path, clock: Clock | None = None, command: str = "") -> PageLocks:
    """The locks of one run."""
    return PageLocks(directory, clock or Clock(), command)


def assert_locked(one: PageLocks) -> PageLocked:
    """Another run holds the lock. Returns the error."""
    with pytest.raises(PageLocked) as locked, one.held("incremental", "104"):
        pytest.fail("held twice")
    return locked.value


def assert_free(one: PageLocks) -> None:
    with one.held("incremental", "104"):
        pass


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """Another run of the same pass and page fails at once, and so does the same run."""
    mine, others = locks(tmp_path), locks(tmp_path)
    with mine.held("incremental", "104"):
        assert_locked(others)
        assert_locked(mine)
    assert_free(others)


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    """However the work under a lock ends."""
    with pytest.raises(ZeroDivisionError), locks(tmp_path).held("incremental", "104"):
        raise ZeroDivisionError
    assert_free(locks(tmp_path))


def test_other_pages_and_passes_are_free(tmp_path: Path) -> None:
    """A lock blocks the same pass of the same page alone, however similar two page ids are."""
    one = locks(tmp_path)
    with (
        one.held("incremental", "a/b"),
        one.held("backfill", "a/b"),
        one.held("incremental", "a%2Fb"),
        one.held("incremental", "a_b"),
    ):
        pass


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    """The kernel releases it; no file has to be removed."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert_locked(locks(tmp_path))
        holder.kill()
        holder.wait(PATIENCE)
    assert_free(locks(tmp_path))


# Which process holds a lock


def test_the_holder_is_named(tmp_path: Path) -> None:
    """Command, process and start, by this machine's clock; nothing, and no new file, while the lock is free."""
    assert locks(tmp_path).holders(BOTH, "104") == []
    assert not list(tmp_path.iterdir())
    began = int(time.time())
    with locks(tmp_path, command="backfill").held("incremental", "104"):
        (holder,) = locks(tmp_path).holders(BOTH, "104")
        assert (holder.command, holder.pid) == ("backfill", os.getpid())
        assert holder.since is not None
        assert began <= holder.since <= time.time()
        assert local_time(holder.since) in str(holder)
        assert str(holder) in str(assert_locked(locks(tmp_path)))
        assert locks(tmp_path).holders(BOTH, "105") == locks(tmp_path).holders(["backfill"], "104") == []
    assert locks(tmp_path).holders(BOTH, "104") == []


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"null", b'{"pid": "x", "since": 1}', b"\xff", b'{"pid": 1, "since": 1e99}']
)
def test_a_lock_file_that_names_no_holder(tmp_path: Path, text: bytes) -> None:
    """The lock is held all the same, and its name is all that is known."""
    with locks(tmp_path).held("incremental", "104"):
        (file,) = tmp_path.iterdir()
        file.write_bytes(text)
        assert str(assert_locked(locks(tmp_path))).endswith("another run")
        assert locks(tmp_path).holders(BOTH, "104") == [Holder("incremental")]
        assert str(Holder("incremental")) == "incremental"


def test_a_process_with_two_locks_is_listed_once(tmp_path: Path) -> None:
    """A backfill holds its page's incremental lock at times, too: it counts once, from the earlier moment."""

    class Later(Clock):
        def now(self) -> float:
            return 2_000_000_000.0

    with locks(tmp_path, command="backfill").held("backfill", "104"):
        (before,) = locks(tmp_path).holders(BOTH, "104")
        with locks(tmp_path, Later(), "backfill").held("incremental", "104"):
            assert locks(tmp_path).holders(BOTH, "104") == [before]


@pytest.mark.parametrize("wait", [False, True])
def test_reading_the_holder_blocks_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture, wait: bool) -> None:
    """A pass that starts at the very moment of the reading gets the lock, and logs no holder."""
    assert_free(locks(tmp_path))
    (file,) = tmp_path.iterdir()
    reading = os.open(file, os.O_RDONLY)
    fcntl.flock(reading, fcntl.LOCK_SH)

    class UntilItIsRead(Clock):
        def sleep(self, seconds: float) -> None:  # noqa: ARG002
            os.close(reading)

    caplog.set_level(logging.INFO)
    with locks(tmp_path, UntilItIsRead()).held("incremental", "104", wait=wait):
        assert locks(tmp_path).holders(BOTH, "104")
    assert caplog.records == []


def test_waits_when_asked_to(tmp_path: Path) -> None:
    """With *wait* the lock is taken as soon as its holder releases it."""
    held = threading.Event()

    def wait() -> None:
        with locks(tmp_path).held("incremental", "104", wait=True):
            held.set()

    waiting = threading.Thread(target=wait)
    with locks(tmp_path).held("incremental", "104"):
        waiting.start()
        assert not held.wait(0.05)
    assert held.wait(PATIENCE)
    waiting.join(PATIENCE)


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    """At once, without the lock."""
    clock = Clock()
    clock.stop(StopRequested("Ended", ExitCode.SIGTERM))
    waiting = locks(tmp_path, clock).held("incremental", "104", wait=True)
    with locks(tmp_path).held("incremental", "104"), pytest.raises(StopRequested), waiting:
        pytest.fail("held twice")


# The directory


@contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_users_who_share_a_directory() -> None:
    """The lock file of another user works like one's own."""
    with TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        with locks(Path(shared)).held("incremental", "104"), another_user():
            assert_locked(locks(Path(shared)))
        with another_user():
            assert_free(locks(Path(shared)))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user")
def test_another_users_directory_in_a_shared_one(tmp_path: Path) -> None:
    """Where every user may make directories, as in /tmp, the lock directory must be ours."""
    directory = tmp_path / "locks"
    directory.mkdir()
    os.chown(directory, 12345, 12345)
    locks(directory).make_directory()
    tmp_path.chmod(0o1777)
    with pytest.raises(SettingsError, match="another user"):
        locks(directory).make_directory()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a link to another user")
@pytest.mark.parametrize("below", ["", "locks"])
def test_another_users_link_in_a_shared_directory(tmp_path: Path, below: str) -> None:
    """A link that another user made is refused where it leads to our own directory; our own link is followed."""
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    (ours / "locks").mkdir(parents=True)
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "link"
    link.symlink_to(ours)
    assert_free(locks(link / below))
    os.lchown(link, 12345, 12345)
    with pytest.raises(SettingsError, match="another user"):
        locks(link / below).make_directory()
    with pytest.raises(SettingsError, match="another user"), locks(link / below).held("incremental", "104"):
        pytest.fail("held behind a stranger's link")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user")
def test_our_directory_in_a_strangers(tmp_path: Path) -> None:
    """A directory that another user made in a shared one is not entered, nor is one made in it."""
    tmp_path.chmod(0o1777)
    stranger = tmp_path / "stranger"
    stranger.mkdir(mode=0o777)
    os.chown(stranger, 12345, 12345)
    with pytest.raises(SettingsError, match="another user"):
        locks(stranger / "locks").make_directory()
    assert not list(stranger.iterdir())


def test_a_hard_link_is_not_written_through(tmp_path: Path) -> None:
    """Where others can write into the directory, a lock file may be a second name of any file."""
    directory, precious = tmp_path / "locks", tmp_path / "precious"
    directory.mkdir()
    directory.chmod(0o777)
    precious.write_text("precious " * 100)
    (directory / "incremental-104.lock").hardlink_to(precious)
    with pytest.raises(SettingsError), locks(directory).held("incremental", "104"):
        pytest.fail("held through a link")
    assert precious.read_text() == "precious " * 100
    assert_free_elsewhere(directory)


def assert_free_elsewhere(directory: Path) -> None:
    """The lock of another page works."""
    with locks(directory).held("incremental", "105"):
        pass


def test_no_link_is_followed(tmp_path: Path) -> None:
    """A link in place of a lock file is refused, by a pass and by a reading, and makes no file elsewhere."""
    directory, elsewhere = tmp_path / "locks", tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "incremental-104.lock").symlink_to(elsewhere)
    with pytest.raises(SettingsError), locks(directory).held("incremental", "104"):
        pytest.fail("held through a link")
    with pytest.raises(SettingsError, match=r"incremental-104.lock"):
        locks(directory).holders(BOTH, "104")
    assert not elsewhere.exists()


@pytest.mark.parametrize("page_id", ["../../outside", "/etc/passwd", "a/b", "..", "", "igo_178", "trang số 1", "a%2Fb"])
def test_page_ids_stay_inside(tmp_path: Path, page_id: str) -> None:
    """Whatever the id of a page, its lock file lies in the lock directory."""
    directory = tmp_path / "locks"
    with locks(directory).held("incremental", page_id):
        assert len(list(directory.iterdir())) == 1
    assert list(tmp_path.iterdir()) == [directory]


def test_makes_the_directory_for_its_user_alone(tmp_path: Path) -> None:
    """A missing directory is made, closed to all other users."""
    directory = tmp_path / "run" / "locks"
    with locks(directory).held("incremental", "104"):
        assert directory.stat().st_mode & 0o777 == 0o700
        (file,) = directory.iterdir()
        assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["file", "file/locks"])
def test_an_unusable_directory_is_a_settings_error(tmp_path: Path, name: str) -> None:
    """It names the directory and the variable that sets it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="CUSTOMER_SYNC_LOCK_DIR") as refusal:
        locks(tmp_path / name).make_directory()
    assert refusal.value.exit_code == ExitCode.USAGE
    assert str(tmp_path / name) in str(refusal.value)


def test_a_directory_that_vanished_is_made_again(tmp_path: Path) -> None:
    """A directory removed during the run does not end it."""
    directory = tmp_path / "locks"
    assert_free(locks(directory))
    (directory / "incremental-104.lock").unlink()
    directory.rmdir()
    with locks(directory).held("incremental", "104"):
        assert directory.is_dir()


def test_a_lock_that_is_no_regular_file(tmp_path: Path) -> None:
    """A FIFO or a directory in place of a lock file hangs neither a run nor `status`; the error names it."""
    for name, make in (("fifo", os.mkfifo), ("directory", os.mkdir)):
        path = tmp_path / f"incremental-{name}.lock"
        make(path)
        with pytest.raises(SettingsError, match=re.escape(str(path))), locks(tmp_path).held("incremental", name):
            pass
        with pytest.raises(SettingsError, match=re.escape(str(path))):
            locks(tmp_path).holders(["incremental"], name)
