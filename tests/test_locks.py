"""One run at a time per pass and page, and no lock outlives its holder."""

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from customer_sync.core.clock import Clock, local_time
from customer_sync.core.errors import ExitCode, SettingsError, StopRequested
from customer_sync.core.locks import Holder, PageLocked, PageLocks

_LONG = 30.0
_HOLD = """
import sys, time
from pathlib import Path
from customer_sync.core.clock import Clock, local_time
from customer_sync.core.locks import PageLocks
with PageLocks(Path(sys.argv[1]), Clock()).held("incremental", "104"):
    print("held", flush=True)
    time.sleep(600)
"""


def locks(directory: Path, clock: Clock | None = None) -> PageLocks:
    """The locks of one run."""
    return PageLocks(directory, clock or Clock())


def test_a_page_is_held_once(tmp_path: Path) -> None:
    """While one run is at a page, another run of the same pass is told so at once."""
    mine, others = locks(tmp_path), locks(tmp_path)
    with mine.held("incremental", "104"):
        with pytest.raises(PageLocked, match="page 104 is locked by another run"), others.held("incremental", "104"):
            pytest.fail("held twice")
        with pytest.raises(PageLocked), mine.held("incremental", "104"):
            pytest.fail("held twice by the same run")
    with others.held("incremental", "104"):
        pass


def test_the_holder_is_named(tmp_path: Path) -> None:
    """Who finds a page busy learns which process holds it, and since when by this machine's clock."""
    began = int(time.time())
    with PageLocks(tmp_path, Clock(), "backfill").held("incremental", "104"):
        with pytest.raises(PageLocked) as busy, locks(tmp_path).held("incremental", "104"):
            pytest.fail("held twice")
        since = [local_time(second) for second in range(began, int(time.time()) + 1)]
        said = [
            f"page 104 is locked by another run: backfill (process {os.getpid()}) since {moment}" for moment in since
        ]
        assert str(busy.value) in said


@pytest.mark.parametrize(
    "word", [b"", b"{", b"[1]", b"null", b'{"pid": "x", "since": 1}', b"\xff", b'{"pid": 1, "since": 1e99}']
)
def test_a_holder_that_left_no_word(tmp_path: Path, word: bytes) -> None:
    """A lock is held even when what stands in its file says nothing."""
    with locks(tmp_path).held("incremental", "104"):
        (file,) = tmp_path.iterdir()
        file.write_bytes(word)
        with pytest.raises(PageLocked, match=r"locked by another run$"), locks(tmp_path).held("incremental", "104"):
            pytest.fail("held twice")


BOTH = ("incremental", "backfill")


def test_holders_are_told(tmp_path: Path) -> None:
    """Who asks learns who holds which lock of a page since when: command, process, and nobody once it is free."""
    began = int(time.time())
    with PageLocks(tmp_path, Clock(), "incremental").held("incremental", "104"):
        (holder,) = locks(tmp_path).holders(BOTH, "104")
        assert (holder.command, holder.pid) == ("incremental", os.getpid())
        assert holder.since is not None
        assert began <= holder.since <= time.time()
        assert str(holder) == f"incremental (process {os.getpid()}) since {local_time(holder.since)}"
        assert locks(tmp_path).holders(BOTH, "105") == locks(tmp_path).holders(["backfill"], "104") == []
    assert locks(tmp_path).holders(BOTH, "104") == []


class _Later(Clock):
    """A clock of another hour."""

    def now(self) -> float:
        return 2_000_000_000.0


def test_a_process_with_two_locks_is_told_once(tmp_path: Path) -> None:
    """A backfill holds its page's incremental lock at times, too: it is told once, since the earlier moment."""
    backfill, later = PageLocks(tmp_path, Clock(), "backfill"), PageLocks(tmp_path, _Later(), "backfill")
    with backfill.held("backfill", "104"):
        alone = locks(tmp_path).holders(BOTH, "104")
        with later.held("incremental", "104"):
            assert locks(tmp_path).holders(BOTH, "104") == alone
            assert len(alone) == 1


def test_a_holder_without_word_is_told_by_its_lock(tmp_path: Path) -> None:
    """Of a holder that left no word its lock's name is known, and no more."""
    with locks(tmp_path).held("backfill", "104"):
        (file,) = tmp_path.iterdir()
        file.write_bytes(b"{")
        assert locks(tmp_path).holders(BOTH, "104") == [Holder("backfill")]
        assert str(Holder("backfill")) == "backfill"


def test_to_ask_makes_no_file(tmp_path: Path) -> None:
    """To ask who holds a lock leaves nothing behind."""
    assert locks(tmp_path).holders(BOTH, "104") == []
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """A lock file that no pass could use is named to who asks about it, too."""
    (tmp_path / "incremental-104.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match=r"incremental-104.lock cannot be used"):
        locks(tmp_path).holders(BOTH, "104")


class _OnlyLooking(Clock):
    """A clock whose wait is as long as somebody looks at a lock file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._handle = os.open(file, os.O_RDONLY)
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def sleep(self, seconds: float) -> None:  # noqa: ARG002
        os.close(self._handle)


@pytest.mark.parametrize("wait", [False, True])
def test_who_only_looks_keeps_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture, wait: bool) -> None:
    """A pass that starts at the very moment when somebody looks who holds its lock gets it, and tells of no holder."""
    with locks(tmp_path).held("incremental", "104"):
        (file,) = tmp_path.iterdir()
    caplog.set_level(logging.INFO)
    with locks(tmp_path, _OnlyLooking(file)).held("incremental", "104", wait=wait):
        assert locks(tmp_path).holders(BOTH, "104")
    assert caplog.records == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_users_who_share_a_directory() -> None:
    """A lock file that another user made holds and is held like one's own."""
    with TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        with locks(Path(shared)).held("incremental", "104"):
            os.seteuid(65534)
            try:
                with pytest.raises(PageLocked), locks(Path(shared)).held("incremental", "104"):
                    pytest.fail("held twice")
            finally:
                os.seteuid(0)
        os.seteuid(65534)
        try:
            with locks(Path(shared)).held("incremental", "104"):
                pass
        finally:
            os.seteuid(0)


def test_no_link_is_followed(tmp_path: Path) -> None:
    """A link in place of a lock file leads to no file elsewhere."""
    directory, elsewhere = tmp_path / "locks", tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "incremental-104.lock").symlink_to(elsewhere)
    with pytest.raises(SettingsError, match="cannot be used"), locks(directory).held("incremental", "104"):
        pytest.fail("held through a link")
    assert not elsewhere.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to somebody else")
def test_somebody_elses_directory_in_a_shared_one(tmp_path: Path) -> None:
    """Where anybody may make directories, as in /tmp, the lock directory must be ours; elsewhere it may be shared."""
    directory = tmp_path / "locks"
    directory.mkdir()
    os.chown(directory, 12345, 12345)
    locks(directory).make_directory()
    tmp_path.chmod(0o1777)
    with pytest.raises(SettingsError, match="it belongs to another user"):
        locks(directory).make_directory()


def test_other_pages_and_passes_are_free(tmp_path: Path) -> None:
    """A lock holds up nobody but the same pass of the same page."""
    mine, others = locks(tmp_path), locks(tmp_path)
    with mine.held("incremental", "104"), others.held("backfill", "104"), others.held("incremental", "105"):
        pass


def test_an_error_lets_go(tmp_path: Path) -> None:
    """Whatever ends the work under a lock, the lock is free again."""
    with pytest.raises(ZeroDivisionError), locks(tmp_path).held("incremental", "104"):
        raise ZeroDivisionError
    with locks(tmp_path).held("incremental", "104"):
        pass


def test_waits_when_asked_to(tmp_path: Path) -> None:
    """With *wait* the lock is taken as soon as its holder lets go."""
    started, held = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        with locks(tmp_path).held("incremental", "104", wait=True):
            held.set()

    waiting = threading.Thread(target=wait)
    with locks(tmp_path).held("incremental", "104"):
        waiting.start()
        assert started.wait(_LONG)
        assert not held.is_set()
    assert held.wait(_LONG)
    waiting.join(_LONG)


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    """Who waits for a lock ends at once when a stop is requested, without the lock."""
    clock = Clock()
    clock.stop(StopRequested("Ended", ExitCode.SIGTERM))
    with (
        locks(tmp_path).held("incremental", "104"),
        pytest.raises(StopRequested),
        locks(tmp_path, clock).held("incremental", "104", wait=True),
    ):
        pytest.fail("held twice")


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    """The kernel frees the lock of a process that was killed; nobody has to remove a file."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(PageLocked), locks(tmp_path).held("incremental", "104"):
            pytest.fail("held twice")
        holder.kill()
        holder.wait(_LONG)
    with locks(tmp_path).held("incremental", "104"):
        pass


@pytest.mark.parametrize("page_id", ["../../outside", "/etc/passwd", "a/b", "..", "", "igo_178", "trang số 1", "a%2Fb"])
def test_page_ids_stay_inside(tmp_path: Path, page_id: str) -> None:
    """Whatever a page is called, its lock file lies in the lock directory."""
    directory = tmp_path / "locks"
    with locks(directory).held("incremental", page_id):
        assert len(list(directory.iterdir())) == 1
    assert list(tmp_path.iterdir()) == [directory]


def test_different_page_ids_have_different_locks(tmp_path: Path) -> None:
    """No two pages share a lock, however much their ids are alike."""
    mine, others = locks(tmp_path), locks(tmp_path)
    with mine.held("incremental", "a/b"), others.held("incremental", "a%2Fb"), others.held("incremental", "a_b"):
        pass


def test_makes_the_directory_for_its_user_alone(tmp_path: Path) -> None:
    """A missing directory is made, closed to everybody else."""
    directory = tmp_path / "run" / "locks"
    with locks(directory).held("incremental", "104"):
        assert directory.stat().st_mode & 0o777 == 0o700
        (file,) = directory.iterdir()
        assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["file", "file/locks"])
def test_an_unusable_directory_is_a_settings_error(tmp_path: Path, name: str) -> None:
    """A directory that cannot be used is named, with the variable that sets it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"CUSTOMER_SYNC_LOCK_DIR .* cannot be used") as refusal:
        locks(tmp_path / name).make_directory()
    assert refusal.value.exit_code == ExitCode.USAGE
    assert str(tmp_path / name) in str(refusal.value)


def test_a_directory_that_vanished_is_made_again(tmp_path: Path) -> None:
    """A directory removed during the run does not end it."""
    directory = tmp_path / "locks"
    with locks(directory).held("incremental", "104"):
        pass
    (directory / "incremental-104.lock").unlink()
    directory.rmdir()
    with locks(directory).held("incremental", "104"):
        assert directory.is_dir()
