"""Removes the rules that prevent a loss from the program, one by one, and shows that a test fails without each.

`python -m tests.mutants` tries all of them, `python -m tests.mutants 5 walk` those with that number or word in their
name or in the name of their module. A mutant names the function that has its rule, and replaces it when its module is
imported, in the test process and in the command that the tests run. Exits 0 when every mutant was found.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
_TIMEOUT = 300.0
# Python imports it first, in every process: it replaces the function when its module has been imported.
_SITE = """
import importlib.abc, importlib.util, sys

class MutantFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in modules:
            return None
        modules.remove(name)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            from tests.mutants import MUTANTS
            MUTANTS[number].apply(name)
        spec.loader.exec_module = exec_module
        return spec

number, modules = %r
sys.meta_path.insert(0, MutantFinder())
"""

Replacement = Callable[[Any], Any]


@dataclass(frozen=True)
class Rule:
    """The module and qualified name of the function that has a rule, and what makes its replacement."""

    target: str
    without: Replacement

    @property
    def module(self) -> str:
        return f"customer_sync.{self.target.partition(':')[0]}"

    def remove(self) -> None:
        """Replaces the function. Raises AttributeError when there is none of this name."""
        owner, _, name = self.target.partition(":")[2].rpartition(".")
        module = sys.modules[self.module]
        holder = attrgetter(owner)(module) if owner else module
        setattr(holder, name, self.without(getattr(holder, name)))


@dataclass(frozen=True)
class Mutant:
    """The program without a rule, and the tests that must fail."""

    name: str
    tests: str
    """A selection of tests/test_traps.py, as pytest's -k takes it."""
    rules: tuple[Rule, ...]

    @property
    def modules(self) -> set[str]:
        return {rule.module for rule in self.rules}

    def apply(self, module: str) -> None:
        """Removes the rules of *module*, which has been imported."""
        for rule in self.rules:
            if rule.module == module:
                rule.remove()


MUTANTS: list[Mutant] = []


def mutant(name: str, target: str, tests: str) -> Callable[[Replacement], Replacement]:
    """Declares a mutant: the decorated function makes the replacement from the original. The same name as that of the
    mutant before adds a rule to it.
    """

    def declare(without: Replacement) -> Replacement:
        if MUTANTS and MUTANTS[-1].name == name:
            MUTANTS[-1] = replace(MUTANTS[-1], rules=(*MUTANTS[-1].rules, Rule(target, without)))
        else:
            MUTANTS.append(Mutant(name, tests, (Rule(target, without),)))
        return without

    return declare


# 1, 2: the walk


def _guide_walk(*, lowers_until: bool) -> Callable[[Any], Iterator[Any]]:
    def walk(self: Any) -> Iterator[Any]:
        self._upper = self._until + 1
        answer, number = self._read(1), 1
        while True:
            yield self._batch(answer.rows)
            if self._is_last(answer) or answer.lowest is None:
                return
            if lowers_until:
                self._upper = answer.lowest + 1
            number += 1
            answer = self._read(number)

    return walk


@mutant("1 the page number grows while the window comes down", "sync.walk:CustomerWalk.__iter__", "trap_01")
def _(_: Any) -> Any:
    return _guide_walk(lowers_until=True)


@mutant("2 the page number grows, the window stays", "sync.walk:CustomerWalk.__iter__", "trap_02")
def _(_: Any) -> Any:
    return _guide_walk(lowers_until=False)


# 3: the order


@mutant("3 an incremental writes the newest first", "sync.slices:Slices.__iter__", "trap_03")
def _(original: Any) -> Any:
    return lambda self: (replace(one, customers=one.customers[::-1]) for one in original(self))


@mutant("3 a backfill writes the oldest first", "sync.walk:CustomerWalk._batch", "trap_03")
def _(original: Any) -> Any:
    def batch(self: Any, *rows: Any) -> Any:
        one = original(self, *rows)
        return replace(one, customers=one.customers[::-1])

    return batch


# 4: which time a document has


@mutant("4 watermarks are times of the write", "services.time_field:TimeFieldInUse._learn_from", "trap_04")
def _(_: Any) -> Any:
    def learn(*_: Any) -> Any:
        from customer_sync.services.time_field import UPDATED_AT

        return UPDATED_AT

    return learn


@mutant("4 watermarks are times of the write", "services.time_field:agrees", "trap_04")
def _(_: Any) -> Any:
    return lambda *_: True


@mutant(
    "4 what one page notices counts for another page's answer", "services.time_field:TimeFieldInUse.refute", "trap_04"
)
def _(original: Any) -> Any:
    return lambda self, _, found: original(self, self._field, found)


# 5: several upserts in flight


@mutant("5 no SPAN rule", "sync.span_rule:SpanRule.may_start", "trap_05")
def _(_: Any) -> Any:
    return lambda self, place: True  # noqa: ARG005


@mutant("5 each of several passes takes the whole SPAN", "sync.span_rule:max_ahead", "trap_05")
def _(_: Any) -> Any:
    return lambda span: span


@mutant("5 the newest watermark is the newest customer", "sync.watermarks:newest_watermark", "trap_05")
def _(original: Any) -> Any:
    def newest(stored: Any, until: int, span: int) -> Any:
        return max(one.time for one in stored) if len(stored) >= span else original(stored, until, span)

    return newest


@mutant("5 the oldest watermark is the oldest customer", "sync.watermarks:oldest_watermark", "trap_05")
def _(original: Any) -> Any:
    def oldest(stored: Any, span: int) -> Any:
        return min(one.time for one in stored) if len(stored) >= span else original(stored, span)

    return oldest


@mutant("5 the rule does not bind while too few are stored", "sync.plan:plan_incremental", "trap_15")
def _(original: Any) -> Any:
    def plan(*facts: Any, **more: Any) -> Any:
        one = original(*facts, **more)
        return replace(one, bound_from=one.watermark)

    return plan


# 6, 7: a backfill beside incrementals


def _incremental_without(*, look_back: bool, first: bool, last: bool) -> Replacement:
    def replacement(original: Any) -> Any:
        def incremental(self: Any, options: Any, **which: Any) -> Any:
            from customer_sync.core.customer import Window

            if first and "look_back" in which:
                now = int(self._context.clock.now()) - 2
                return Window(now, now)
            if last and "above" in which:
                return Window(which["above"], which["above"])
            if look_back:
                which.pop("look_back", None)
            return original(self, options, **which)

        return incremental

    return replacement


@mutant("6 a backfill begins without an incremental", "sync.passes:_PageSync.incremental", "trap_06")
def _(original: Any) -> Any:
    return _incremental_without(look_back=False, first=True, last=False)(original)


@mutant(
    "7 a backfill ends without an incremental",
    "sync.passes:_PageSync.incremental",
    "trap_07 and holds_an_older_version",
)
def _(original: Any) -> Any:
    return _incremental_without(look_back=False, first=False, last=True)(original)


@mutant("7 a backfill does not look back", "sync.passes:_PageSync.incremental", "trap_07")
def _(original: Any) -> Any:
    return _incremental_without(look_back=True, first=False, last=False)(original)


# 8, 9: the window in the request


class _OtherWindow:
    """Pancake's list, asked for another window."""

    def __init__(self, pancake: Any, since: int, lower: int) -> None:
        self._pancake = pancake
        self._since = since
        self._lower = lower

    def get_customers(self, number: int, size: int, since: int, until: int) -> Any:  # noqa: ARG002
        return self._pancake.get_customers(number, size, self._since, until - self._lower)


@mutant("8 since is in the request", "sync.walk:CustomerWalk.__init__", "trap_08")
def _(original: Any) -> Any:
    def init(self: Any, pancake: Any, page_id: str, window: Any, *size: int, **lead: int) -> None:
        original(self, _OtherWindow(pancake, window.since, 0), page_id, window, *size, **lead)

    return init


@mutant("8 any empty answer ends the list", "sync.list_reader:ListReader._list", "trap_08")
def _(_: Any) -> Any:
    return lambda self, number, size, until, expects_rows: self._pancake.get_customers(number, size, 0, until)  # noqa: ARG005


@mutant("8 any empty answer ends the list", "sync.walk:CustomerWalk._continues", "trap_08")
def _(_: Any) -> Any:
    return lambda *_: True


@mutant("8 three empty answers end the list", "sync.walk:CustomerWalk._continues", "trap_08")
def _(_: Any) -> Any:
    return lambda *_: True


@mutant("8 what Pancake showed empty counts as read", "sync.slices:Slices.__iter__", "trap_08")
def _(original: Any) -> Any:
    return lambda self: (replace(one, covered_until=one.until) for one in original(self))


@mutant("9 the request ends with the last second", "sync.walk:CustomerWalk.__init__", "trap_09")
def _(original: Any) -> Any:
    def init(self: Any, pancake: Any, *more: Any, **lead: int) -> None:
        original(self, _OtherWindow(pancake, 0, 1), *more, **lead)

    return init


@mutant("9 the request ends with the last second", "sync.walk:CustomerWalk._continues", "trap_09")
def _(_: Any) -> Any:
    return lambda *_: True


# 10: a second that is still running


@mutant("10 a second that is still running is read", "sync.walk:SETTLE_SECONDS", "trap_10")
def _(_: Any) -> Any:
    return 0


@mutant("10 Pancake's clock is ignored", "sync.walk:settled", "trap_10")
def _(_: Any) -> Any:
    return lambda until, *_: until


# 11: which record


@mutant("11 customers without psid are one", "core.customer:key_of", "trap_11")
def _(_: Any) -> Any:
    return lambda psid, _: psid or "none"


@mutant("11 another page's record is overwritten", "services.folkform:is_another_pages", "trap_11")
def _(_: Any) -> Any:
    return lambda *_: False


@mutant("11 an id alone finds another page's record", "services.folkform:filter_of", "trap_11")
def _(_: Any) -> Any:
    def filter_of(customer: Any) -> dict[str, str]:
        return {"customerId": str(customer.pancake_id)} if customer.psid is None else {"psid": customer.psid}

    return filter_of


@mutant("11 a newer record of another psid is overwritten", "services.folkform:is_newer", "trap_11")
def _(_: Any) -> Any:
    return lambda *_: False


@mutant("11 FolkForm is not asked which record has the id", "services.folkform:FolkFormClient.look_up", "trap_11")
def _(_: Any) -> Any:
    def look_up(_: Any, customer: Any) -> Any:
        from customer_sync.services.folkform import filter_of

        return filter_of(customer)

    return look_up


# 12, 13: failures


@mutant("12 a customer whose tries ran out is skipped", "sync.failure_policy:FailurePolicy._tries_ran_out", "trap_12")
def _(_: Any) -> Any:
    return lambda self, customer, error, _: self._report(customer, error)


@mutant("12 a failed customer is named at the end only", "output.console:Screen.customer_failed", "trap_12")
def _(_: Any) -> Any:
    return lambda *_: None


@mutant("12 a 500 is about the customer in an outage, too", "sync.failure_policy:FailurePolicy._retry_as", "trap_12")
def _(original: Any) -> Any:
    def retry_as(self: Any, customer: Any, stage: Any) -> None:
        original(self, customer, type(stage).JUDGED if stage is type(stage).INSISTING else stage)

    return retry_as


@mutant("13 one poisonous customer ends the page", "sync.failure_policy:FailurePolicy._fail", "trap_13")
def _(_: Any) -> Any:
    def fail(_: Any, __: Any, error: Exception) -> None:
        raise error

    return fail


@mutant("13 three forbidden customers in a row end the page", "sync.failure_policy:FailurePolicy.__init__", "trap_13")
def _(original: Any) -> Any:
    return lambda self, look_up, ping, retry, report, _: original(self, look_up, ping, retry, report, 3)


@mutant("13 FolkForm is not asked whether it is down", "services.folkform_access:FolkFormAccess.ping", "trap_13")
def _(_: Any) -> Any:
    return lambda *_: None


# 14: documents of other writers


@mutant("14 a time of 0 is a time", "services.documents:StoredVersion.has_time", "trap_14")
def _(_: Any) -> Any:
    return property(lambda _: True)


@mutant("14 a time of 0 is a time", "services.time_field:TimeField.condition", "trap_14")
def _(_: Any) -> Any:
    return lambda _, until: {"$gt": -1} if until is None else {"$gt": -1, "$lte": until * 1000 + 999}


@mutant(
    "14 zeros in a sample decide the dialect", "services.time_field:TimeFieldInUse._has_pancake_updated_at", "trap_14"
)
def _(_: Any) -> Any:
    return lambda _: False


@mutant("14 zeros in a sample decide the dialect", "services.time_field:agrees", "trap_14")
def _(_: Any) -> Any:
    return lambda *_: True


# 15: by hand a window grows


@mutant("15 --since jumps the watermark", "sync.plan:plan_incremental", "trap_15")
def _(original: Any) -> Any:
    def plan(newest: Any, oldest: Any, until: int, options: Any, **more: Any) -> Any:
        one = original(newest, oldest, until, options, **more)
        return one if options.since is None else replace(one, window=replace(one.window, since=options.since))

    return plan


@mutant("15 a backfill's --until jumps the watermark", "sync.plan:plan_backfill", "trap_15")
def _(original: Any) -> Any:
    def plan(oldest: Any, below: int, options: Any, **more: Any) -> Any:
        one = original(oldest, below, options, **more)
        if options.until is None:
            return one
        return replace(one, window=replace(one.window, until=min(below - 1, options.until)))

    return plan


@mutant(
    "15 a clock that is behind starts below what is covered",
    "sync.passes:_PageSync._covered_ahead_of_our_clock",
    "trap_15",
)
def _(_: Any) -> Any:
    return lambda *_: None


@mutant("15 the watermark's own second is missed", "sync.passes:history_end", "trap_15")
def _(_: Any) -> Any:
    return lambda covered: covered.since


@mutant("15 an earlier start may leave a gap", "sync.watermarks:clamp_start", "trap_15")
def _(_: Any) -> Any:
    return lambda watermark, wanted, oldest: wanted  # noqa: ARG005


# 16: second records; 17, 18: what Pancake hides; 19: more than SPAN refused


@mutant("16 an older record replaces a newer one", "sync.passes:_PageSync._must_write", "trap_16")
def _(original: Any) -> Any:
    return lambda self, customer, is_stored, newer: original(self, customer, is_stored, None)  # noqa: ARG005


@mutant("17 an until that hides customers is believed", "sync.walk:CustomerWalk._continues", "trap_17")
def _(_: Any) -> Any:
    return lambda *_: True


@mutant("17 the first answer has no lead", "sync.walk:CustomerWalk.__init__", "trap_17")
def _(original: Any) -> Any:
    return lambda self, *more, **_: original(self, *more, lead=0)


@mutant("18 rows do not disprove a clock", "sync.walk:settled", "trap_18")
def _(_: Any) -> Any:
    return lambda until, pancake_now, _: min(until, int(pancake_now) - 2)


@mutant("16 what is still in flight is forgotten", "sync.stored_versions:RecentVersions.newer_than", "trap_16")
def _(original: Any) -> Any:  # noqa: ARG001
    return lambda self, customer: None  # noqa: ARG005


@mutant("18 clocks that are minutes apart are believed", "sync.passes:check_clocks", "trap_18")
def _(_: Any) -> Any:
    return lambda *_: None


@mutant("19 refused customers count as in a row", "sync.writer:CustomerWriter.skip", "trap_19")
def _(_: Any) -> Any:
    return lambda _: None


@mutant("19 a last incremental does not know what is stored", "sync.passes:_PageSync._stored_around", "trap_19")
def _(original: Any) -> Any:
    return lambda self, plan, newest, customers: original(self, replace(plan, watermark=None), newest, customers)


def survives(number: int | None, tests: str) -> bool:
    """Whether the tests pass without the rule of this number; None: with every rule."""
    with TemporaryDirectory() as directory:
        environment = dict(os.environ)
        if number is not None:
            Path(directory, "sitecustomize.py").write_text(
                _SITE % ((number, MUTANTS[number].modules),), encoding="utf-8"
            )
            environment["PYTHONPATH"] = os.pathsep.join([directory, str(ROOT)])
        pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider"]
        ended = subprocess.run(
            [*pytest, "tests/test_traps.py", "-k", tests],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    if ended.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.returncode == 0


def main(words: list[str]) -> int:
    """Tries the chosen mutants. Returns how many survived."""
    chosen = [
        number
        for number, one in enumerate(MUTANTS)
        if not words or set(words) & {*one.name.split(), *(module.rpartition(".")[2] for module in one.modules)}
    ]
    if not survives(None, "trap"):
        raise SystemExit("The tests fail with every rule in place.")
    survivors = 0
    for number in chosen:
        alive = survives(number, MUTANTS[number].tests)
        survivors += alive
        print(f"{'SURVIVED' if alive else 'found':8}  {MUTANTS[number].name}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants found")
    return survivors


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
