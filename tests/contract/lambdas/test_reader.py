"""The reader finds what is in the index, page by page."""

import json
import secrets
from base64 import urlsafe_b64encode
from contextlib import closing
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.lambdas import reader
from penstock.opensearch.http.client import Client
from penstock.settings import SinkSettings
from testkit.lambda_calls import Context, function_settings, parsed, proxy_event
from testkit.sink_access import Said, relay


@pytest.fixture
def index(monkeypatch, sink_url, index_prefix):
    with function_settings(monkeypatch, "shop.orders", index=f"{index_prefix}orders", sink=sink_url):
        yield f"{index_prefix}orders"


@pytest.fixture
def put(sink_url, index):
    """Makes the index of one generation behind the read alias, and puts documents into it."""
    with closing(Client(SinkSettings(url=sink_url))) as client:
        yield partial(fill, client, index)


def fill(client: Client, index: str, documents: dict[str, str], *, shards: int = 1) -> None:
    settings = {"number_of_shards": shards, "number_of_replicas": 0, "mapping.total_fields.limit": 10_000}
    client.request("PUT", f"/{index}-g1", {"aliases": {index: {}}, "settings": settings})
    lines = [f"{json.dumps({'index': {'_id': name}})}\n{source}\n".encode() for name, source in documents.items()]
    answer = client.request("POST", f"/{index}-g1/_bulk?refresh=true", b"".join(lines))
    assert answer.ok
    assert answer.json()["errors"] is False


def get(*, seconds: float = 30, **parameters: str) -> tuple[int, list | dict, dict]:
    answer = reader.handler(proxy_event("GET", None, parameters or None), Context(seconds))
    return (*parsed(answer), answer["headers"])


def pages(**parameters: str) -> list[list[str]]:
    """The ids of all pages, by the address that each one names for the next."""
    found = []
    while True:
        status, hits, headers = get(**parameters)
        assert status == 200
        found.append([hit["_id"] for hit in hits])
        if "x-next-after" not in headers:
            assert "link" not in headers
            return found
        address, _, relation = headers["link"].partition("; ")
        assert relation == 'rel="next"'
        following = urlsplit(address.strip("<>"))
        assert following.path == "/prod/demo-data"
        parameters = {name: value for name, (value,) in parse_qs(following.query).items()}
        assert parameters["after"] == headers["x-next-after"]


def test_no_index_yet(index):
    assert get()[:2] == (200, [])
    assert get(q="tea")[:2] == (200, [])
    assert get(id="1")[0] == 404


def test_hits_have_the_form_of_opensearch_and_every_digit(put, index):
    put({"a": '{"name":"green tea","price":12.50,"large":9223372036854775807}'})
    answer = reader.handler(proxy_event("GET"), Context())
    assert answer["body"] == (
        f'[{{"_index":"{index}-g1","_id":"a","_score":1.0,'
        '"_source":{"name":"green tea","price":12.50,"large":9223372036854775807}}]'
    )
    assert answer["headers"]["x-total-count"] == "1"


def test_ten_documents_by_default(put):
    put({str(number): "{}" for number in range(12)})
    status, hits, headers = get()
    assert (status, len(hits)) == (200, 10)
    assert headers["x-total-count"] == "12"


def test_full_text_finds_in_all_fields_best_first(put):
    put(
        {
            "coffee": '{"name":"coffee","note":"not tea, but as hot and as good"}',
            "tea": '{"name":"tea","note":"green tea"}',
            "juice": '{"name":"juice","price":5}',
        }
    )
    status, hits, _ = get(q="tea")
    assert (status, [hit["_id"] for hit in hits]) == (200, ["tea", "coffee"])
    assert [hit["_id"] for hit in get(q="5")[1]] == ["juice"]
    assert [hit["_id"] for hit in get(q="coffee hot")[1]] == ["coffee"]
    assert [hit["_id"] for hit in get(q="coffee green")[1]] == []
    assert [hit["_id"] for hit in get(q="tea -coffee")[1]] == ["tea"]


@pytest.mark.parametrize("q", ['"unbalanced', "(a", "a +", "~", "5 apples", "*", "[1 TO", "a\\"])
def test_no_text_is_an_error(put, q):
    put({"a": '{"name":"a","price":5}'})
    assert get(q=q)[0] == 200


def test_a_text_that_opensearch_refuses_is_the_callers_fault(put):
    put({"a": '{"name":"a"}'})
    status, body, _ = get(q=" ".join(f"word{number}" for number in range(2000)))
    assert status == 400
    assert body["message"].startswith("OpenSearch refuses `q`: ")


@pytest.fixture(scope="module")
def wide_index(sink_url):
    """25 documents with 100 fields each, in an index of 2,500 texts, which are 5,000 fields, and one number.

    Made once: it takes OpenSearch some seconds.
    """
    index = f"test-{secrets.token_hex(6)}-wide"
    texts = {
        name: {f"f{field:04}": f"word{field} tea" for field in range(name * 100, name * 100 + 100)}
        for name in range(25)
    }
    with closing(Client(SinkSettings(url=sink_url, timeout_s=300))) as client:
        fill(client, index, {str(name): json.dumps({**fields, "number": name}) for name, fields in texts.items()})
        yield index
        assert client.request("DELETE", f"/{index}-g1").ok


@pytest.fixture
def wide(monkeypatch, sink_url, wide_index):
    with function_settings(monkeypatch, "shop.orders", index=wide_index, sink=sink_url):
        yield


@pytest.mark.parametrize("field", [0, 999, 1000, 1234, 2499])
def test_words_are_found_in_an_index_of_thousands_of_fields(wide, field):
    assert [hit["_id"] for hit in get(q=f"word{field}")[1]] == [str(field // 100)]
    assert [hit["_id"] for hit in get(q=f"tea word{field} word{field}")[1]] == [str(field // 100)]


def test_pages_of_an_index_of_thousands_of_fields_hold_every_document(wide):
    found = pages(q="tea", size="4")
    assert {each for page in found for each in page} == {str(name) for name in range(25)}
    assert all(len(page) <= 4 for page in found)
    assert [hit["_id"] for hit in get(q="24")[1]] == ["24"]
    assert get(q="nowhere")[:2] == (200, [])
    assert len(get(size="30")[1]) == 25


def test_an_after_that_somebody_changed_is_the_callers_fault(put):
    put({"a": "{}", "b": "{}"})
    for changed in (
        [0, True, 5, [], None],
        [0, 1.0, True, [], None],
        [0, 1.0, 2**63, [], None],
        [0, 1.0, 5, [""], None],
        [0, 1.0, 5, ["a"], -1],
        [0, 1.0, 5, ["a"]],
        [0, None, 5, [], None],
        [0, "x", 5, [], None],
    ):
        text = urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
        assert (get(after=text)[0], changed) == (400, changed)
    for harmless in ([0, 1e300, 5, ["a", "a"], None], [0, -1.0, 2**63 - 1, [], None], [0, 1.0, 0, [], 5]):
        text = urlsafe_b64encode(json.dumps(harmless).encode()).decode().rstrip("=")
        assert (get(after=text)[0], harmless) == (200, harmless)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_pages_hold_every_document_once(put, shards, size):
    ids = {f"id{number}": "{}" for number in range(20)}
    put(ids, shards=shards)
    found = pages(size=str(size))
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert len(found) == -(-20 // size)
    assert sorted(name for page in found for name in page) == sorted(ids)


def test_pages_of_a_full_text_search(put):
    texts = ["tea", "tea tea coffee", "coffee", "green tea", "tea and more of the tea"]
    put({f"{text} {number}": json.dumps({"t": text}) for text in texts for number in range(3)}, shards=2)
    found = pages(size="2", q="green | tea")
    assert len(found) == 6
    assert sorted(name for page in found for name in page) == sorted(
        f"{text} {number}" for text in texts if text != "coffee" for number in range(3)
    )


def test_a_document_written_between_two_pages_may_come_twice_and_none_is_left_out(put):
    put(dict.fromkeys("abcd", "{}"))
    _, first, headers = get(size="2")
    put({"a": '{"new":1}', "e": "{}"})
    found = pages(size="2", after=headers["x-next-after"])
    assert [hit["_id"] for hit in first] == ["a", "b"]
    assert found == [["c", "d"], ["a", "e"]]


def test_one_document_by_its_id(put):
    put({"65a0f1c2d3e4f5061728394a": '{"n":1}', "n:7": '{"n":2}'})
    status, hits, headers = get(id="n:7")
    assert (status, [hit["_source"] for hit in hits]) == (200, [{"n": 2}])
    assert "x-next-after" not in headers
    status, body, _ = get(id="n:8")
    assert (status, body) == (404, {"message": "The index has no document with this id."})


def test_an_answer_never_outgrows_lambdas_limit(put):
    quoted = '"' * 600_000  # each is two characters in a document, and four in the answer
    put({name: json.dumps({"t": quoted}) for name in "abc"} | {"large": json.dumps({"t": quoted * 3}), "z": "{}"})
    answers = []
    parameters: dict[str, str] = {"size": "100"}
    while True:
        answer = reader.handler(proxy_event("GET", None, parameters), Context())
        assert len(json.dumps(answer, ensure_ascii=False).encode()) < 6_000_000
        answers.append(answer)
        if "x-next-after" not in answer["headers"]:
            break
        parameters["after"] = answer["headers"]["x-next-after"]
    hits = [hit for answer in answers for hit in json.loads(answer["body"])]
    assert [hit["_id"] for hit in hits] == ["a", "b", "c", "large", "z"]
    assert ["_source" in hit for hit in hits] == [True, True, True, False, True]
    assert hits[3]["_omitted"] == "The document is larger than a response may be."


@pytest.mark.parametrize("most_kb", [1, 12, 60, 250])
def test_no_search_takes_more_memory_than_the_function_has(put, monkeypatch, most_kb):
    """What is too much for one response of the index is asked for in pieces."""
    monkeypatch.setattr(reader, "_MOST_SEARCH_BYTES", most_kb * 1000)
    put({str(number): json.dumps({"t": "x" * (100 if number % 5 else 10_000)}) for number in range(23)})
    found, parameters = {}, {"size": "20"}
    while True:
        status, hits, headers = get(**parameters)
        assert status == 200, hits
        found |= {hit["_id"]: "_source" in hit for hit in hits}
        if "x-next-after" not in headers:
            break
        parameters["after"] = headers["x-next-after"]
    assert found == {str(number): most_kb > 10 or number % 5 > 0 for number in range(23)}
    assert ("_source" in get(id="5")[1][0]) is (most_kb > 10)


@pytest.fixture
def relayed(monkeypatch, sink_url, index_prefix):
    """The function asks through a relay, which can do harm."""
    with (
        relay(sink_url) as between,
        function_settings(monkeypatch, "shop.orders", index=f"{index_prefix}orders", sink=between.url),
    ):
        yield between


def test_all_it_asks_is_a_search_of_the_alias(relayed, index_prefix):
    get(), get(q="tea", size="3"), get(id="5")
    assert {(asked.method, asked.path) for asked in relayed.asked} == {("POST", f"/{index_prefix}orders/_search")}


def test_an_index_that_is_away_is_a_503_in_time(relayed):
    relayed.plan = lambda _: "drop"
    status, body, _ = get(seconds=3)
    assert (status, body) == (503, {"message": "The index did not answer in time. Try again."})
    assert len(relayed.asked) > 1


def test_a_domain_that_refuses_the_role(relayed):
    relayed.plan = lambda _: Said(403, b'{"Message":"User: arn:aws:sts::1:assumed-role/reader is not authorized"}')
    status, body, _ = get()
    assert status == 500
    assert "arn" not in body["message"]


def test_shards_that_fail_are_asked_again(relayed):
    partial = b'{"timed_out":false,"_shards":{"total":2,"successful":1,"failed":1},"hits":{"hits":[]}}'
    relayed.plan = lambda _: Said(200, partial) if len(relayed.asked) == 1 else "pass"
    assert get()[:2] == (200, [])
    assert len(relayed.asked) == 2
