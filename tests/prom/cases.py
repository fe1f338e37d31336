"""Situations of an operator's life, as Prometheus sees them, and the alerts that they raise."""

from collections.abc import Sequence
from dataclasses import replace

from .promtool import LATE, MISSING, PERSON, Case, Fires, Labels, Series, Values

DAY = 1440
INCREMENTAL, BACKFILL, VERIFY = ({"pass": name} for name in ("incremental", "backfill", "verify"))


def every(minutes: int, first: int = 0, last: int | None = None) -> Values:
    """The time of the last run, for runs that end every so many *minutes* from minute *first* to *last*."""

    def latest(now: int) -> float | None:
        if now < first:
            return None
        return ((min(now, now if last is None else last) - first) // minutes * minutes + first) * 60

    return latest


def steady(value: float, first: int = 0) -> Values:
    """One value from minute *first* on."""
    return lambda now: value if now >= first else None


def ran(labels: Labels, times: Values) -> Series:
    return Series("last_run_timestamp_seconds", labels, times)


def completed(labels: Labels, times: Values) -> Series:
    return Series("last_complete_timestamp_seconds", labels, times)


def exit_code(labels: Labels, values: Values) -> Series:
    return Series("exit_code", labels, values)


def customers(labels: Labels, outcome: str, values: Values) -> Series:
    return Series("customers", {**labels, "outcome": outcome}, values)


def pages(labels: Labels, status: str, values: Values) -> Series:
    return Series("pages", {**labels, "status": status}, values)


def good(labels: Labels, times: Values) -> list[Series]:
    """Runs that complete, at *times*."""
    return [ran(labels, times), completed(labels, times)]


def shard(labels: Labels, index: int, count: int) -> dict[str, str]:
    return {**labels, "shard": f"{index}-of-{count}"}


def shards(labels: Labels, count: int, times: Values, present: Sequence[int] | None = None) -> list[Series]:
    """Shards that complete at *times*; all of them, or those *present*."""
    series = []
    for index in range(count) if present is None else present:
        this = shard(labels, index, count)
        series += [*good(this, times), Series("shards", this, lambda now: count if times(now) is not None else None)]
    return series


def on(instance: str, series: Sequence[Series]) -> list[Series]:
    """The *series* as the exporter of one machine holds them."""
    return [replace(one, labels={**one.labels, "instance": instance}) for one in series]


def _nightly() -> list[Series]:
    return [*good(BACKFILL, every(DAY)), *good(VERIFY, every(7 * DAY))]


LATE_INCREMENTAL = Fires(LATE, "incremental")
LATE_BACKFILL = Fires(LATE, "backfill")
LATE_VERIFY = Fires(LATE, "verify")
PERSON_INCREMENTAL = Fires(PERSON, "incremental")

FIRST_DAYS = [
    Case(
        "a healthy day whose first run ends at minute 2",
        [
            *good(INCREMENTAL, every(5, first=2)),
            exit_code(INCREMENTAL, steady(0, first=2)),
            completed(BACKFILL, every(DAY, first=300)),
            customers(INCREMENTAL, "failed", steady(0)),
        ],
        {minute: [] for minute in (1, 4, 10, 60, 310, 600)},
    ),
    Case(
        "the first run ends at minute 8",
        good(INCREMENTAL, every(5, first=8)),
        {minute: [] for minute in (6, 7, 9, 20, 60)},
    ),
    Case(
        "a large history: for two hours the runs reach their time limit",
        [
            ran(INCREMENTAL, every(5, first=2)),
            completed(INCREMENTAL, lambda now: None if now < 122 else every(5, first=2)(now)),
            exit_code(INCREMENTAL, steady(0, first=2)),
            customers(INCREMENTAL, "upserted", steady(87, first=2)),
        ],
        {minute: [] for minute in (6, 8, 30, 100, 119, 130)},
    ),
    Case(
        "a large history without a time limit: other runs find its page locked",
        [
            ran(INCREMENTAL, every(5, first=5)),
            exit_code(INCREMENTAL, steady(75, first=5)),
            pages(INCREMENTAL, "busy", steady(1, first=5)),
        ],
        {60: [], 100: []},
    ),
    Case("nothing ever reports", [], {10: [], 20: [LATE_INCREMENTAL]}),
    Case(
        "an outage from the first run on",
        [
            ran(INCREMENTAL, every(5, first=2)),
            exit_code(INCREMENTAL, steady(75, first=2)),
            customers(INCREMENTAL, "upserted", steady(0, first=2)),
        ],
        {10: [], 20: [LATE_INCREMENTAL]},
    ),
    Case(
        "the incremental never completes",
        [*_nightly(), ran(INCREMENTAL, every(5)), exit_code(INCREMENTAL, steady(0))],
        {2 * DAY: [], 3 * DAY + 30: [LATE_INCREMENTAL]},
        every=30,
    ),
]

STOPPED = [
    Case(
        "the runs end at minute 30",
        good(INCREMENTAL, every(5, last=30)),
        {54: [], 56: [LATE_INCREMENTAL]},
    ),
    Case(
        "one shard ends at minute 30",
        [
            *good(shard(INCREMENTAL, 0, 2), every(5, last=30)),
            *good(shard(INCREMENTAL, 1, 2), every(5)),
        ],
        {30: [], 54: [], 60: [Fires(LATE, "incremental", "0-of-2")]},
    ),
    Case(
        "one shard never reports",
        shards(INCREMENTAL, 4, every(5), present=(0, 1, 2)),
        {15: [], 25: [LATE_INCREMENTAL], 250: [LATE_INCREMENTAL]},
    ),
    Case(
        "one shard of an older version, whose only sign is the label, never reports",
        [one for index in range(3) for one in good({**INCREMENTAL, "shard": f"{index}/4"}, every(5))],
        {15: [], 25: [LATE_INCREMENTAL]},
    ),
    Case("every shard reports", shards(INCREMENTAL, 12, every(5)), {60: [], 600: []}),
    Case(
        "shards on machines of their own, whose metrics the machines' exporters hold",
        [one for index in range(4) for one in on(f"{index}", shards(INCREMENTAL, 4, every(5), present=[index]))],
        {60: [], 100: []},
    ),
    Case(
        "one shard of the backfill never reports",
        [*good(INCREMENTAL, every(5)), *shards(BACKFILL, 3, every(DAY), present=(0, 2)), *good(VERIFY, every(7 * DAY))],
        {2 * DAY: [], 3 * DAY + 30: [LATE_BACKFILL]},
        every=30,
    ),
    Case(
        "backfill and verify never run",
        good(INCREMENTAL, every(5)),
        {2 * DAY: [], 4 * DAY: [LATE_BACKFILL], 10 * DAY: [LATE_BACKFILL, LATE_VERIFY]},
        every=30,
    ),
    Case(
        "backfill and verify run and never complete",
        [
            *good(INCREMENTAL, every(5)),
            ran(BACKFILL, every(DAY)),
            exit_code(BACKFILL, steady(75)),
            ran(VERIFY, every(7 * DAY)),
        ],
        {2 * DAY: [], 10 * DAY: [Fires(LATE, "backfill"), Fires(LATE, "verify")]},
        every=30,
    ),
    Case(
        "the last backfill and the last verify are old",
        [*good(INCREMENTAL, every(5)), *good(BACKFILL, steady(0)), *good(VERIFY, steady(0))],
        {DAY: [], 3 * DAY: [LATE_BACKFILL], 9 * DAY: [LATE_BACKFILL, LATE_VERIFY]},
        every=30,
    ),
    Case(
        "the gateway restarts and forgets its metrics; the next run pushes six minutes later",
        good(INCREMENTAL, lambda now: None if 30 < now < 37 else every(5)(now)),
        {33: [], 36: [], 40: []},
    ),
]

OTHER_SHARDS = [
    Case(
        "from 2 to 4 shards; the gateway keeps the old groups",
        [*shards(INCREMENTAL, 2, every(5, last=30)), *shards(INCREMENTAL, 4, every(5, first=33))],
        {60: [], 100: []},
    ),
    Case(
        "from 4 to 2 shards",
        [*shards(INCREMENTAL, 4, every(5, last=30)), *shards(INCREMENTAL, 2, every(5, first=33))],
        {60: [], 100: []},
    ),
    Case(
        "from no shards to 4",
        [*good(INCREMENTAL, every(5, last=30)), *shards(INCREMENTAL, 4, every(5, first=33))],
        {60: [], 100: []},
    ),
    Case(
        "from 4 shards to none",
        [*shards(INCREMENTAL, 4, every(5, last=30)), *good(INCREMENTAL, every(5, first=33))],
        {60: [], 100: []},
    ),
    Case(
        "from 4 machines to 2: the others' exporters keep the old shards",
        [
            one
            for index in range(4)
            for one in on(
                f"{index}",
                [
                    *shards(INCREMENTAL, 4, every(5, last=30), present=[index]),
                    *(shards(INCREMENTAL, 2, every(5, first=33), present=[index]) if index < 2 else []),
                ],
            )
        ],
        {60: [], 100: []},
    ),
    Case(
        "a verify without shards by hand on one of two machines with two shards each",
        [
            *good(INCREMENTAL, every(5)),
            *good(BACKFILL, every(DAY)),
            *on("a", shards(VERIFY, 4, every(7 * DAY), present=[0, 1])),
            *on("b", shards(VERIFY, 4, every(7 * DAY), present=[2, 3])),
            *on("a", [*good(VERIFY, steady(DAY * 60, first=DAY)), Series("shards", VERIFY, steady(1, first=DAY))]),
        ],
        {5 * DAY: [], 10 * DAY: []},
        every=30,
    ),
    Case(
        "an update changes the label 0/2 to 0-of-2",
        [
            *(one for index in range(2) for one in good({**INCREMENTAL, "shard": f"{index}/2"}, every(5, last=30))),
            *shards(INCREMENTAL, 2, every(5, first=33)),
        ],
        {60: [], 100: []},
    ),
    Case(
        "the new shards never complete",
        [
            *shards(INCREMENTAL, 2, every(5, last=30)),
            *(ran(shard(INCREMENTAL, index, 4), every(5, first=33)) for index in range(4)),
            *(exit_code(shard(INCREMENTAL, index, 4), steady(75, first=33)) for index in range(4)),
        ],
        {40: [], 60: [Fires(LATE, "incremental", f"{index}-of-4") for index in range(4)]},
    ),
    Case(
        "the new shards end, too",
        [*shards(INCREMENTAL, 2, every(5, last=30)), *shards(INCREMENTAL, 4, every(5, first=33, last=63))],
        {85: [], 95: [Fires(LATE, "incremental", f"{index}-of-4") for index in range(4)]},
    ),
    Case(
        "the old groups hold a refusal and missing customers",
        [
            *shards(INCREMENTAL, 2, every(5, last=30)),
            *shards(INCREMENTAL, 4, every(5, first=33)),
            exit_code(shard(INCREMENTAL, 0, 2), steady(3)),
            customers(shard(INCREMENTAL, 1, 2), "failed", steady(2)),
        ],
        {
            25: [Fires(PERSON, "incremental", "0-of-2"), Fires(MISSING, "incremental", "1-of-2", "failed")],
            100: [],
        },
    ),
    Case(
        "every pass gets more shards; a former incremental only ever met an outage",
        [
            *shards(BACKFILL, 2, every(DAY, last=DAY)),
            *shards(BACKFILL, 3, every(DAY, first=2 * DAY)),
            *shards(VERIFY, 2, every(7 * DAY, last=0), present=(0,)),
            ran(shard(VERIFY, 1, 2), every(7 * DAY, last=0)),
            *shards(VERIFY, 3, every(7 * DAY, first=2 * DAY)),
            ran(shard(INCREMENTAL, 0, 2), every(5, last=DAY)),
            exit_code(shard(INCREMENTAL, 0, 2), steady(75)),
            *shards(INCREMENTAL, 3, every(5, first=2 * DAY)),
        ],
        {DAY: [Fires(LATE, "incremental", "0-of-2"), LATE_INCREMENTAL], 9 * DAY: []},
        every=30,
    ),
    Case(
        "two installations in one Prometheus: one stops, the other gets more shards",
        [
            *good({**INCREMENTAL, "job": "staging"}, every(5, last=30)),
            *shards({**INCREMENTAL, "job": "production"}, 2, every(5, last=30)),
            *shards({**INCREMENTAL, "job": "production"}, 4, every(5, first=33)),
        ],
        {60: [LATE_INCREMENTAL]},
    ),
]

REFUSED = [
    Case(
        "every run is refused from minute 5 on",
        [
            ran(INCREMENTAL, every(5)),
            completed(INCREMENTAL, steady(0)),
            exit_code(INCREMENTAL, lambda now: 3 if now >= 5 else 0),
        ],
        {19: [], 21: [PERSON_INCREMENTAL], 30: [PERSON_INCREMENTAL, LATE_INCREMENTAL]},
    ),
    Case(
        "refusals and outages in turns",
        [
            ran(INCREMENTAL, every(5)),
            completed(INCREMENTAL, steady(0)),
            exit_code(INCREMENTAL, lambda now: 3 if (now // 5) % 3 else 75),
        ],
        {100: [PERSON_INCREMENTAL, LATE_INCREMENTAL]},
    ),
    Case(
        "one refusal, and the next run is fine",
        [*good(INCREMENTAL, every(5)), exit_code(INCREMENTAL, lambda now: 3 if 30 <= now < 35 else 0)],
        {minute: [] for minute in (31, 36, 46, 60)},
    ),
    Case(
        "a refusal is over: the alert ends within a quarter of an hour",
        [*good(INCREMENTAL, every(5)), exit_code(INCREMENTAL, lambda now: 3 if now < 60 else 0)],
        {59: [PERSON_INCREMENTAL], 76: []},
    ),
    Case(
        "an outage is no refusal",
        [
            *good(INCREMENTAL, every(5, last=30)),
            exit_code(INCREMENTAL, lambda now: 75 if now > 30 else 0),
            pages(INCREMENTAL, "failed", lambda now: 3 if now > 30 else 0),
        ],
        {60: [LATE_INCREMENTAL]},
    ),
    Case(
        "the settings are wrong",
        [*good(INCREMENTAL, every(5)), exit_code(INCREMENTAL, steady(2))],
        {20: [PERSON_INCREMENTAL]},
    ),
    Case(
        "the nightly backfill was refused; the alert stays until its next run",
        [
            *good(INCREMENTAL, every(5)),
            exit_code(INCREMENTAL, steady(0)),
            exit_code(BACKFILL, lambda now: 3 if now < 1400 else 0),
        ],
        {1000: [Fires(PERSON, "backfill")], 1420: []},
        every=5,
    ),
    Case(
        "the user token of one page is dead: exit 1, one page failed in every run",
        [
            ran(INCREMENTAL, every(5)),
            completed(INCREMENTAL, every(5, last=30)),
            exit_code(INCREMENTAL, lambda now: 1 if now > 30 else 0),
            pages(INCREMENTAL, "failed", lambda now: 1 if now > 30 else 0),
        ],
        {40: [], 50: [PERSON_INCREMENTAL], 60: [PERSON_INCREMENTAL, LATE_INCREMENTAL]},
    ),
]

CUSTOMERS_MISSING = [
    Case(
        "FolkForm rejected a customer once; the next runs are fine",
        [
            *good(INCREMENTAL, every(5)),
            customers(INCREMENTAL, "failed", lambda now: 1 if 100 <= now < 110 else 0),
        ],
        {
            95: [],
            105: [Fires(MISSING, "incremental", outcome="failed")],
            1000: [Fires(MISSING, "incremental", outcome="failed")],
            1600: [],
        },
        every=5,
    ),
    Case(
        "FolkForm rejects a customer in every run: no person is paged",
        [
            *good(INCREMENTAL, every(5)),
            exit_code(INCREMENTAL, steady(1)),
            pages(INCREMENTAL, "failed", steady(0)),
            customers(INCREMENTAL, "failed", steady(1)),
        ],
        {60: [Fires(MISSING, "incremental", outcome="failed")]},
    ),
    Case(
        "verify found missing customers; they stay until the next verify",
        [
            *good(INCREMENTAL, every(5)),
            *good(BACKFILL, every(DAY)),
            customers(VERIFY, "missing", lambda now: 2 if now < 9000 else 0),
            customers(VERIFY, "extra", steady(3)),
        ],
        {8010: [Fires(MISSING, "verify", outcome="missing")], 9030: []},
        every=30,
    ),
]

CASES = [*FIRST_DAYS, *STOPPED, *OTHER_SHARDS, *REFUSED, *CUSTOMERS_MISSING]
