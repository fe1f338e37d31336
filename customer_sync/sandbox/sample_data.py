"""Sample pages and customers, Vietnamese, the same for the same seed and time."""

import random
import uuid
from collections.abc import Iterator
from typing import Any, Literal

from customer_sync.sandbox.times import pancake_text

TimeFormats = Literal["real", "mixed"]
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_FAMILY_NAMES = ["Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Đặng", "Bùi", "Đỗ", "Ngô"]
_WOMENS_MIDDLE_NAMES = ["Thị Thu", "Ngọc", "Thị Bích", "Thanh", "Thị Mỹ", "Kim", "Thùy", "Quỳnh", "Phương"]
_MENS_MIDDLE_NAMES = ["Văn", "Đức", "Minh", "Hữu", "Quốc", "Công", "Tuấn", "Đình", "Anh", "Gia"]
_WOMENS_NAMES = ["Thảo", "Lan", "Hương", "Hạnh", "Trang", "Yến", "Ngân", "Vy", "Linh", "Hà", "Nhi", "Thủy"]
_MENS_NAMES = ["Dũng", "Hùng", "Khoa", "Long", "Nam", "Phúc", "Quân", "Sơn", "Tài", "Thắng", "Bảo", "Huy"]
_PHONE_PREFIXES = ["032", "035", "038", "070", "076", "079", "083", "085", "090", "091", "096", "097", "058"]
_PLACES = ["Hà Nội", "TP. Hồ Chí Minh", "Đà Nẵng", "Cần Thơ", "Huế", "Đắk Lắk", "Hải Phòng", "Quảng Ngãi"]
_NOTES = ["Khách quen 🌸", "Giao giờ hành chính", "Gọi trước khi giao ☎️", "Thích màu đỏ", "Hỏi giá sỉ"]
_SHOPS = ["Mỹ phẩm", "Thời trang", "Đồ gia dụng", "Trà sữa", "Hoa tươi", "Giày dép", "Đặc sản", "Mẹ và bé"]
_OWNERS = ["Cô Ba", "Bé Na", "An Nhiên", "Phố Cổ", "Sông Hương", "Mộc", "Hạ Long", "Chị Tư"]
_TIME_LAYOUTS = [
    "{second}.{micros}",
    "{second}",
    "{second}Z",
    "{second}.{millis}Z",
    "{second}.{micros}789Z",
    "{second}.{micros}+00:00",
    "{hanoi}+07:00",
]


def page(seed: int, index: int) -> tuple[str, str]:
    """The id and name of a sample page: Facebook, Instagram and Zalo pages in turn."""
    rng = random.Random(f"page {seed} {index}")
    number = f"{rng.randrange(10**8):08}{index:04}"
    page_id = (f"104{number}", f"igo_178{number}", f"pzl_84{number}")[index % 3]
    return page_id, f"{rng.choice(_SHOPS)} {rng.choice(_OWNERS)}"


class SampleCustomers:
    """Customers of one page, with times up to *now* (Unix microseconds, UTC)."""

    def __init__(self, page_id: str, seed: int, now: int, time_formats: TimeFormats = "real") -> None:
        self._page_id = page_id
        self._rng = random.Random(f"customers {seed} {page_id}")
        self._now = now
        self._time_formats = time_formats

    def take(self, count: int) -> Iterator[dict[str, Any]]:
        """Yields *count* customers; a burst of them was updated within one second."""
        burst = 130 if count >= 500 else count // 10
        burst_second = (self._now - 3 * _DAY) // _SECOND * _SECOND
        for index in range(count):
            # Tenths of a second: several of a burst have the very same time.
            in_burst = burst_second + self._rng.randrange(10) * _SECOND // 10
            yield self._customer(in_burst if index < burst else self._time())

    def _time(self) -> int:
        """A time within two years, one in four within 30 days, none within the last minute."""
        days = 30 if self._rng.random() < 0.25 else 730
        return self._now - 60 * _SECOND - int(self._rng.random() * (days * _DAY - 60 * _SECOND))

    def _customer(self, updated_at: int) -> dict[str, Any]:
        rng = self._rng
        gender = "female" if rng.random() < 0.6 else "male"
        age = int(rng.random() ** 4 * 300 * _DAY)
        updated_text = self._text(updated_at)
        customer = {
            "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "psid": str(rng.randrange(10**15, 10**17)),
            "name": self._name(gender),
            "phone_numbers": [self._phone() for _ in range(rng.choice((0, 1, 1, 1, 2)))],
            "email": None,
            "gender": rng.choice((gender, gender, gender, None)),
            "birthday": None,
            "lives_in": rng.choice(_PLACES) if rng.random() < 0.3 else None,
            "thread_id": rng.choice((None, rng.randrange(2**53, 2**63))),
            # A text may lack the fraction: an unchanged customer has one text for both times.
            "inserted_at": updated_text if age < _SECOND else self._text(updated_at - age),
            "updated_at": updated_text,
            **self._rare_fields(),
        }
        return {**customer, "page_id": self._page_id} if rng.random() < 0.5 else customer

    def _name(self, gender: str) -> str:
        woman = gender == "female"
        middle_name = self._rng.choice(_WOMENS_MIDDLE_NAMES if woman else _MENS_MIDDLE_NAMES)
        name = self._rng.choice(_WOMENS_NAMES if woman else _MENS_NAMES)
        return f"{self._rng.choice(_FAMILY_NAMES)} {middle_name} {name}"

    def _phone(self) -> str:
        return f"{self._rng.choice(_PHONE_PREFIXES)}{self._rng.randrange(10**7):07}"

    def _rare_fields(self) -> dict[str, Any]:
        """Fields of some customers only: notes in various forms, and undocumented keys."""
        rng = self._rng
        fields: dict[str, Any] = {"notes": rng.choice((None, []))}
        if rng.random() < 0.2:
            note_id = rng.randrange(2**53, 2**70)
            fields["notes"] = [{"id": note_id, "message": rng.choice(_NOTES), "created_by": {"uid": None}}]
        if rng.random() < 0.2:
            fields["order_stats"] = {"count": rng.randrange(1, 40), "return_rate": round(rng.random(), 3)}
        return fields

    def _text(self, moment: int) -> str:
        if self._time_formats == "real":
            return pancake_text(moment, fraction=self._rng.random() < 0.7)
        return self._mixed_text(moment)

    def _mixed_text(self, moment: int) -> str:
        second, micros = pancake_text(moment).split(".")
        hanoi = pancake_text(moment + 7 * 3600 * _SECOND)
        layout = self._rng.choice(_TIME_LAYOUTS)
        return layout.format(second=second, micros=micros, millis=micros[:3], hanoi=hanoi)
