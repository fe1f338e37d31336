"""A shop's page, as FolkForm keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from customer_sync.core.command_line import command, quoted
from customer_sync.core.errors import SettingsError

_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class Page:
    """One page record of FolkForm."""

    page_id: str
    name: str
    is_sync: bool
    """Whether the shop wants this page synced."""
    page_access_token: str = field(repr=False)
    """Gives access to the page's customers in Pancake; empty if FolkForm has none."""
    access_token: str = field(default="", repr=False)
    """The user token that can make a page token; empty if FolkForm has none."""
    broken: str = ""
    """Why its record cannot be used; empty where it can."""
    records: int = 1
    """How many records FolkForm has of it."""

    @property
    def title(self) -> str:
        """Name and id."""
        return f"{self.name} ({self.page_id})" if self.name else self.page_id

    @property
    def problem(self) -> str:
        """What is wrong with its record, as a sentence without its full stop; empty if nothing is."""
        return f"FolkForm's record of page {self.page_id} cannot be used: {self.broken}" if self.broken else ""

    @property
    def several_records(self) -> str:
        """A sentence about its other records; empty if there are none."""
        state = "it is synced, because one of them is on" if self.is_sync else "all of them are off"
        return f"FolkForm has {self.records} records of page {self.page_id}; {state}" if self.records > 1 else ""


def check_names(page_ids: Sequence[str], available: Sequence[str]) -> None:
    """Raises SettingsError for the *page_ids* that are none of the available ones; each names the nearest one."""
    unknown = [page_id for page_id in dict.fromkeys(page_ids) if page_id not in available]
    if not unknown:
        return
    folded = {page_id.casefold(): page_id for page_id in available}
    problems = []
    for page_id in unknown:
        nearest = [folded[one] for one in get_close_matches(page_id.strip().casefold(), folded, 1)]
        hint = "".join(f" (did you mean {quoted(one)}?)" for one in nearest)
        problems.append(f"page {quoted(page_id)} not found in FolkForm{hint}")
    more = f" and {len(available) - _MAX_LISTED} more; {command('status')} shows all"
    listed = ", ".join(available[:_MAX_LISTED]) or "none"
    raise SettingsError(problems, f"Available pages: {listed}{more if len(available) > _MAX_LISTED else ''}.")


CORRECT_RECORD = "Correct the page record in FolkForm."
DELETE_RECORDS = "Delete all but one of them in FolkForm."
