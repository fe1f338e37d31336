"""FolkForm's query language, the part of MongoDB's in the wire contract, translated to SQL.

Values are compared as *cells*: null, numbers and text unchanged, everything else as a blob. SQLite orders these
types as MongoDB does, and `typeof` restricts a comparison to values of one type (MongoDB's type bracketing). Not
translated: MongoDB also compares the elements of lists.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.sandbox.fb_customer import ZEROS
from customer_sync.sandbox.json_text import dumps, loads

MAX_LIMIT = 1000
_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPTIONS = frozenset({"sort", "limit", "skip", "projection"})
# Paths with a column of their own, most of them indexed; all others are read from the document.
_COLUMNS = {
    "_id": "id",
    "id": "id",
    "customerId": "customerId",
    "psid": "psid",
    "pageId": "pageId",
    "createdAt": "createdAt",
    "updatedAt": "updatedAt",
    "panCakeUpdatedAt": "panCakeUpdatedAt",
    "panCakeData.updated_at": "version",
}
# MongoDB's order of the types that become blobs.
_BLOB_RANKS = {dict: b"3", list: b"4", bool: b"8"}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Sql:
    """A piece of SQL and its parameters."""

    text: str
    parameters: tuple[Any, ...] = ()


_INSERTION_ORDER = Sql("rowid")


@dataclass(frozen=True)
class Options:
    """The checked `options` of a find."""

    order: Sql = _INSERTION_ORDER
    limit: int = MAX_LIMIT
    skip: int = 0
    projection: tuple[str, ...] | None = None
    """The paths to include besides the id; None for all."""
    with_id: bool = True


def cell(value: Any) -> Any:
    """A JSON value as SQLite compares it; integers beyond 64 bits become doubles, as in MongoDB."""
    rank = _BLOB_RANKS.get(type(value))
    if rank:
        return rank + dumps(value).encode()
    if isinstance(value, int) and value not in _INT64:
        return _double(value)
    return value


def field_cell(document: str, path: str) -> Any:
    """The cell at a dotted path of a document's JSON text; null if there is none."""
    return cell(find_path(loads(document), path)[1])


def has_field(document: str, path: str) -> bool:
    """Whether a document's JSON text has a value, even null, at a dotted path."""
    return find_path(loads(document), path)[0]


def find_path(document: Any, path: str) -> tuple[bool, Any]:
    """Whether there is a value at a dotted path, and the value."""
    value = document
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return False, None
        value = value[key]
    return True, value


def parse_filter(document: Any) -> Sql:
    """The condition of a `filter`. Raises ValueError for anything outside of the contract."""
    if not isinstance(document, dict):
        raise ValueError("filter must be an object")
    return _all_of([_condition(path, wanted) for path, wanted in document.items()])


def parse_options(document: Any) -> Options:
    """The checked `options`. Raises ValueError for anything outside of the contract."""
    if not isinstance(document, dict):
        raise ValueError("options must be an object")
    if unknown := sorted(document.keys() - _OPTIONS):
        raise ValueError(f"unknown option {unknown[0]}")
    projection, with_id = _projection(document.get("projection", {}))
    return Options(
        order=_order(document.get("sort", {})),
        limit=_whole_number("limit", document.get("limit", MAX_LIMIT), 1, MAX_LIMIT),
        skip=_whole_number("skip", document.get("skip", 0), 0, 2**31),
        projection=projection,
        with_id=with_id,
    )


def project(document: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """The document with the projection's paths; every other key has its zero value."""
    if options.projection is None:
        return {path: value for path, value in document.items() if options.with_id or path != "id"}
    result: dict[str, Any] = {"id": document["id"] if options.with_id else "", **ZEROS}
    for path in options.projection:
        found, value = find_path(document, path)
        if found:
            *parents, last = path.split(".")
            target = result
            for key in parents:
                target[key] = target.get(key) or {}
                target = target[key]
            target[last] = value
    return result


def _condition(path: str, wanted: Any) -> Sql:
    if not path or path.startswith("$"):
        raise ValueError(f"unknown filter operator {path!r}")
    if not isinstance(wanted, dict) or not any(key.startswith("$") for key in wanted):
        return _operation(path, "$eq", wanted)
    return _all_of([_operation(path, operator, operand) for operator, operand in wanted.items()])


def _operation(path: str, operator: str, operand: Any) -> Sql:
    target = _target(path)
    if operator == "$eq":
        return _equality(target, operand)
    if operator in _COMPARISONS:
        return _comparison(target, _COMPARISONS[operator], operand)
    if operator in ("$in", "$nin"):
        return _membership(target, operand, negated=operator == "$nin")
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise ValueError("$exists takes true or false")
        path = "id" if path == "_id" else path
        return Sql("has_field(document, ?) = ?", (path, operand))
    raise ValueError(f"unknown filter operator {operator!r}")


def _equality(target: Sql, operand: Any) -> Sql:
    if operand is None:
        return Sql(f"{target.text} IS NULL", target.parameters)
    return Sql(f"{target.text} = ?", (*target.parameters, cell(operand)))


def _comparison(target: Sql, sign: str, operand: Any) -> Sql:
    if isinstance(operand, str):
        kinds = "('text')"
    elif isinstance(operand, int | float) and not isinstance(operand, bool):
        kinds = "('integer', 'real')"
    else:
        raise ValueError("$gt, $gte, $lt and $lte take a number or a text")
    text = f"({target.text} {sign} ? AND typeof({target.text}) IN {kinds})"
    return Sql(text, (*target.parameters, cell(operand), *target.parameters))


def _membership(target: Sql, operand: Any, *, negated: bool) -> Sql:
    if not isinstance(operand, list):
        raise ValueError("$in and $nin take a list")
    present = [cell(item) for item in operand if item is not None]
    among = f"{target.text} {'NOT IN' if negated else 'IN'} ({', '.join('?' * len(present))})"
    # SQL's IN is neither true nor false for null, so null has a condition of its own.
    null_matches = (None in operand) != negated
    null = f"OR {target.text} IS NULL" if null_matches else f"AND {target.text} IS NOT NULL"
    return Sql(f"({among} {null})", (*target.parameters, *present, *target.parameters))


def _order(sort: Any) -> Sql:
    if not isinstance(sort, dict):
        raise ValueError("sort must be an object")
    keys = []
    for path, direction in sort.items():
        if isinstance(direction, bool) or direction not in (1, -1):
            raise ValueError("sort takes 1 or -1")
        target = _target(path)
        keys.append(Sql(f"{target.text} {'ASC' if direction == 1 else 'DESC'}", target.parameters))
    return _joined(", ", keys) if keys else _INSERTION_ORDER


def _projection(projection: Any) -> tuple[tuple[str, ...] | None, bool]:
    if not isinstance(projection, dict):
        raise ValueError("projection must be an object")
    ids = {"_id", "id"} & projection.keys()
    for path, included in projection.items():
        if included not in (0, 1) or (not included and path not in ids):
            raise ValueError("projection takes 1, and 0 for the id alone")
    with_id = all(projection[path] for path in ids)
    paths = tuple(path for path in projection if path not in ids)
    return paths if paths or (ids and with_id) else None, with_id


def _whole_number(name: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}")
    return value


def _double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _target(path: str) -> Sql:
    column = _COLUMNS.get(path)
    return Sql(column) if column else Sql("field_cell(document, ?)", (path,))


def _all_of(conditions: list[Sql]) -> Sql:
    return _joined(" AND ", conditions) if conditions else Sql("1")


def _joined(separator: str, pieces: list[Sql]) -> Sql:
    parameters = tuple(parameter for piece in pieces for parameter in piece.parameters)
    return Sql(separator.join(piece.text for piece in pieces), parameters)
