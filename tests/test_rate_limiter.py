"""How fast a service is called; time is a clock that only sleeping moves."""

import threading
from itertools import pairwise

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, StopRequested
from customer_sync.http.rate_limiter import AdaptiveRateLimiter, Allowance
from customer_sync.sandbox import Behaviour
from customer_sync.sandbox.limits import Limits


class Time(Clock):
    """A clock whose sleep moves it."""

    def __init__(self) -> None:
        super().__init__()
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


def answer(limiter: AdaptiveRateLimiter, headers: dict[str, str]) -> None:
    """A call that was made is answered."""
    limiter.answered(headers)
    limiter.ended()


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
    """Without a rate and without a 429 there are no waits."""
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
    """Where a rate is set, its interval doubles."""
    limiter = AdaptiveRateLimiter(time, rate=2)
    limiter.too_many(limiter.wait())
    limiter.wait()
    assert interval(limiter) == pytest.approx(1.0)


def test_a_burst_counts_once(time: Time) -> None:
    """Calls that were allowed before the first "too many" was answered do not count again."""
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
    """Every good answer shortens the interval by a tenth, until the full speed is back."""
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
    """Good answers restore the rate and no more."""
    limiter = AdaptiveRateLimiter(time, rate=5)
    limiter.too_many(limiter.wait())
    for _ in range(100):
        limiter.succeeded()
    limiter.wait()
    assert interval(limiter) == pytest.approx(0.2)


def test_a_pause_holds_every_call(time: Time) -> None:
    """No call is allowed until the pause is over; a shorter one does not end a longer one."""
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
    answer(limiter, window(3, 30))
    assert [limiter.wait() for _ in range(4)] == pytest.approx([1000, 1000, 1000, 1030])
    assert sum(time.slept) == pytest.approx(30)


def test_a_window_with_nothing_left_pauses_until_its_reset(time: Time) -> None:
    """A service with no call remaining is called at the reset, not before."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    answer(limiter, window(0, 42.5))
    assert limiter.wait() == pytest.approx(1042.5)


def test_one_call_probes_after_the_reset(time: Time) -> None:
    """After the reset one call finds out; the others wait for its answer, then all run at full speed."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    answer(limiter, window(0, 30))
    assert limiter.wait() == pytest.approx(1030)
    time.time += 0.25
    answer(limiter, window(99, 60))
    assert [limiter.wait() for _ in range(99)] == pytest.approx([1030.25] * 99)
    assert limiter.wait() == pytest.approx(1090.25)


def test_an_unanswered_probe_is_repeated(time: Time) -> None:
    """When a probe reports nothing new, the next call is allowed a second later: no call waits forever."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    answer(limiter, window(0, 30))
    assert [limiter.wait() for _ in range(3)] == pytest.approx([1030, 1031, 1032])


def test_answers_may_overtake_each_other(time: Time) -> None:
    """Inside one window the lowest count holds, in any order of answers."""
    limiter = AdaptiveRateLimiter(time)
    for _ in range(4):
        limiter.wait()
    for remaining in (2, 5, 4, 3):
        answer(limiter, window(remaining, 30))
    assert [limiter.wait() for _ in range(3)] == pytest.approx([1000, 1000, 1030])


def test_what_is_in_flight_counts(time: Time) -> None:
    """A call in flight may not have been counted yet, so it is deducted from what remains."""
    limiter = AdaptiveRateLimiter(time)
    for _ in range(4):
        limiter.wait()
    answer(limiter, window(5, 30))
    assert [limiter.wait() for _ in range(3)] == pytest.approx([1000, 1000, 1030])


def test_others_use_up_the_same_limit(time: Time) -> None:
    """The service counts other clients of the address, too: its count is adopted."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    answer(limiter, window(50, 30))
    limiter.wait()
    answer(limiter, window(1, 30))
    assert [limiter.wait() for _ in range(2)] == pytest.approx([1000, 1030])


def test_a_whole_second_is_no_new_window(time: Time) -> None:
    """The reset is reported in whole seconds, and late: small differences neither restore calls nor defer it."""
    limiter = AdaptiveRateLimiter(time)
    for _ in range(3):
        limiter.wait()
    answer(limiter, window(1, 30))
    for late in (0.9, 3.0):
        time.time += late
        answer(limiter, window(5, 30))
    assert [limiter.wait() for _ in range(2)] == pytest.approx([1003.9, 1030])


def test_a_late_answer_does_not_count_in_the_new_window(time: Time) -> None:
    """The count of the previous window delays no call in the new one."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    answer(limiter, window(0, 30))
    assert limiter.wait() == pytest.approx(1030)
    answer(limiter, window(50, 60))
    answer(limiter, window(0, 1))
    assert [limiter.wait() for _ in range(50)] == pytest.approx([1030] * 50)


class SharedTime(Time):
    """A clock that several threads share: when all of them sleep, it moves on to the first wake-up."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._awake = threads
        self._sleepers: list[float] = []
        self._changed = threading.Condition()

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        with self._changed:
            wakes = self.time + seconds
            self._sleepers.append(wakes)
            self._rest()
            self._changed.wait_for(lambda: self.time >= wakes)
            self._sleepers.remove(wakes)
            self._awake += 1

    def leave(self) -> None:
        """A thread has ended."""
        with self._changed:
            self._rest()

    def _rest(self) -> None:
        self._awake -= 1
        if not self._awake and self._sleepers:
            self.time = min(self._sleepers)
            self._changed.notify_all()


@pytest.mark.parametrize(("workers", "latency"), [(1, 0.02), (8, 0.02), (8, 0.3), (8, 2.5), (64, 0.3)])
def test_uses_what_folkform_allows_and_no_more(workers: int, latency: float) -> None:
    """Under 100 requests a minute: no 429 after the first answer, and 95 % and more of what is allowed is used."""
    time = SharedTime(workers)
    limits = Limits(Behaviour(folkform_limit=100, folkform_window=60), lambda: time.time)
    limiter = AdaptiveRateLimiter(time)
    granted: list[bool] = []

    def call() -> None:
        limiter.wait()
        time.sleep(latency / 2)  # The request travels,
        allowance = limits.folkform("us")
        assert allowance
        granted.append(allowance.granted)
        time.sleep(latency / 2)  # … and the answer.
        limiter.answered(dict(allowance.headers))
        limiter.ended()
        limiter.succeeded()

    def work() -> None:
        while time.time < ends:
            call()
        time.leave()

    ends = time.time + 10 * 60
    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(granted)
    assert len(granted) >= 0.95 * 10 * 100


def test_a_new_window_brings_new_calls(time: Time) -> None:
    """A reset that is a window later gives the new window's count."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    answer(limiter, window(1, 5))
    time.time += 6
    limiter.wait()
    answer(limiter, window(99, 60))
    assert [limiter.wait() for _ in range(99)] == pytest.approx([1006] * 99)


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
    """Unreadable headers delay no call, and raise nothing."""
    limiter = AdaptiveRateLimiter(time)
    limiter.wait()
    limiter.answered(headers)
    for _ in range(10):
        limiter.wait()
    assert time.slept == []


def test_reports_the_allowance(time: Time) -> None:
    """What is left of the service's limit, and for how long, is known from its first answer on."""
    limiter = AdaptiveRateLimiter(time)
    assert limiter.allowance() is None
    limiter.wait()
    answer(limiter, window(37, 42))
    assert limiter.allowance() == Allowance(limit=100, left=37, resets_in=42)
    time.time += 50
    assert limiter.allowance() == Allowance(limit=100, left=37, resets_in=0)


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
