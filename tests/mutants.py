"""Takes the rules that prevent a loss out of the program, one by one, and shows that a test turns red for each.

`python -m tests.mutants` tries all of them, `python -m tests.mutants 5 walk` those with a number or word in their
name. Each mutant is a copy of the package in which a rule's text has been replaced; a rule whose text is no longer
there is a mistake of this list. Exit 0 when every mutant was found.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
_TIMEOUT = 300.0


@dataclass(frozen=True)
class Mutant:
    """A rule that is missing: the texts replaced in one room, and the tests that must notice."""

    name: str
    room: str
    edits: tuple[tuple[str, str], ...]
    tests: str
    """A selection of tests/test_traps.py, as pytest's -k takes it."""

    def write(self, package: Path) -> None:
        """Takes the rule out of a copy of the package."""
        file = package / f"{self.room.replace(chr(46), chr(47))}.py"
        text = file.read_text(encoding="utf-8")
        for rule, without in self.edits:
            if text.count(rule) != 1:
                raise SystemExit(f"{self.name}: {self.room}.py has the text {text.count(rule)} times, not once: {rule}")
            text = text.replace(rule, without)
        file.write_text(text, encoding="utf-8")


MUTANTS = [
    Mutant(
        "1 the page number grows while the window comes down",
        "sync.walk",
        (("answer = self._ask(1)", "answer = self._ask(self._next_number(answer) if self._asked else 1)"),),
        "trap_01",
    ),
    Mutant(
        "2 the page number grows, the window stays",
        "sync.walk",
        (
            ("answer = self._ask(1)", "answer = self._ask(self._next_number(answer) if self._asked else 1)"),
            ("            self._upper = answer.lowest + 1\n", ""),
        ),
        "trap_02",
    ),
    Mutant(
        "3 an incremental writes the newest first",
        "sync.slices",
        (("customers[::-1], cut", "customers, cut"),),
        "trap_03",
    ),
    Mutant(
        "3 a backfill writes the oldest first",
        "sync.passes",
        (("self._without_stored(batch, is_stored)", "self._without_stored(batch[::-1], is_stored)"),),
        "trap_03",
    ),
    Mutant(
        "4 marks are times of the write",
        "services.folkform",
        (
            ("            return pancake_time\n", "            return TimeField.UPDATED_AT\n"),
            (
                "            return TimeField.UPDATED_AT\n        return TimeField.VERSION",
                "            pass\n        return TimeField.UPDATED_AT",
            ),
            ("if field is TimeField.UPDATED_AT and any(", "if False and any("),
        ),
        "trap_04",
    ),
    Mutant(
        "4 what one page finds out is believed of what another was answered before",
        "services.folkform",
        (("if field is TimeField.UPDATED_AT and any(", "if self._time_field is TimeField.UPDATED_AT and any("),),
        "trap_04",
    ),
    Mutant(
        "5 no SPAN rule",
        "sync.writer",
        (("return stored_beyond + len(self._started) + 1 < self._max_ahead", "return True"),),
        "trap_05",
    ),
    Mutant(
        "5 each of several passes takes the whole SPAN",
        "sync.writer",
        (("self._max_ahead = -(-upserts.span // _SIDE_BY_SIDE)", "self._max_ahead = upserts.span"),),
        "trap_05",
    ),
    Mutant(
        "5 the newest mark is the newest customer",
        "sync.watermarks",
        (("return min(times) if", "return max(times) if"),),
        "trap_05",
    ),
    Mutant(
        "5 the oldest mark is the oldest customer",
        "sync.watermarks",
        (("return max(stored.time", "return min(stored.time"),),
        "trap_05",
    ),
    Mutant(
        "5 the rule does not bind while too few are stored",
        "sync.passes",
        (("if above is None and len(newest) >= self._span else None", "if above is None else None"),),
        "trap_15",
    ),
    Mutant(
        "6 a backfill begins without an incremental",
        "sync.passes",
        (
            (
                "covered = sync.incremental(options=PassOptions(since=None if sure_until is None else sure_until + 1))",
                "covered = Window(int(run.clock.now()) - SETTLE_SECONDS, int(run.clock.now()) - SETTLE_SECONDS)",
            ),
        ),
        "trap_06",
    ),
    Mutant(
        "7 a backfill ends without an incremental",
        "sync.passes",
        (("closed = sync.incremental(above=covered.until)", "closed = covered"),),
        "trap_07 and holds_an_old_copy",
    ),
    Mutant(
        "7 nobody minds that a backfill was cut short",
        "sync.passes",
        (("sure_until = lock.sure_until\n", "sure_until = None\n"),),
        "trap_07",
    ),
    Mutant(
        "7 who is cut short leaves no word",
        "sync.passes",
        (("            lock.note_sure_until(covered.until)\n", "            pass\n"),),
        "trap_07",
    ),
    Mutant(
        "7 a copy from before proves that others get through",
        "sync.passes",
        (("        self._somebody_stored = None  # Whoever was unchanged before may have changed since.\n", ""),),
        "trap_07",
    ),
    Mutant(
        "8 since is asked of the window",
        "sync.walk",
        (("get_customers(number, size, 0, self._upper)", "get_customers(number, size, self.since, self._upper)"),),
        "trap_08",
    ),
    Mutant(
        "8 an answer with nobody ends the list wherever it comes",
        "sync.walk",
        (
            ("return self._edge is not None or total is None", "return False"),
            ("        if number == 1 and self._edge is not None:\n", "        if False:\n"),
        ),
        "trap_08",
    ),
    Mutant(
        "8 nobody is believed when it is answered three times",
        "sync.walk",
        (("            self._refuse_forgetting(self._edge)\n", "            pass\n"),),
        "trap_08",
    ),
    Mutant(
        "8 what was shown empty counts as read",
        "sync.slices",
        (("if self._nobody_until < piece.until:", "if True:"),),
        "trap_08",
    ),
    Mutant(
        "9 the window ends with the second asked for",
        "sync.walk",
        (("get_customers(number, size, 0, self._upper)", "get_customers(number, size, 0, self._upper - 1)"),),
        "trap_09",
    ),
    Mutant(
        "10 a second that is still running is read",
        "sync.walk",
        (("SETTLE_SECONDS = 2", "SETTLE_SECONDS = 0"),),
        "trap_10",
    ),
    Mutant(
        "10 nobody looks at Pancake's clock",
        "sync.walk",
        (("            self.until = min(self.until, int(listed.date) - SETTLE_SECONDS)\n", "            pass\n"),),
        "trap_10",
    ),
    Mutant(
        "11 customers without psid are one",
        "core.customer",
        (("return psid or (None if pancake_id is None else (pancake_id,))", "return psid or 'none'"),),
        "trap_11",
    ),
    Mutant(
        "11 another page's record is taken over",
        "services.folkform",
        (("if held.page_id and held.page_id != page_id:", "if False:"),),
        "trap_11",
    ),
    Mutant(
        "11 an id alone finds another page's record",
        "services.folkform",
        (('return {**name, "pageId": customer.page_id}', "return name if customer.psid is None else {**name}"),),
        "trap_11",
    ),
    Mutant(
        "11 a newer record of another psid is taken over",
        "services.folkform",
        (("if held.time > updated_at else", "if False else"),),
        "trap_11",
    ),
    Mutant(
        "11 nobody looks up who has the id",
        "services.folkform",
        (("        if held is None:\n", "        if held is None or held:\n"),),
        "trap_11",
    ),
    Mutant(
        "12 whose tries ran out is passed over",
        "sync.writer",
        (("self._troubled[customer] = _Trouble(stage, error, ended)", "self._pass_over(customer, error)"),),
        "trap_12",
    ),
    Mutant(
        "12 who is passed over is named at the end only",
        "output.console",
        (("        self.problem(result, problem)\n", ""),),
        "trap_12",
    ),
    Mutant(
        "12 a 500 is about the customer, whether others get through or not",
        "sync.writer",
        (("_Stage.INSISTING if suspect", "_Stage.JUDGED if suspect"),),
        "trap_12",
    ),
    Mutant(
        "13 one poisonous customer ends the page",
        "sync.writer",
        (
            (
                "            if self._look_up(customer) is not None:\n                self._fail(customer, error)\n",
                "            raise error\n",
            ),
        ),
        "trap_13",
    ),
    Mutant(
        "13 three forbidden customers in a row end the page",
        "sync.writer",
        ((" and not self._others_get_through()", ""),),
        "trap_13",
    ),
    Mutant(
        "13 nobody asks whether FolkForm is down",
        "sync.writer",
        (
            ("        self._upserts.ping(next(iter(self._troubled)).page_id)\n", ""),
            ("            self._upserts.ping(customer.page_id)\n", ""),
        ),
        "trap_13",
    ),
    Mutant(
        "14 a time of 0 is a time",
        "services.documents",
        (
            ('return "" if self is TimeField.VERSION else 0', 'return "" if self is TimeField.VERSION else -1'),
            ("or value <= 0:", "or value < 0:"),
        ),
        "trap_14",
    ),
    Mutant(
        "14 zeros in a sample tell the dialect, unchecked",
        "services.folkform",
        (
            (' or self._find(\n            {pancake_time.value: {"$gt": 0}}, {"limit": 1}\n        ):', ":"),
            ("if all(updated_at_is_pancakes(document) for document in sample):", "if True:"),
            ("if field is TimeField.UPDATED_AT and any(", "if False and any("),
        ),
        "trap_14",
    ),
    Mutant(
        "15 --since jumps the mark",
        "sync.passes",
        (
            ("wished = min(wished, options.since)", "wished = options.since"),
            (
                "        if wished >= mark:\n            return mark\n",
                "        if wished >= mark:\n            return wished\n",
            ),
        ),
        "trap_15",
    ),
    Mutant(
        "15 a backfill's --until jumps the mark",
        "sync.passes",
        (("return min(top, max(mark, options.until or 0))", "return min(top, options.until or mark)"),),
        "trap_15",
    ),
    Mutant(
        "15 a clock that is behind begins below what is covered",
        "sync.passes",
        (("mark = self._covered_ahead_of_our_clock(until) or mark", "pass"),),
        "trap_15",
    ),
    Mutant(
        "15 the mark's own second is passed over",
        "sync.passes",
        (("covered.since if covered.since <= covered.until else covered.since + 1", "covered.since"),),
        "trap_15",
    ),
    Mutant(
        "15 an earlier start may leave a gap",
        "sync.watermarks",
        (("return wished if oldest is None else min(mark, max(wished, oldest))", "return wished"),),
        "trap_15",
    ),
]


def survives(mutant: Mutant) -> bool:
    """Whether the tests pass without the rule, though they should not."""
    with TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in ("customer_sync", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        mutant.write(copy / "customer_sync")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider"]
        ended = subprocess.run(
            [*command, "tests/test_traps.py", "-k", mutant.tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": directory},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: pytest ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.returncode == 0


def main(words: list[str]) -> int:
    """Tries the mutants chosen; returns how many survived."""
    chosen = [mutant for mutant in MUTANTS if not words or set(words) & {*mutant.name.split(), mutant.room}]
    if not survives(Mutant("nothing is missing", "sync.walk", (), "trap")):
        raise SystemExit("The tests are red with every rule in place.")
    survivors = 0
    for mutant in chosen:
        alive = survives(mutant)
        survivors += alive
        print(f"{'SURVIVED' if alive else 'found':8}  {mutant.name}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants found")
    return survivors


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
