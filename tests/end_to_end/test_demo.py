"""`penstock demo`: the console on the cities, a search that finds 東京, a dead letter to replay; and Kafka."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import urllib3

from penstock_tools.demo import command
from penstock_tools.demo.cities import cities
from penstock_tools.demo.edits import editing
from testkit.city_site import TOKYO
from testkit.console_client import ConsoleClient
from testkit.workspace import until

SOME = 200


@pytest.fixture
def parts(source_uri: str, sink_url: str, source_client, request) -> Iterator[command._Parts]:
    """What the demo works with, on the servers of the tests and with a few cities."""
    source_client.drop_database(command.NAMESPACE.db)
    servers = request.getfixturevalue("kafka_servers") if "kafka" in request.node.name else ""
    platform = SimpleNamespace(
        source=SimpleNamespace(uri=source_uri),
        opensearch=SimpleNamespace(url=sink_url),
        kafka=SimpleNamespace(bootstrap_servers=servers) if servers else None,
    )
    with command._parts(platform) as parts:
        documents = list(cities())
        parts.cities.insert_many(documents[:SOME] + [each for each in documents if each["_id"] == TOKYO])
        yield parts
    source_client.drop_database(command.NAMESPACE.db)
    with urllib3.PoolManager() as http:
        http.request("DELETE", f"{sink_url}/{command.INDEX}*?expand_wildcards=all", timeout=30, retries=False)


def test_the_console_of_the_demo(parts: command._Parts) -> None:
    with (
        command._running(parts) as is_refused,
        command._console(parts, is_refused) as lines,
        editing(parts.cities, a_second=50),
    ):
        address, token = re.search(r"(http://\S+), with the token (\w+)", lines[0]).groups()
        console = ConsoleClient(address).log_in(token)

        def page(path: str) -> str:
            return console.text(console.get(path))

        assert "Tokyo" in page(f"/collections/{command.NAMESPACE}/search?q={quote('東京')}")
        until(lambda: "n:-2" in page("/dead-letters"), lambda: page("/dead-letters"))
        assert parts.index.documents(["n:-2"]) == {}
        console.post("/dead-letters/replay", {"collection": str(command.NAMESPACE), "id": "n:-2"})
        found = until(lambda: parts.index.documents(["n:-2"]), lambda: page("/dead-letters"))
        assert found["n:-2"]["name"] == "El Dorado"


def test_the_demo_by_way_of_kafka(parts: command._Parts, capsys: pytest.CaptureFixture[str]) -> None:
    with command._running_by_kafka(parts):
        until(lambda: command._compared(parts).equal, "source and index are equal")
    printed = capsys.readouterr().out
    assert re.search(r"killed process \d+, with edits on their way", printed)
    assert printed.count("has 3 of 6 partitions") == 2
