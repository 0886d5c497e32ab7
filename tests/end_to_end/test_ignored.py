"""Values that an index keeps and does not search by are counted by field, wherever people look."""

import json
from datetime import UTC, datetime

import pytest

from testkit.workspace import Site, until

FORMATS = (
    "epoch_millis",
    "epoch_second",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd",
    "yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "basic_date_time",
    "dd/MM/yyyy||yyyy",
)
AT = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture
def mapped(site: Site, database):
    """Settings for the collection `items` with this mapping, beyond what penstock maps itself."""

    def write(**mappings) -> str:
        (site.folder / "mapping.json").write_text(json.dumps({"mappings": mappings}))
        namespace = f"{database.name}.items"
        site.settings(namespace, mapping_file="mapping.json")
        return namespace

    return write


def test_values_that_do_not_fit_are_counted_by_load_verify_status_check_and_a_metric(
    site: Site, database, penstock, mapped
) -> None:
    database.items.insert_many([{"_id": n, "when": "02/01/2024", "n": "n/a"} for n in range(30)])
    database.items.insert_one({"_id": 99, "in": [{"n": 1}, {"n": "x"}], "text": "a", "when": AT, "n": 5})
    number = {"type": "long"}
    inner = {"type": "nested", "properties": {"n": number}}
    text = {"type": "text", "fields": {"number": number}}
    namespace = mapped(properties={"when": {"type": "date"}, "n": number, "in": inner, "text": text})
    told = "31 documents cannot be searched by n (30), when (30), in.n (1), text.number (1)"
    fields = {"n": 30, "when": 30, "in.n": 1, "text.number": 1}
    assert told in penstock("load").stdout
    verified = penstock("verify", "--wait", "0")
    assert verified.returncode == 0
    assert told in verified.stdout
    line = json.loads(penstock("verify", "--wait", "0", "--json").stdout.splitlines()[-1])
    assert (line["verdict"], line["ignored"]) == ("equal", {"documents": 31, "fields": fields})
    assert told in penstock("status").stdout
    (status,) = json.loads(penstock("status", "--json").stdout)
    assert status["ignored"] == {"documents": 31, "fields": fields}
    checked = penstock("check", "--json")
    assert checked.returncode == 0
    (found,) = [each for each in json.loads(checked.stdout) if each["subject"].endswith(": values")]
    assert (found["verdict"], told in found["detail"]) == ("warning", True)
    worker, index = site.start("run"), f"{site.index(namespace)}-g1"
    worker.until_live()
    until(lambda: worker.metric("penstock_ignored_documents", index=index, field="when") == 30, "the metric")
    database.items.update_many({}, {"$set": {"when": AT}})
    until(lambda: worker.metric("penstock_ignored_documents", index=index, field="when") == 0, "no such document")
    assert worker.metric("penstock_ignored_documents", index=index, field="n") == 30


def test_nothing_is_said_where_every_value_fits(database, penstock, mapped) -> None:
    database.items.insert_one({"_id": 1, "n": 5})
    mapped(properties={"n": {"type": "long"}})
    for command in (["load"], ["verify", "--wait", "0"], ["status"], ["check"]):
        assert "cannot be searched" not in penstock(*command).stdout


def test_dates_are_found_in_a_field_of_any_format(site: Site, database, penstock, mapped) -> None:
    dates = {f"f{n}": {"type": "date", "format": each} for n, each in enumerate(FORMATS)}
    ranges = {f"r{n}": {"type": "date_range", "format": each} for n, each in enumerate(FORMATS)}
    fields = {"sub": {"type": "keyword", "fields": {"date": {"type": "date", "format": FORMATS[0]}}}}
    document = dict.fromkeys(dates, AT) | {path: {"gte": AT, "lte": AT} for path in ranges} | {"sub": AT, "later": AT}
    database.items.insert_many([{"_id": n, **document} for n in range(3)])
    template = {"match": "later", "mapping": {"type": "date", "format": "yyyy"}}
    namespace = mapped(properties={**dates, **ranges, **fields}, dynamic_templates=[{"later": template}])
    assert "cannot be searched" not in penstock("load").stdout
    index = site.index(namespace)
    for path in (*dates, *ranges, "sub.date", "later"):
        at = "2024-01-02T03:04:05.678Z"
        query = {"range": {path: {"gte": at, "lte": at, "format": "strict_date_optional_time"}}}
        assert site.ask("POST", f"{index}/_count", {"query": query})["count"] == 3, path
    shown = site.ask("POST", f"{index}/_search", {"fields": ["f0", "f3"], "size": 1})["hits"]["hits"][0]["fields"]
    assert shown == {"f0": [str(int(AT.timestamp() * 1000))], "f3": ["2024-01-02"]}


def test_dates_and_texts_of_formats_for_new_fields_are_both_dates(site: Site, database, penstock, mapped) -> None:
    database.items.insert_many([{"_id": 1, "a": AT, "b": "02/01/2024"}, {"_id": 2, "a": "02/01/2024", "b": AT}])
    index = site.index(mapped(dynamic_date_formats=["dd/MM/yyyy"]))
    assert "cannot be searched" not in penstock("load").stdout
    for path in ("a", "b"):
        query = {"range": {path: {"gte": "2024-01-02", "lt": "2024-01-03", "format": "yyyy-MM-dd"}}}
        assert site.ask("POST", f"{index}/_count", {"query": query})["count"] == 2, path


def test_explain_says_what_opensearch_moved_into_range(database, penstock, mapped) -> None:
    database.items.insert_many([{"_id": 1, "at": [52.5, 113]}, {"_id": 2, "at": [113, 52.5]}])
    namespace = mapped(properties={"at": {"type": "geo_point"}})
    assert penstock("load").returncode == 0
    moved, right = (penstock("explain", namespace, each, "--json") for each in ("n:1", "n:2"))
    assert (moved.returncode, right.returncode) == (1, 0)
    told = json.loads(moved.stdout)
    assert (told["verdict"], told["moved"], "at another place by at" in told["conclusion"]) == ("moved", ["at"], True)
