import json

from penstock.model import Write
from penstock.opensearch.write.bulk import form_of, ids_of, lines_of


def lines(writes):
    form = form_of({write.alias for write in writes})
    places = range(len(writes))
    return [json.loads(line) for line in lines_of(writes, places, ids_of(writes, places), form).splitlines()]


def test_a_name_with_a_percent_sign_stands_in_the_lines_as_it_is():
    writes = [Write("100%d-write", "1", 7, b'{"a":1}'), Write("other", "%b", 8, None)]
    shared = {"version_type": "external_gte", "require_alias": True}
    assert lines(writes) == [
        {"index": {"_index": "100%d-write", "_id": "1", "version": 7, **shared}},
        {"a": 1},
        {"delete": {"_index": "other", "_id": "%b", "version": 8, **shared}},
    ]


def test_a_body_of_several_lines_becomes_one_line():
    assert lines([Write("a", "1", 7, b'{\n"a":1\n}')])[1:] == [{"a": 1}]
