"""One customer on both sides, as `customer-sync explain` shows it: versions, differences, the next pass."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from customer_sync.core.clock import ago
from customer_sync.core.customer import local_version, parse_customer_updated_at, read_identifier
from customer_sync.results.field_diff import Difference, differences, masked
from customer_sync.results.page_result import PageResult
from customer_sync.results.table import BAD, DOUBTFUL, GOOD, Cell

_VERSION = "updated_at"
_IN_EVERY_TABLE = (_VERSION, "psid", "id")


class Verdict(StrEnum):
    """The state of a customer."""

    UP_TO_DATE = "in_order"
    ALTERED = "altered"
    """The same version on both sides, with different fields."""
    DUPLICATE = "duplicate"
    """The same version on both sides, and another record in FolkForm."""
    ID_TAKEN = "id_taken"
    """FolkForm refuses the customer because another record has the same Pancake id."""
    UNSTORABLE = "unstorable"
    """FolkForm refuses the customer because of a value."""
    INCREMENTAL = "next_incremental"
    BACKFILL = "next_backfill"
    REPAIR = "repair_needed"
    """No scheduled pass will revisit that time."""
    OFF = "page_is_off"
    MALFORMED = "malformed"
    EXTRA = "only_in_folkform"
    UNKNOWN = "unknown"


# Incrementals write the oldest customers first.
_EARLIER = ", although newer customers are there, so an earlier pass may have failed on it (its output has the reason)"
_SENTENCES = {
    Verdict.UP_TO_DATE: "up to date in FolkForm",
    Verdict.ALTERED: "same version, but some fields differ; to resend the page: {remedy}",
    Verdict.DUPLICATE: "{count} records in FolkForm, the newest up to date; delete the others",
    Verdict.ID_TAKEN: "{state}: FolkForm {flaw}; no pass can write the customer until that record is corrected",
    Verdict.UNSTORABLE: "{state}: FolkForm {flaw}; no pass can write the customer until that is corrected in Pancake",
    Verdict.INCREMENTAL: "{state}{earlier}; the next incremental tries to copy this customer: {remedy}",
    Verdict.BACKFILL: "{state}{earlier}; the next backfill tries to copy this customer: {remedy}",
    Verdict.REPAIR: "{state}; no scheduled pass will revisit that time; repair the page: {remedy}",
    Verdict.OFF: "{state}; the page is switched off (isSync), only a pass that names it copies the customer: {remedy}",
    Verdict.MALFORMED: "invalid record in Pancake ({flaw}); fix it there",
    Verdict.EXTRA: "only in FolkForm (merged or deleted in Pancake); kept",
    Verdict.UNKNOWN: "customer {customer} is on neither side of this page; check the psid and the page",
}


@dataclass(frozen=True, slots=True)
class Side:
    """A customer as one of the services has it."""

    psid: str | None
    pancake_id: str | None
    version: str | None
    data: Mapping[str, Any] = field(repr=False)
    """All fields that Pancake has, or had."""
    record_id: str | None = None
    """FolkForm's own id of the record."""

    @classmethod
    def of(
        cls,
        data: Mapping[str, Any],
        psid: str | None = None,
        pancake_id: str | None = None,
        record_id: str | None = None,
    ) -> "Side":
        """*psid* and *pancake_id* are the ones in FolkForm's record."""
        version = data.get(_VERSION)
        return cls(
            psid or read_identifier(data.get("psid")),
            pancake_id or read_identifier(data.get("id")),
            version if isinstance(version, str) else None,
            data,
            record_id,
        )

    @property
    def time(self) -> int | None:
        """The second of the version; None if it is not readable."""
        try:
            return parse_customer_updated_at(self.version)
        except ValueError:
            return None

    @property
    def shown_version(self) -> str | None:
        """The version; masked if it is not a time and may be personal."""
        return self.version and masked(_VERSION, self.version)

    def as_json(self) -> dict[str, Any]:
        return {"psid": self.psid, "id": self.pancake_id, _VERSION: self.shown_version, "time": self.time}


@dataclass
class Explanation(PageResult):
    """One customer of one page, on both sides."""

    IS_REPORT = True
    SHOWS_STATUS = False

    customer: str = field(kw_only=True)
    """The psid or Pancake id that was asked for."""
    asked_at: float = field(kw_only=True)
    """The present, from which ages count."""
    pancake: Side | None = None
    records: list[Side] = field(default_factory=list)
    """FolkForm's records of the customer, the newest first; several only if another program writes too."""
    flaw: str | None = None
    """Why Pancake's record is malformed, or FolkForm refuses it."""
    verdict: Verdict | None = None
    """None while it is unknown."""
    passed: bool = False
    """Whether FolkForm holds a newer customer of the page: a pass has been there, or another program has."""

    @property
    def folkform(self) -> Side | None:
        """The newest of FolkForm's records."""
        return self.records[0] if self.records else None

    @property
    def has_problems(self) -> bool:
        return self.verdict not in (Verdict.UP_TO_DATE, Verdict.ALTERED)

    @property
    def differences(self) -> list[Difference]:
        """Between what FolkForm would be sent and what it holds."""
        if self.pancake is None or self.folkform is None:
            return []
        page_id = self.pancake.data.get("page_id") or self.page.page_id
        return differences({**self.pancake.data, "page_id": page_id}, self.folkform.data)

    @property
    def sentence(self) -> str | None:
        """The verdict, with the command that helps."""
        if self.verdict is None:
            return None
        return _SENTENCES[self.verdict].format(
            state="stale in FolkForm" if self.folkform else "missing in FolkForm",
            remedy=self.remedy,
            earlier=_EARLIER if self.passed else "",
            flaw=self.flaw,
            customer=self.customer,
            count=len(self.records),
        )

    def details(self) -> dict[str, Any]:
        malformed = self.flaw if self.verdict is Verdict.MALFORMED else None
        return {
            "on": self.page.is_sync,
            "who": self.customer,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "pancake": self.pancake and {**self.pancake.as_json(), "malformed": malformed},
            "folkform": self.folkform and self.folkform.as_json(),
            "records": [{"record": one.record_id, **one.as_json()} for one in self.records],
            "differences": [asdict(one) for one in self.differences],
        }

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:  # noqa: ARG003
        return ", ".join(page.verdict.replace("_", " ") if page.verdict else "no verdict" for page in pages)

    @classmethod
    def next_steps(cls, pages: Sequence[Self]) -> list[str]:
        return [page.sentence for page in pages if page.sentence]

    @classmethod
    def table(cls, pages: Sequence[Self]) -> tuple[list[str], list[list[Cell]]]:
        customers = ", ".join(page.customer for page in pages)
        return [customers, "Pancake", "FolkForm"], [row for page in pages for row in page.rows()]

    def lines(self) -> list[str]:
        """The rows of the table, a line each."""
        return [f"{name}: {pancake} in Pancake, {folkform} in FolkForm" for name, pancake, folkform in self.rows()]

    def rows(self) -> list[list[Cell]]:
        """The version, the ids, each record if FolkForm has several, and each difference."""
        sides = self.pancake, self.folkform
        others, style = [one for one in self.differences if one.field not in _IN_EVERY_TABLE], DOUBTFUL
        if all(sides) and not others:
            others, style = [Difference("other fields", "the same", "the same")], GOOD
        records = self.records if len(self.records) > 1 else []
        return [
            [Cell("version"), *map(self._version, sides)],
            [Cell("psid"), *(self._identifier(side, side.psid if side else None) for side in sides)],
            [Cell("id"), *(self._identifier(side, side.pancake_id if side else None) for side in sides)],
            *([Cell(f"record {one.record_id}"), Cell("none"), self._version(one)] for one in records),
            *([Cell(one.field), Cell(one.pancake, style=style), Cell(one.folkform, style=style)] for one in others),
        ]

    def _version(self, side: Side | None) -> Cell:
        if side is None:
            return Cell("none" if self.verdict else "unknown", style=BAD)
        same = self.pancake and self.folkform and self.pancake.version == self.folkform.version
        version = local_version(side.shown_version or "none")
        when = ago(self.asked_at - side.time) if side.time else ""
        return Cell(version, when, GOOD if same else DOUBTFUL)

    def _identifier(self, side: Side | None, identifier: str | None) -> Cell:
        none = "none" if side or self.verdict else "unknown"
        return Cell(identifier or none, style="" if identifier else BAD)
