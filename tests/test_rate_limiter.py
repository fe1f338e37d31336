"""How fast a service is asked; time is a clock that only sleeping moves."""

import threading
from itertools import pairwise

import pytest

from customer_sync.clock import Clock
from customer_sync.errors import ExitCode, StopRequested
from customer_sync.rate_limiter import AdaptiveRateLimiter


class Time:
    """A clock whose sleep moves it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.time += seconds


def window(remaining: object, reset: object) -> dict[str, str]:
    """The headers of FolkForm's limit."""
    return {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(reset)}


def interval(limiter: AdaptiveRateLimiter) -> float:
    """How long after a call the next one may be made."""
    first = limiter.wait()
    return round(limiter.wait() - first, 6)


@pytest.fixture
def time() -> Time:
    return Time()


def test_paces_at_the_rate(time: Time) -> None:
    """So many calls a second and no more, the first at once."""
    limiter = AdaptiveRateLimiter(time, rate=5)
    allowed = [limiter.wait() for _ in range(11)]
    assert allowed == pytest.approx([1000 + 0.2 * call for call in range(11)])


def test_idle_time_is_not_saved_up(time: Time) -> None:
    """After a long silence the calls are as far apart as before."""
    limiter = AdaptiveRateLimiter(time, rate=5)
    limiter.wait()
    time.time += 60
    assert time.time == limiter.wait()
    assert interval(limiter) == pytest.approx(0.2)


def test_no_rate_no_pause(time: Time) -> None:
    """Without a rate and without complaints nobody waits."""
    limiter = AdaptiveRateLimiter(time)
    for _ in range(1000):
        limiter.wait()
        limiter.succeeded()
    assert time.slept == []


def test_slows_down_at_once(time: Time) -> None:
    """Each "too many" doubles the time between calls, up to ten seconds."""
    limiter = AdaptiveRateLimiter(time)
    intervals = []
    for _ in range(10):
        allowed_at = limiter.wait()
        time.time += 0.01
        limiter.too_many(allowed_at)
        intervals.append(interval(limiter))
        time.time += 20
    assert intervals == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])


def test_slows_down_from_the_rate(time: Time) -> None:
    """Where a rate is set, that is what doubles."""
    limiter = AdaptiveRateLimiter(time, rate=2)
    limiter.too_many(limiter.wait())
    limiter.wait()
    assert interval(limiter) == pytest.approx(1.0)


def test_a_burst_counts_once(time: Time) -> None:
    """Calls that were allowed before the first "too many" came back say nothing new."""
    limiter = AdaptiveRateLimiter(time)
    burst = [limiter.wait() for _ in range(8)]
    for allowed_at in burst:
        time.time += 0.05
        limiter.too_many(allowed_at)
    limiter.wait()
    assert interval(limiter) == pytest.approx(0.1)


def test_the_next_burst_counts_again(time: Time) -> None:
    """A call allowed after the slowing down that is still too many slows down further."""
    limiter = AdaptiveRateLimiter(time)
    limiter.too_many(limiter.wait())
    time.time += 1
    limiter.too_many(limiter.wait())
    assert interval(limiter) == pytest.approx(0.2)


def test_recovers_step_by_step(time: Time) -> None:
    """Every good answer takes a tenth off the pause, until the full speed is back."""
    limiter = AdaptiveRateLimiter(time)
    limiter.too_many(limiter.wait())
    intervals = []
    for _ in range(60):
        limiter.succeeded()
        limiter.wait()
        intervals.append(interval(limiter))
    assert intervals[:4] == pytest.approx([0.09, 0.081, 0.0729, 0.06561], abs=1e-5)
    assert intervals == sorted(intervals, reverse=True)
    assert intervals[-1] == 0


def test_never_recovers_beyond_the_rate(time: Time) -> None:
    """Good answers bring the rate back and nothing above it."""
    limiter = AdaptiveRateLimiter(time, rate=5)
    limiter.too_many(limiter.wait())
    for _ in range(100):
        limiter.succeeded()
    limiter.wait()
    assert interval(limiter) == pytest.approx(0.2)


def test_a_pause_holds_everybody(time: Time) -> None:
    """Nobody calls until the pause is over; a shorter one does not end a longer one."""
    limiter = AdaptiveRateLimiter(time)
    limiter.pause(30)
    limiter.pause(5)
    assert limiter.wait() == 1030
    limiter.pause(0)
    assert limiter.wait() == 1030


def test_full_speed_while_something_remains(time: Time) -> None:
    """What remains may go at once; with nothing left the next call waits for the reset."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(3, 30))
    assert [limiter.wait() for _ in range(4)] == [1000, 1000, 1000, 1030]
    assert time.slept == [30]


def test_a_window_with_nothing_left_pauses_until_its_reset(time: Time) -> None:
    """A service that says that nothing remains is asked at the reset, not before."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(0, 42.5))
    assert limiter.wait() == 1042.5


def test_one_call_probes_after_the_reset(time: Time) -> None:
    """After the reset one call finds out; the others wait for its answer, then all run at full speed."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(0, 30))
    assert limiter.wait() == 1030
    time.time += 0.25
    limiter.answered(window(99, 60))
    assert [limiter.wait() for _ in range(99)] == [1030.25] * 99
    assert limiter.wait() == 1090.25


def test_an_unanswered_probe_is_repeated(time: Time) -> None:
    """When the probe brings no news, the next call goes a moment later: nobody waits for ever."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(0, 30))
    assert [limiter.wait() for _ in range(3)] == [1030, 1031, 1032]


def test_answers_may_overtake_each_other(time: Time) -> None:
    """Inside one window the lowest count holds, in whatever order answers come back."""
    limiter = AdaptiveRateLimiter(time)
    for _ in range(4):
        limiter.wait()
    for remaining in (2, 5, 4, 3):
        limiter.answered(window(remaining, 30))
    assert [limiter.wait() for _ in range(3)] == [1000, 1000, 1030]


def test_others_use_up_the_same_limit(time: Time) -> None:
    """The service counts other clients of the address, too: its count is taken over."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(50, 30))
    limiter.wait()
    limiter.answered(window(1, 30))
    assert [limiter.wait() for _ in range(2)] == [1000, 1030]


def test_a_whole_second_is_no_new_window(time: Time) -> None:
    """The reset is told in whole seconds; that it wavers by one does not bring old calls back."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(1, 30))
    limiter.wait()
    time.time += 0.9
    limiter.answered(window(5, 30))
    assert limiter.wait() == pytest.approx(1030.9)


def test_a_new_window_brings_new_calls(time: Time) -> None:
    """A reset that is a window later gives the new window's count."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(window(1, 5))
    time.time += 6
    limiter.wait()
    limiter.answered(window(99, 60))
    assert [limiter.wait() for _ in range(99)] == [1006] * 99


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-RateLimit-Limit": "100"},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Reset": "30"},
        window("", 30),
        window(0, ""),
        window("none", 30),
        window("0.5", 30),
        window(0, "soon"),
        window(0, -1),
        window(0, "nan"),
        window(0, "inf"),
        window(0, "-inf"),
        window(0, 3601),
        window(0, 1766656122),
        window(0, "9" * 400),
        window("9" * 5000, 30),
    ],
    ids=str,
)
def test_ignores_nonsense(time: Time, headers: dict[str, str]) -> None:
    """Headers that say nothing sensible hold nobody up, and do not end the call."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(headers)
    for _ in range(10):
        limiter.wait()
    assert time.slept == []


def test_raises_what_the_clock_raises() -> None:
    """A requested stop ends the wait, and no call is allowed."""
    clock = Clock()
    limiter = AdaptiveRateLimiter(clock)
    limiter.pause(3600)
    clock.stop(StopRequested("Ended", ExitCode.SIGTERM))
    with pytest.raises(StopRequested):
        limiter.wait()


def test_threads_share_the_rate() -> None:
    """Calls of several threads are as far apart as those of one."""
    limiter = AdaptiveRateLimiter(Clock(), rate=500)
    allowed: list[float] = []

    def call() -> None:
        allowed.extend(limiter.wait() for _ in range(10))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moments = sorted(allowed)
    assert len(moments) == 40
    assert all(later - before >= 0.00199 for before, later in pairwise(moments))
