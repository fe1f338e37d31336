"""The problems of a page: all of them, in order, however many there are."""

from concurrent.futures import ThreadPoolExecutor

from customer_sync.results.problems import Problem, Problems


def _problem(number: int) -> Problem:
    return Problem(f"p{number}", None, "missing", "half\ud800\nof it", "step")


def test_keeps_everything() -> None:
    """A problem read again equals the one that was added, in memory and in the file."""
    problems = Problems()
    for number in range(2_500):
        problems.append(_problem(number))
    assert len(problems) == 2_500
    for _ in range(2):
        assert list(problems) == [_problem(number) for number in range(2_500)]


def test_threads_share_it() -> None:
    """Customers fail in several threads at once."""
    problems = Problems()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(problems.append, map(_problem, range(5_000))))
    assert len(problems) == 5_000
    assert {problem.psid for problem in problems} == {f"p{number}" for number in range(5_000)}


def test_none() -> None:
    """Without problems it is empty and false."""
    assert not Problems()
    assert list(Problems()) == []
