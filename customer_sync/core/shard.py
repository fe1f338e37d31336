"""A share of the pages: with hundreds of them, several machines run over disjoint shards and share nothing."""

import re
from dataclasses import dataclass
from zlib import crc32

# As many pods as Kubernetes lets one Indexed Job run at once.
MOST_SHARDS = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Number *index*, from 0, of *count* shards; every page is in exactly one of them."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def slug(self) -> str:
        """As a part of file names and addresses: "2-of-8"."""
        return f"{self.index}-of-{self.count}"

    def holds(self, page_id: str) -> bool:
        """Whether the page is in this shard: the same on every machine, in every process, for ever."""
        # hash() differs from process to process; an id with a broken character must not end the others' run.
        return crc32(page_id.encode(errors="surrogatepass")) % self.count == self.index


def read_shard(text: str) -> Shard:
    """The shard of "2/8". Raises ValueError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not found or not int(found[1]) < int(found[2]) <= MOST_SHARDS:
        raise ValueError("give a shard's number, from 0, and how many shards there are, such as 2/8")
    return Shard(int(found[1]), int(found[2]))
