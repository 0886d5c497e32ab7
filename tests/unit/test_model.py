"""Rows and columns go by the names of their fields."""

import re
from itertools import repeat

import pytest

from penstock.model import (
    Change,
    ChangeColumns,
    Namespace,
    TransformedChange,
    TransformedColumns,
    Write,
    WriteColumns,
    in_rows,
)

SHOP = Namespace("shop", "orders")
ROWS = [
    (ChangeColumns, Change(SHOP, "upsert", 1, "a", {"_id": "a"}, SHOP, "why")),
    (TransformedColumns, TransformedChange(SHOP, "upsert", 1, "a", b"{}", SHOP)),
    (WriteColumns, Write("orders", "a", 1, b"{}")),
]


@pytest.mark.parametrize(("columns", "row"), ROWS)
def test_columns_have_the_names_of_the_fields_of_a_row(columns, row):
    def plural(field: str) -> str:
        return {"alias": "aliases", "body": "bodies", "to": "targets"}.get(field, f"{field}s")

    assert columns._fields == tuple(map(plural, row._fields))
    assert columns.of([row, row]) == tuple((value, value) for value in row)


def test_rows_are_made_of_columns_in_any_order_and_of_defaults():
    made = in_rows(Change, version=[1, 2], kind=repeat("delete"), id=["a", "b"], namespace=repeat(SHOP))
    assert made == [Change(SHOP, "delete", 1, "a"), Change(SHOP, "delete", 2, "b")]
    assert {type(each) for each in made} == {Change}


def test_a_column_of_no_field_and_a_field_without_a_column_are_refused():
    with pytest.raises(TypeError, match=re.escape("TransformedChange has no fields ['bodies']")):
        in_rows(TransformedChange, namespace=[SHOP], kind=["upsert"], version=[1], bodies=[b"{}"])
    with pytest.raises(KeyError, match="version"):
        in_rows(Write, alias=["orders"], id=["a"], body=[b"{}"])
