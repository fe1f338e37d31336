"""The exact comparison of both sides."""

from .services import Services


def test_equal(services: Services) -> None:
    """A page_id that is absent in Pancake, and the order of keys, are no difference."""
    customer = services.customer("7", name="Mai", thread_id=2**60 + 1)
    services.has({name: customer[name] for name in reversed(customer) if name != "page_id"})
    services.upsert(customer)
    difference = services.sandbox.difference(services.page_id)
    assert difference.equal
    assert difference.pages.keys() == {services.page_id}


def test_missing(services: Services) -> None:
    """A customer that is not in FolkForm is missing."""
    services.has(services.customer("7"))
    assert services.sandbox.difference(services.page_id).missing == ["7"]


def test_stale(services: Services) -> None:
    """A customer with another version is stale, even if both versions are the same moment."""
    services.has(services.customer("7", "2025-12-07T10:23:23"), services.customer("8", "2025-12-07T10:23:23"))
    services.upsert(services.customer("7", "2025-12-07T10:23:22"))
    services.upsert(services.customer("8", "2025-12-07T10:23:23Z"))
    assert services.sandbox.difference(services.page_id).stale == ["7", "8"]


def test_changed(services: Services) -> None:
    """A customer of the right version is changed if anything else in the data differs."""
    pairs = {"1": (1, 1.5), "2": (1, True), "3": (2**53, 2**53 + 1), "4": ([1, 2], [2, 1]), "5": (None, "")}
    for psid, (pancake, folkform) in pairs.items():
        services.has(services.customer(psid, value=pancake))
        services.upsert(services.customer(psid, value=folkform))
    services.has(services.customer("6", value=None))
    services.upsert(services.customer("6"))
    assert services.sandbox.difference(services.page_id).changed == [*pairs, "6"]


def test_what_folkform_cannot_keep(services: Services) -> None:
    """What FolkForm always stores differently is no difference."""
    customer = services.customer("7", values=[1.0, 2**63, "\ud83d!"])
    services.has(customer)
    services.upsert(customer)
    assert services.sandbox.difference(services.page_id).equal


def test_without_a_psid(services: Services) -> None:
    """The key of a customer without a psid is Pancake's id; a number is a psid."""
    customers = [services.customer(name) | {"psid": psid} for name, psid in {"x": None, "y": "", "z": 7}.items()]
    services.has(*customers)
    names = [customers[0]["id"], customers[1]["id"], "7"]
    assert sorted(services.sandbox.difference(services.page_id).missing) == sorted(names)
    for customer in customers:
        services.sandbox.folkform.upsert(customer)
    assert services.sandbox.difference(services.page_id).equal


def test_duplicate(services: Services) -> None:
    """A second record of a psid is a difference; the newer one is compared."""
    services.has(services.customer("7"))
    services.upsert(services.customer("7"))
    services.sandbox.folkform.insert(services.customer("7", "2020-01-01T00:00:00", id="another"))
    difference = services.sandbox.difference(services.page_id)
    assert (difference.duplicate, difference.stale, difference.extra, difference.equal) == (["7"], [], [], False)


def test_extra(services: Services) -> None:
    """A customer that is only in FolkForm is extra."""
    services.has(services.customer("7"), services.customer("8"))
    services.upsert(services.customer("7"))
    services.upsert(services.customer("8"))
    services.sandbox.pancake.remove_customer(services.page_id, "7")
    assert services.sandbox.difference(services.page_id).extra == ["7"]


def test_malformed(services: Services) -> None:
    """Malformed customers are listed, but are no difference, whether or not they are in FolkForm."""
    services.has(
        {"psid": "no id", "updated_at": "2025-12-07T10:23:23"},
        {"id": "", "psid": "5", "updated_at": "2025-12-07T10:23:23"},
        "no object",
        services.customer("7", "yesterday"),
        services.customer("8", "1970-01-01T00:00:00"),
    )
    services.upsert(services.customer("7"))
    difference = services.sandbox.difference(services.page_id)
    ids = [f"{services.page_id}-7", f"{services.page_id}-8"]
    assert sorted(difference.malformed) == sorted(["", "None", "None", *ids])
    assert difference.equal


def test_the_newest_of_several(services: Services) -> None:
    """Of several customers with one psid, the newest must be in FolkForm."""
    services.has(services.customer("7", "2025-12-08T00:00:00"), services.customer("7", "2025-12-07T00:00:00"))
    services.upsert(services.customer("7", "2025-12-08T00:00:00"))
    assert services.sandbox.difference(services.page_id).equal


def test_other_writers(services: Services) -> None:
    """Documents that another writer stores or deletes in FolkForm are differences."""
    folkform = services.sandbox.folkform
    services.has(services.customer("7"), services.customer("8"))
    for psid in ("7", "8"):
        services.upsert(services.customer(psid))
    folkform.store({"psid": "7", "pageId": services.page_id, "panCakeData": {}, "panCakeUpdatedAt": 0})
    folkform.store({"psid": "9", "pageId": services.page_id, "updatedAt": 0})
    assert folkform.delete(services.page_id, "8") == 1
    difference = services.sandbox.difference(services.page_id)
    assert (difference.stale, difference.missing, difference.extra) == (["7"], ["8"], ["9"])
    document = folkform.document(services.page_id, "9")
    assert document is not None
    assert len(document["id"]) == 24
