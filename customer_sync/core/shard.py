"""Shards: disjoint shares of the pages, for several machines at once."""

import re
from dataclasses import dataclass
from zlib import crc32

# The most pods that Kubernetes runs at once for an Indexed Job.
MAX_SHARDS = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Number *index*, from 0, of *count* shards; every page is in exactly one of them."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def slug(self) -> str:
        """For file names and addresses: "2-of-8"."""
        return f"{self.index}-of-{self.count}"

    def holds(self, page_id: str) -> bool:
        """Whether the page is in this shard; the same on every machine and in every version."""
        # hash() differs between processes; an id with a broken character must not end the run.
        return crc32(page_id.encode(errors="surrogatepass")) % self.count == self.index


def read_shard(text: str) -> Shard:
    """Parses "2/8". Raises ValueError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not found or not int(found[1]) < int(found[2]) <= MAX_SHARDS:
        raise ValueError("give the shard's number, from 0, and the number of shards, such as 2/8")
    return Shard(int(found[1]), int(found[2]))
