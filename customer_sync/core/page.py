"""A shop's page, as FolkForm keeps it."""

from dataclasses import dataclass, field


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

    @property
    def title(self) -> str:
        """Name and id."""
        return f"{self.name} ({self.page_id})" if self.name else self.page_id
