"""Shards: every page in exactly one, the same on every machine."""

from itertools import chain

import pytest

from customer_sync.config.settings import load_shard
from customer_sync.core.errors import SettingsError
from customer_sync.core.shard import Shard
from customer_sync.sandbox import Sandbox

from .conftest import Command, Outcome, StartSandbox

_KINDS = ("10443865129{:04}", "igo_17869917303{:04}", "pzl_8443708760{:04}", "{}", "trang/của tôi {}")
PAGE_IDS = [kind.format(number) for number in range(200) for kind in _KINDS]


@pytest.mark.parametrize("count", range(1, 17))
def test_every_page_is_in_exactly_one_shard(count: int) -> None:
    """1,000 pages of all kinds: none is left out or taken twice, and no shard gets much more than its share."""
    shares = [[page_id for page_id in PAGE_IDS if Shard(index, count).holds(page_id)] for index in range(count)]
    assert sorted(chain(*shares)) == sorted(PAGE_IDS)
    assert max(map(len, shares)) < 1.5 * len(PAGE_IDS) / count


@pytest.mark.parametrize(
    ("page_id", "of_8", "of_100_000"),
    [
        ("123456789", 6, 80_262),  # its CRC-32 is the one by which implementations are checked: cbf43926
        ("104438651290000", 1, 63_105),
        ("igo_178699173030001", 6, 57_126),
        ("pzl_84437087600002", 1, 52_961),
        ("trang-của-tôi", 2, 34_594),
        ("\ud800", 0, 26_600),
    ],
)
def test_a_page_never_moves(page_id: str, of_8: int, of_100_000: int) -> None:
    """A page's shard must not change with the version of Python or of this program: machines may differ."""
    assert [index for index in range(8) if Shard(index, 8).holds(page_id)] == [of_8]
    assert Shard(of_100_000, 100_000).holds(page_id)


_INDEXED = {"JOB_COMPLETION_INDEX": "1", "CUSTOMER_SYNC_SHARDS": "2"}


def _page_ids(outcome: Outcome) -> list[str]:
    return [page["page_id"] for page in outcome.json["pages"]]


def test_four_at_once(sandbox: StartSandbox, run: Command) -> None:
    """Four processes at once, each with its shard, sync every page once and lose no customer."""
    box = sandbox(pages=40, customers=3)
    started = [run.start(box, "backfill", "--json", "--shard", f"{index}/4") for index in range(4)]
    outcomes = [run.end(process) for process in started]
    assert [(outcome.code, outcome.json["shard"]) for outcome in outcomes] == [(0, f"{index}/4") for index in range(4)]
    shares = [_page_ids(outcome) for outcome in outcomes]
    assert all(shares)
    assert sorted(chain(*shares)) == sorted(box.pancake.page_ids())
    assert box.difference().equal


def _pages_of(box: Sandbox, index: int, count: int) -> list[str]:
    return sorted(page_id for page_id in box.pancake.page_ids() if Shard(index, count).holds(page_id))


@pytest.mark.parametrize("command", ["incremental", "backfill", "verify"])
def test_an_indexed_job(sandbox: StartSandbox, run: Command, command: str) -> None:
    """Kubernetes' index and our number of shards select the pages of every command; the output names the shard."""
    box = sandbox(pages=6, customers=1)
    outcome = run(box, command, "--json", **_INDEXED)
    assert outcome.json["shard"] == "1/2"
    assert sorted(_page_ids(outcome)) == _pages_of(box, 1, 2)
    assert run(box, command, "--json", "--shard", "0/2").json["shard"] == "0/2"


def test_precedence(sandbox: StartSandbox, run: Command) -> None:
    """A page named by hand is synced whatever the shard; the option takes precedence over the variables."""
    box = sandbox(pages=6, customers=1)
    broken = {"JOB_COMPLETION_INDEX": "7", "CUSTOMER_SYNC_SHARDS": "2"}
    (other, *_) = _pages_of(box, 1, 2)
    for named in (
        run(box, "incremental", "--json", "--page", other, "--shard", "0/2"),
        run(box, "verify", "--json", "--page", other, **broken),
    ):
        assert (named.json["shard"], _page_ids(named)) == (None, [other])
    assert sorted(_page_ids(run(box, "incremental", "--json", "--shard", "0/2", **broken))) == _pages_of(box, 0, 2)


@pytest.mark.parametrize(
    "environment", [{"JOB_COMPLETION_INDEX": "1"}, {"JOB_COMPLETION_INDEX": "1", "CUSTOMER_SYNC_SHARDS": ""}], ids=str
)
def test_a_job_without_shards(sandbox: StartSandbox, run: Command, environment: dict[str, str]) -> None:
    """An index alone selects nothing: the run has every page."""
    box = sandbox(pages=2)
    outcome = run(box, "incremental", "--json", **environment)
    assert (outcome.json["shard"], outcome.totals["pages"]) == (None, 2)


def test_an_empty_shard(sandbox: StartSandbox, run: Command) -> None:
    """A shard without pages has nothing to do and does not fail."""
    box = sandbox(pages=1, customers=1)
    (empty,) = (index for index in range(2) if not _pages_of(box, index, 2))
    outcome = run(box, "incremental", "--json", "--shard", f"{empty}/2")
    assert (outcome.code, outcome.json["shard"], outcome.json["pages"]) == (0, f"{empty}/2", [])


def _problem(environment: dict[str, str], option: str | None = None) -> str:
    """What is wrong with these variables and this option."""
    with pytest.raises(SettingsError) as refusal:
        load_shard(environment, option)
    (problem,) = refusal.value.problems
    return problem


@pytest.mark.parametrize(
    "text", ["", "1", "2/2", "-1/2", "0/0", "0/100001", "1/2/3", "1:2", "a/b", "٠/٢", "0/" + "9" * 5000]
)
def test_a_malformed_option(text: str) -> None:
    """An impossible shard is an error, whatever the variables are."""
    assert f"{text!r:.80} (from --shard)" in _problem(_INDEXED, text)


@pytest.mark.parametrize("shards", ["0", "x", "-1", "100001"])
def test_a_malformed_number_of_shards(shards: str) -> None:
    """An impossible number of shards is an error that names its source."""
    assert f"CUSTOMER_SYNC_SHARDS is {shards!r}" in _problem(_INDEXED | {"CUSTOMER_SYNC_SHARDS": shards})


@pytest.mark.parametrize("index", ["2", "x", "-1"])
def test_a_malformed_index(index: str) -> None:
    """An index beyond the shards is an error that names its source."""
    problem = _problem(_INDEXED | {"JOB_COMPLETION_INDEX": index})
    assert f"JOB_COMPLETION_INDEX is {index!r}" in problem
    assert problem.endswith("from 0 to 1")


@pytest.mark.parametrize("command", ["backfill", "verify"])
def test_shards_without_an_index(run: Command, command: str) -> None:
    """A run without an index syncs nothing; the error is listed with all other errors."""
    outcome = run(None, command, CUSTOMER_SYNC_SHARDS="8", JOB_COMPLETION_INDEX="")
    assert outcome.code == 2
    assert "Error: JOB_COMPLETION_INDEX is missing" in outcome.err
    assert "Error: FOLKFORM_BASE_URL is missing" in outcome.err


def test_a_malformed_shard_beside_a_page(run: Command) -> None:
    """A malformed shard is an error even if a page is named."""
    outcome = run(None, "incremental", "--page", "104", "--shard", "2/2")
    assert outcome.code == 2
    assert "'2/2' (from --shard)" in outcome.err
