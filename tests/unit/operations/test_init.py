"""The settings file that `penstock init` writes."""

import re
import tomllib

import pytest

from penstock.operations.init import OfferedCollection, settings_file, write_settings_file
from penstock.settings import read_settings


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


def test_secrets_that_were_given_are_not_written():
    given = {"sink_url": "https://search:9200", "sink_api_key": "TOPSECRET", "source_password": "TOPSECRET"}
    text = settings_file([], given=given)
    assert 'url = "https://search:9200"' in text
    assert "TOPSECRET" not in text


def test_without_a_server_the_table_is_an_example_to_uncomment():
    text = settings_file([])
    assert "collections" not in tomllib.loads(text)
    content = tomllib.loads(uncommented(text, "[[collections]]", "namespace", "replicas"))
    assert content["collections"] == [{"namespace": "shop.orders", "replicas": 1}]


@pytest.mark.parametrize(("number", "words"), [(0, "0 documents"), (1, "1 document"), (2000, "2,000 documents")])
def test_the_number_of_documents_is_told(number, words):
    assert f"# about {words}\n" in settings_file([OfferedCollection("shop.orders", number)])


NAMES = [
    *("shop.orders", "shop.Orders", "shop.ORDERS", "shop.My Items", "shop.my-items", "shop.my items", "shop.a\x7fb"),
    *(
        "shop.a:b",
        'shop.a"b',
        "shop.\u4f60" + "\u597d" * 100,
        "shop.\u2028",
        "penstock-x.y",
        "-a.b",
        "_a.b",
        "shop.a,b",
    ),
    *("shop.\u0130stanbul", "shop." + "x" * 230),
]


def test_whatever_the_collections_are_called_the_file_can_be_read(tmp_path):
    file = tmp_path / "penstock.toml"
    write_settings_file(file, settings_file([OfferedCollection(name, 1) for name in NAMES]), overwrite=False)
    settings = read_settings(file=file, need_collections=True)
    assert [each.namespace for each in settings.collections] == NAMES


def test_files_and_logins_that_were_given_are_written_so_that_they_can_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf" / "penstock.toml"
    given = {"source_uri": "mongodb://me:pw@h/", "source_secret": "docdb", "source_tls_ca_file": "ca.pem"}
    given["source_heartbeat"] = "shop.beat"
    found = [OfferedCollection(name, 1) for name in ("shop.beat", "shop.orders")]
    text = settings_file(found, given=given, folder=file.parent)
    write_settings_file(file, text, overwrite=False)
    assert read_settings(file=file).source.tls_ca_file == tmp_path / "ca.pem"
    assert "pw" not in text


def test_a_file_that_is_replaced_gets_narrow_rights(tmp_path):
    file = tmp_path / "penstock.toml"
    file.touch(mode=0o644)
    write_settings_file(file, "", overwrite=True)
    assert file.stat().st_mode & 0o777 == 0o600
