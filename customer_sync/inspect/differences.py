"""Which customers are missing, stale, extra or duplicate: decided from what both sides hold, without a request."""

from collections.abc import Iterator, Mapping
from itertools import islice

from customer_sync.core.customer import Key, local_version, psid_of
from customer_sync.inspect.suspects import ListedCustomer, Suspects
from customer_sync.results.problems import Problem
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import CORRECT_RECORD


def ids_held_elsewhere(suspects: Suspects, most: int) -> dict[Key, ListedCustomer]:
    """The customers whose Pancake id FolkForm may hold in another record, which prevents them from being written; none
    when they are more than *most*.
    """
    found = (
        listed
        for listed in suspects.missing_or_stale()
        if listed.pancake_id and listed.pancake_id not in [one.pancake_id for one in suspects.records(listed.key)]
    )
    held = {listed.key: listed for listed in islice(found, most + 1)}
    return held if len(held) <= most else {}


def problems(suspects: Suspects, blocked: Mapping[Key, str]) -> Iterator[Problem]:
    """Every difference. *blocked* says why FolkForm refuses a customer."""
    for listed in suspects.missing_or_stale():
        records = suspects.records(listed.key)
        stored = records[0] if records else suspects.former_record(listed.pancake_id)
        yield _missing_or_stale(listed, stored, blocked.get(listed.key))
    for key in suspects.stored_keys():
        newest, *older = records = suspects.records(key)
        for record in older:
            yield _duplicate(newest, record)
        if _is_extra(suspects, key, records):
            yield Problem(
                newest.psid, newest.pancake_id, "extra", "only in FolkForm (merged or deleted in Pancake); kept"
            )


def count_malformed(suspects: Suspects) -> int:
    """How many customers that are malformed in Pancake FolkForm holds, no version of which Pancake lists."""
    records = map(suspects.records, suspects.malformed_keys())
    return sum(
        all(map(suspects.is_unmatched, some)) and not any(map(suspects.is_former_record, some)) for some in records
    )


def _is_extra(suspects: Suspects, key: Key, records: list[StoredVersion]) -> bool:
    if suspects.is_listed(key) or any(map(suspects.is_former_record, records)):
        return False
    return all(map(suspects.is_unmatched, records))


def _missing_or_stale(listed: ListedCustomer, stored: StoredVersion | None, blocked: str | None) -> Problem:
    state, where = "missing", "missing in FolkForm"
    if stored is not None:
        state, where = "stale", f"FolkForm holds {_shown(stored.version)}"
        if stored.key != listed.key:
            where += f" under {f'psid {stored.psid}' if stored.psid else 'no psid'}"
    reason, step = f"{where} (Pancake version {local_version(listed.version)})", ""
    if blocked:
        reason = f"{reason}; FolkForm {blocked}"
        step = CORRECT_RECORD
    return Problem(psid_of(listed.key), listed.pancake_id, state, reason, step)


def _duplicate(newest: StoredVersion, older: StoredVersion) -> Problem:
    records = (f"{one.record_id or 'without an id'} ({_shown(one.version)})" for one in (newest, older))
    return Problem(newest.psid, newest.pancake_id, "duplicate", f"two records in FolkForm: {', '.join(records)}")


def _shown(version: str | None) -> str:
    return "an unknown time" if version is None else f"{local_version(version):.40}"
