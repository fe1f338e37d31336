"""The rules that `make mutants` takes out are where it says."""

from pathlib import Path

import pytest

import customer_sync

from .mutants import MUTANTS, Mutant

PACKAGE = Path(customer_sync.__file__).parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_rule_stands_where_it_is_taken_out(mutant: Mutant) -> None:
    """A rule that was moved or reworded must not leave its mutant behind."""
    text = (PACKAGE / f"{mutant.room.replace(chr(46), chr(47))}.py").read_text(encoding="utf-8")
    for rule, without in mutant.edits:
        assert text.count(rule) == 1
        text = text.replace(rule, without)
