"""A moment as a person writes it, for --since and --until."""

import pytest

from customer_sync.core.moment import has_zone, parse_moment

from .conftest import in_zone

SECOND = 1566656122  # 2019-08-24T14:15:22Z


@pytest.mark.parametrize(
    ("text", "first", "last", "zone"),
    [
        ("2019-08-24", 1566579600, 1566665999, False),
        ("2019-08-24T14:15", 1566630900, 1566630900, False),
        ("2019-08-24 14:15:22", 1566630922, 1566630922, False),
        ("2019-08-24T14:15:22.9", 1566630922, 1566630922, False),
        ("2019-08-24T14:15:22Z", SECOND, SECOND, True),
        ("2019-08-24T14:15:22-04:00", 1566670522, 1566670522, True),
        ("1566656122", SECOND, SECOND, True),
        ("0", 0, 0, True),
    ],
)
def test_a_moment(text: str, first: int, last: int, zone: bool) -> None:
    """A date, a date and time, or Unix seconds; without a zone it is the machine's."""
    with in_zone("ICT-7"):
        assert parse_moment(text) == first
        assert parse_moment(text, end_of_day=True) == last
    assert has_zone(text) == zone


def test_a_day_is_as_long_as_the_clocks_make_it() -> None:
    """The last second of a day whose clocks jump is the one before the next day."""
    with in_zone("EST5EDT,M3.2.0,M11.1.0"):
        for day, after, hours in (("2024-03-10", "2024-03-11", 23), ("2024-11-03", "2024-11-04", 25)):
            assert parse_moment(day, end_of_day=True) + 1 == parse_moment(after)
            assert parse_moment(after) - parse_moment(day) == hours * 3600


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "-5", "1.5", "1e9", "20190824", "２０１９", "٢٠١٩", "2019-08", "2019-W01"),
        *("2019-W01-3", "2019-236", "2019-13-01", "2019-02-29", "2019-08-24T", "2019-08-24Tx", "2019-08-2x"),
        *("24.08.2019", "08/24/2019", "1960-01-01", "2019-08-24T25:00", "2019-08-24T14:15:22 +07:00"),
        "2019-08-24T14:15:22+99:00",
    ],
)
def test_an_invalid_moment(text: str) -> None:
    """Anything else, and any moment before 1970, is an error that quotes the value."""
    for end_of_day in (False, True):
        with pytest.raises(ValueError, match="is not a valid time") as error:
            parse_moment(text, end_of_day=end_of_day)
        assert repr(text) in str(error.value)
