"""The fixtures that every other test leans on."""

import urllib3

_made: list[str] = []


def test_the_source_stores_and_the_database_is_ours_alone(database):
    assert database.list_collection_names() == []
    database.things.insert_one({"_id": 1})
    assert database.list_collection_names() == ["things"]


def test_an_index_under_the_prefix_can_be_made_and_searched(sink_url, index_prefix):
    with urllib3.PoolManager() as http:
        made = http.request("PUT", f"{sink_url}/{index_prefix}things", json={"aliases": {f"{index_prefix}all": {}}})
        assert made.status == 200, made.data
        found = http.request("GET", f"{sink_url}/{index_prefix}all/_count")
        assert found.json()["count"] == 0
    _made.append(f"{index_prefix}things")


def test_the_index_of_an_earlier_test_is_gone(sink_url):
    assert _made
    with urllib3.PoolManager() as http:
        assert [http.request("HEAD", f"{sink_url}/{name}").status for name in _made] == [404]
