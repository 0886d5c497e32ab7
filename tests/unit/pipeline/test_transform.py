"""Changes with documents become changes with bodies, each at its place."""

import pytest

from penstock.errors import DocumentError
from penstock.model import Change, Namespace
from penstock.pipeline.transform import Route, apply_transform, transform_by

SHOP, ARCHIVE, ELSEWHERE = Namespace("shop", "orders"), Namespace("shop", "archive"), Namespace("shop", "elsewhere")
ROUTES = {
    SHOP: Route("orders", lambda documents: [b"shop %d" % each["_id"] for each in documents]),
    ARCHIVE: Route("archive", lambda documents: [b"archive %d" % each["_id"] for each in documents]),
}


def upsert(namespace: Namespace, number: int) -> Change:
    return Change(namespace, "upsert", number, number, {"_id": number})


def rest(namespace: Namespace) -> list[Change]:
    return [
        Change(namespace, "delete", 7, 7),
        Change(namespace, "unreadable", 8, 8, reason="damaged"),
        Change(namespace, "rename", 9, to=ELSEWHERE),
    ]


@pytest.mark.parametrize(
    ("changes", "bodies"),
    [
        ([upsert(SHOP, 1), upsert(SHOP, 2)], [b"shop 1", b"shop 2"]),
        ([*rest(SHOP), upsert(SHOP, 1)], [None, "damaged", None, b"shop 1"]),
        (
            [upsert(ARCHIVE, 1), *rest(SHOP), upsert(SHOP, 2), upsert(ELSEWHERE, 3), upsert(ARCHIVE, 4)],
            [b"archive 1", None, "damaged", None, b"shop 2", None, b"archive 4"],
        ),
        (rest(SHOP), [None, "damaged", None]),
        ([], []),
    ],
)
def test_each_change_gets_the_body_of_its_own_document_or_the_reason_why_it_has_none(changes, bodies):
    made = apply_transform(changes, transform_by(ROUTES))
    assert [str(each.body) if isinstance(each.body, DocumentError) else each.body for each in made] == bodies
    assert [(each.namespace, each.kind, each.version, each.id, each.to) for each in made] == [
        (each.namespace, each.kind, each.version, each.id, each.to) for each in changes
    ]
