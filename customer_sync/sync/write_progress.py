"""Whether FolkForm keeps what a backfill writes."""

from customer_sync.core.customer import Customer
from customer_sync.core.errors import ContractBroken
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform_access import SERVICE as FOLKFORM
from customer_sync.sync.watermarks import oldest_watermark


class WriteProgressCheck:
    """Proof that FolkForm keeps what a backfill writes: the oldest watermark comes down."""

    def __init__(self, watermark: int | None, span: int) -> None:
        self._watermark = watermark
        self._span = span
        self._written = 0

    def written(self, customer: Customer) -> None:
        """The customer has been written."""
        if self._watermark is None or customer.updated_at < self._watermark:
            self._written += 1

    def check(self, oldest: list[StoredVersion]) -> None:
        """Raises ContractBroken when the watermark should have come down and has not."""
        watermark = oldest_watermark(oldest, self._span)
        came_down = watermark is not None and (self._watermark is None or watermark < self._watermark)
        if self._written >= self._span and not came_down:
            problem = f"accepted {self._written} older customers, but its oldest ones are still the same"
            raise ContractBroken(FOLKFORM, problem, "Check that it stores what is sent (role, permissions, database).")
        if came_down:
            self._watermark, self._written = watermark, 0
