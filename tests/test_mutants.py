"""The rules that `make mutants` removes are where it expects them."""

from importlib import import_module
from operator import attrgetter

import pytest

from .mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_rule_is_where_its_mutant_expects_it(mutant: Mutant) -> None:
    """A function that is moved or renamed takes its mutant along."""
    for rule in mutant.rules:
        assert attrgetter(rule.target.partition(":")[2])(import_module(rule.module)) is not None
