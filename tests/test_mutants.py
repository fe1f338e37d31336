"""The rules that `make mutants` takes out are where it says."""

from importlib import import_module
from operator import attrgetter

import pytest

from .mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_rule_lives_where_it_is_taken_out(mutant: Mutant) -> None:
    """A rule that was moved or renamed must not leave its mutant behind."""
    for rule in mutant.rules:
        assert attrgetter(rule.target.partition(":")[2])(import_module(rule.module)) is not None
