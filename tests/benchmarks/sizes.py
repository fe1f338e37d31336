"""The sizes of `make bench`, of `make bench-long`, and of the test that all benchmarks run."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of customers, except *rounds* (runs of each program), *idle_pages* and *windows* of FolkForm's limit."""

    rounds: int
    new: int
    """New customers in total."""
    one_at_a_time: int
    """New customers for programs that send one request at a time; scaled up to *new*."""
    start_ups: int
    idle_pages: int
    changes: int
    unchanged: int
    limit: int
    """Requests per window of FolkForm's limit."""
    windows: int
    history: tuple[int, int]
    """The small and the large history, for time and requests."""
    memory: tuple[int, int]
    """The same for memory."""
    growths: int
    """Runs of each size."""
    with_dlt: bool = True
    """Whether dlt is measured."""


USUAL = Sizes(
    rounds=4,
    new=3000,
    one_at_a_time=300,
    start_ups=15,
    idle_pages=100,
    changes=1000,
    unchanged=20_000,
    limit=100,
    windows=6,
    history=(2000, 20_000),
    memory=(2000, 20_000),
    growths=2,
)
LONG = replace(USUAL, history=(10_000, 100_000), memory=(2000, 200_000), growths=1)
TINY = Sizes(
    rounds=1,
    new=120,
    one_at_a_time=20,
    start_ups=1,
    idle_pages=2,
    changes=60,
    unchanged=200,
    limit=100,
    windows=2,
    history=(20, 200),
    memory=(20, 200),
    growths=1,
)
