"""What `customer-sync explain` tells of a customer: both sides, what differs, and which pass would bring her."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from customer_sync.core.clock import ago, local_time
from customer_sync.core.customer import parse_customer_updated_at, read_identifier
from customer_sync.results.field_diff import Difference, differences, masked
from customer_sync.results.result import PageResult, PassResult
from customer_sync.results.table import Cell, Column, Table, Tone

_VERSION = "updated_at"


class Verdict(StrEnum):
    """Where a customer stands."""

    IN_ORDER = "in_order"
    ALTERED = "altered"
    """The same version on both sides, with other fields."""
    DUPLICATE = "duplicate"
    """The same version on both sides, and another record in FolkForm."""
    BLOCKED = "id_taken"
    """FolkForm refuses the customer, since another record has Pancake's id."""
    INCREMENTAL = "next_incremental"
    BACKFILL = "next_backfill"
    PASSED_BY = "passed_by"
    OFF = "page_is_off"
    MALFORMED = "malformed"
    EXTRA = "only_in_folkform"
    UNKNOWN = "unknown"


_SENTENCES = {
    Verdict.IN_ORDER: "FolkForm holds her as Pancake has her",
    Verdict.ALTERED: "FolkForm holds her version, but not all of it is as in Pancake; {remedy} sends her page again",
    Verdict.DUPLICATE: "FolkForm holds {count} records of the customer, the newest up to date; delete the others",
    Verdict.BLOCKED: "{lacks}: it {flaw}; no pass can write the customer until that record is corrected in FolkForm",
    Verdict.INCREMENTAL: "{lacks}; the next incremental brings her: {remedy}",
    Verdict.BACKFILL: "{lacks}; the next backfill brings her: {remedy}",
    Verdict.PASSED_BY: "{lacks}, and no pass looks at her time again; the repair of her page does: {remedy}",
    Verdict.OFF: "{lacks}, and her page is off (isSync), so only a pass that names it brings her: {remedy}",
    Verdict.MALFORMED: "Pancake lists her malformed ({flaw}), so no pass can bring her; only Pancake can mend that",
    Verdict.EXTRA: "FolkForm holds her and Pancake does not list her: merged or deleted there; in FolkForm she stays",
    Verdict.UNKNOWN: "Neither side has a customer {who} of this page; check the psid and the page",
}


@dataclass(frozen=True, slots=True)
class Side:
    """A customer as one of the services has her."""

    psid: str | None
    pancake_id: str | None
    version: str | None
    data: Mapping[str, Any] = field(repr=False)
    """All fields that Pancake gives, or gave."""
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
        """*psid* and *pancake_id* are those that FolkForm keeps the customer under."""
        psid, pancake_id = psid or read_identifier(data.get("psid")), pancake_id or read_identifier(data.get("id"))
        return cls(psid, pancake_id, _text(data.get(_VERSION)), data, record_id)

    @property
    def time(self) -> int | None:
        """The second of her version."""
        try:
            return parse_customer_updated_at(self.version)
        except ValueError:
            return None

    @property
    def shown_version(self) -> str | None:
        """Her version, unless it is none and may be something personal."""
        return self.version and masked(_VERSION, self.version)

    def as_json(self) -> dict[str, Any]:
        return {"psid": self.psid, "id": self.pancake_id, _VERSION: self.shown_version, "time": self.time}


@dataclass
class Explanation(PageResult):
    """One customer of one page, on both sides."""

    IS_REPORT = True

    who: str = field(kw_only=True)
    """Her psid, or her id in Pancake."""
    asked_at: float = field(kw_only=True)
    """The present, from which ages count."""
    pancake: Side | None = None
    records: list[Side] = field(default_factory=list)
    """FolkForm's records of the customer, the newest first; one, unless another program has written too."""
    flaw: str | None = None
    """Why the customer is malformed in Pancake, or refused by FolkForm."""
    verdict: Verdict | None = None
    """None while it is not known."""

    @property
    def folkform(self) -> Side | None:
        """The newest of FolkForm's records."""
        return self.records[0] if self.records else None

    @property
    def has_problems(self) -> bool:
        return self.verdict not in (Verdict.IN_ORDER, Verdict.ALTERED)

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
        facts = {"lacks": self._lacks(), "remedy": self.remedy, "flaw": self.flaw, "who": self.who}
        facts["count"] = str(len(self.records))
        return _SENTENCES[self.verdict].format(**facts)

    def _lacks(self) -> str:
        if self.folkform is None:
            return "FolkForm does not hold her"
        newer = self.pancake.time if self.pancake else None
        is_older = newer is not None and self.folkform.time is not None and self.folkform.time < newer
        return f"FolkForm holds {'an older' if is_older else 'another'} version of her"

    def details(self) -> dict[str, Any]:
        return {
            "on": self.page.is_sync,
            "who": self.who,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "pancake": self.pancake
            and {**self.pancake.as_json(), "malformed": self.flaw if self.verdict is Verdict.MALFORMED else None},
            "folkform": self.folkform and self.folkform.as_json(),
            "records": [{"record": one.record_id, **one.as_json()} for one in self.records],
            "differences": [
                {"field": one.field, "pancake": one.pancake, "folkform": one.folkform} for one in self.differences
            ],
        }

    @staticmethod
    def opening(result: "PassResult[Explanation]") -> str:
        return ", ".join((page.verdict or page.status).replace("_", " ") for page in result.pages) or result.status

    @staticmethod
    def sum_up(result: "PassResult[Explanation]") -> str:  # noqa: ARG004
        return ""  # The sentence has said it.

    @staticmethod
    def next_steps(result: "PassResult[Explanation]") -> list[str]:
        return [page.sentence for page in result.pages if page.sentence]

    @staticmethod
    def lines(result: "PassResult[Explanation]") -> list[str]:
        return [line for page in result.pages for line in page.facts()]

    def facts(self) -> list[str]:
        """Both sides, then each difference, a line each."""
        sides = {"Pancake": self.pancake, "FolkForm": self.folkform}
        return [
            *(f"{name}: {self._words(side)}" for name, side in sides.items()),
            *(f"FolkForm record {one.record_id}: {self._words(one)}" for one in self._several),
            *(f"{one.field}: {one.pancake} in Pancake, {one.folkform} in FolkForm" for one in self._other_differences),
        ]

    def _words(self, side: Side | None) -> str:
        if side is None:
            return self._absent
        version = ", ".join(filter(None, (side.shown_version or "none", self._when(side))))
        return f"version {version}, psid {side.psid or 'none'}, id {side.pancake_id or 'none'}"

    @classmethod
    def table(cls, result: "PassResult[Explanation]") -> Table:
        (page,) = result.pages
        title = f"customer-sync {result.name} {page.who}, page {page.page.title}"
        return Table(title, [Column(""), Column("Pancake"), Column("FolkForm")], page.rows())

    def rows(self) -> list[list[Cell]]:
        """Both sides, then each difference, a row each."""
        sides = self.pancake, self.folkform
        others = [(one.field, one.pancake, one.folkform, Tone.DOUBTFUL) for one in self._other_differences]
        if all(sides) and not others:
            others = [("other fields", "the same", "the same", Tone.GOOD)]
        return [
            [Cell("version"), *map(self._version, sides)],
            [Cell("psid"), *(_known(side.psid) if side else Cell("") for side in sides)],
            [Cell("id"), *(_known(side.pancake_id) if side else Cell("") for side in sides)],
            *([Cell(f"record {one.record_id}"), Cell(""), self._version(one)] for one in self._several),
            *(
                [Cell(name), Cell(pancake, tone=tone), Cell(folkform, tone=tone)]
                for name, pancake, folkform, tone in others
            ),
        ]

    @property
    def _several(self) -> list[Side]:
        """FolkForm's records, where there is more than one."""
        return self.records if len(self.records) > 1 else []

    @property
    def _other_differences(self) -> list[Difference]:
        """But for what is told of each side in any case."""
        return [one for one in self.differences if one.field not in (_VERSION, "psid", "id")]

    def _version(self, side: Side | None) -> Cell:
        if side is None:
            return Cell(self._absent, tone=Tone.BAD)
        same = self.pancake and self.folkform and self.pancake.version == self.folkform.version
        return Cell(side.shown_version or "none", self._when(side), Tone.GOOD if same else Tone.DOUBTFUL)

    @property
    def _absent(self) -> str:
        return "not there" if self.verdict else "unknown"

    def _when(self, side: Side) -> str:
        return f"{local_time(side.time)} ({ago(self.asked_at - side.time)})" if side.time else ""


def _known(identity: str | None) -> Cell:
    return Cell(identity or "none", tone=Tone.PLAIN if identity else Tone.BAD)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
