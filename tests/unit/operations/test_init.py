"""The settings file that `penstock init` writes."""

import re
import tomllib

import pytest

from penstock.operations.init import OfferedCollection, settings_file


def uncommented(text, *names):
    """The text with the lines of these settings (and table heads) uncommented."""
    for name in names:
        text = re.sub(rf"^# (?={re.escape(name)}( =|$))", "", text, flags=re.MULTILINE)
    return text


def test_a_setting_of_a_collection_that_is_uncommented_lands_in_its_table():
    text = settings_file([OfferedCollection("shop.orders", 1), OfferedCollection("shop.items", 2)])
    content = tomllib.loads(uncommented(text, "replicas"))
    assert content["collections"] == [{"namespace": "shop.orders", "replicas": 1}, {"namespace": "shop.items"}]
    assert content["observe"] == {}


def test_without_a_server_the_table_is_an_example_to_uncomment():
    text = settings_file([])
    assert "collections" not in tomllib.loads(text)
    content = tomllib.loads(uncommented(text, "[[collections]]", "namespace", "replicas"))
    assert content["collections"] == [{"namespace": "shop.orders", "replicas": 1}]


@pytest.mark.parametrize(("number", "words"), [(0, "0 documents"), (1, "1 document"), (2000, "2,000 documents")])
def test_the_number_of_documents_is_told(number, words):
    assert f"# about {words}\n" in settings_file([OfferedCollection("shop.orders", number)])
