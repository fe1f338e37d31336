"""Which customers are missing, stale, extra or duplicate: decided from what both sides hold, without a request."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from customer_sync.core.customer import Key, psid_of
from customer_sync.results.page_result import Problem
from customer_sync.services.documents import StoredVersion


@dataclass(frozen=True, slots=True)
class ListedCustomer:
    """A customer of Pancake whose version FolkForm did not hold when both were read."""

    version: str
    time: int
    pancake_id: str | None


@dataclass(frozen=True, slots=True)
class BothSides:
    """The customers that seemed to differ, as they are at the second look."""

    listed: Mapping[Key, ListedCustomer]
    """Pancake's side."""
    unmatched: Mapping[Key, Set[str | None]]
    """The records whose version Pancake did not list, by customer."""
    stored: Mapping[Key, list[StoredVersion]]
    """Their records in FolkForm now, the newest first."""
    changed: Set[Key]
    """Customers that changed in Pancake meanwhile: their differences are left to the passes."""
    malformed: Set[Key]
    """What malformed customers of Pancake are known by."""

    def missing_or_stale(self) -> dict[Key, ListedCustomer]:
        """The customers whose version FolkForm still does not hold."""
        return {
            key: listed
            for key, listed in self.listed.items()
            if key not in self.changed and not (key in self.stored and self.stored[key][0].version == listed.version)
        }

    def ids_held_elsewhere(self) -> dict[Key, str]:
        """The Pancake ids that FolkForm may hold in another record, which prevents the customer from being written."""
        return {
            key: listed.pancake_id
            for key, listed in self.missing_or_stale().items()
            if listed.pancake_id and listed.pancake_id not in [one.pancake_id for one in self.stored.get(key, ())]
        }

    def problems(self, blocked: Mapping[Key, str]) -> Iterator[Problem]:
        """Every difference. *blocked* says which record prevents a customer from being written."""
        renamed = self._renamed()
        for key, listed in sorted(self.missing_or_stale().items(), key=lambda item: str(item[0])):
            stored = self.stored.get(key, [None])[0] or renamed.get(listed.pancake_id)
            yield _missing_or_stale(key, listed, stored, blocked.get(key))
        in_pancake = self.listed.keys() | self.malformed | {record.key for record in renamed.values()}
        for key in sorted(self.stored.keys() - self.changed, key=str):
            newest, *older = self.stored[key]
            for record in older:
                yield _duplicate(newest, record)
            if key not in in_pancake and all(map(self._is_unmatched, self.stored[key])):
                yield Problem(
                    newest.psid, newest.pancake_id, "extra", "only in FolkForm (merged or deleted in Pancake); kept"
                )

    def _renamed(self) -> dict[str | None, StoredVersion]:
        """The records of customers that have got, lost or changed their psid since, by Pancake id."""
        missing = {listed.pancake_id for key, listed in self.missing_or_stale().items() if key not in self.stored}
        records = (record for records in self.stored.values() for record in records if record.key not in self.listed)
        return {record.pancake_id: record for record in records if record.pancake_id in missing - {None}}

    def _is_unmatched(self, stored: StoredVersion) -> bool:
        """Whether Pancake did not list the version of a record; records without a time were not compared."""
        return not stored.time or record_of(stored) in self.unmatched.get(stored.key, ())


def record_of(stored: StoredVersion) -> str | None:
    """The identity of one of a customer's records."""
    return stored.record_id or stored.version


def _missing_or_stale(key: Key, listed: ListedCustomer, stored: StoredVersion | None, blocked: str | None) -> Problem:
    state, where = "missing", "missing in FolkForm"
    if stored is not None:
        state, where = "stale", f"FolkForm holds {_shown(stored.version)}"
        if stored.key != key:
            where += f" under {f'psid {stored.psid}' if stored.psid else 'no psid'}"
    reason, step = f"{where} (Pancake version {listed.version})", ""
    if blocked:
        reason = f"{reason}; FolkForm {blocked}"
        step = "No pass can write this customer while that record exists: correct the side that is wrong."
    return Problem(psid_of(key), listed.pancake_id, state, reason, step)


def _duplicate(newest: StoredVersion, older: StoredVersion) -> Problem:
    records = (f"{one.record_id or 'without an id'} ({_shown(one.version)})" for one in (newest, older))
    return Problem(newest.psid, newest.pancake_id, "duplicate", f"two records in FolkForm: {', '.join(records)}")


def _shown(version: str | None) -> str:
    return "an unknown time" if version is None else f"{version:.40}"
