"""Random damage to a FolkForm that holds every customer: some are lost, some aged, some added."""

import random
from typing import Any

from customer_sync.sandbox import Sandbox

from .conftest import DAY, ago, only_page, people, person


class Damage:
    """Random damage to a FolkForm that holds every customer."""

    def __init__(self, box: Sandbox, seed: int) -> None:
        self._box = box
        self._page_id = only_page(box)
        self._rng = random.Random(seed)
        self._by_time = sorted(box.pancake.customers(self._page_id), key=_time, reverse=True)

    def do(self) -> None:
        """One to three kinds of damage."""
        for _ in range(self._rng.randint(1, 3)):
            self._rng.choice([self._lose, self._age, self._add])()

    def _some(self) -> list[dict[str, Any]]:
        """The newest, the oldest, a whole span, some of one second, all of one second, or any customers."""
        count = self._rng.choice([1, 1, 2, 7, 60])
        place = self._rng.randrange(len(self._by_time))
        tied = [one for one in self._by_time if _time(one)[:19] == _time(self._by_time[place])[:19]]
        return self._rng.choice(
            [
                self._by_time[:count],
                self._by_time[-count:],
                self._by_time[place : place + count],
                self._rng.sample(tied, min(count, len(tied))),
                tied,
                self._rng.sample(self._by_time, count),
            ]
        )

    def _lose(self) -> None:
        for customer in self._some():
            self._box.folkform.delete(self._page_id, customer["psid"])

    def _age(self) -> None:
        for customer in self._some():
            seconds = self._rng.choice([1, 5, 4000, 40 * DAY])
            previous = ago(60 + seconds) if self._rng.random() < 0.2 else "2019-08-24T14:15:22"
            self._box.folkform.upsert({**customer, "page_id": self._page_id, "updated_at": previous})

    def _add(self) -> None:
        for customer in self._some():
            psid = f"extra-{self._rng.randrange(10**9)}"
            self._box.folkform.upsert({**customer, "page_id": self._page_id, "psid": psid, "id": psid})


def _time(customer: dict[str, Any]) -> str:
    return str(customer["updated_at"])


def crowd() -> list[dict[str, Any]]:
    """100 customers: some alone, some in seconds of three, and of thirty, which is more than a batch."""
    alone = people(25, 400, 100_000, "alone")
    tied = [person(f"tied{number:03}", 5_000 + 150_000 * (number // 3)) for number in range(15)]
    crowds = [person(f"crowd{number:03}", 100_000 * (1 + number // 30), notes=[number]) for number in range(60)]
    for customer in (*tied, *crowds):
        customer["updated_at"] = f"{customer['updated_at'][:19]}.{random.Random(customer['psid']).randrange(10**6):06}"
    return [*alone, *tied, *crowds]
