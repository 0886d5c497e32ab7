"""`penstock demo` opens the console on the cities: a search that finds 東京, and a dead letter to replay."""

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
def parts(source_uri: str, sink_url: str, source_client) -> Iterator[command._Parts]:
    """What the demo works with, on the servers of the tests and with a few cities."""
    source_client.drop_database(command.NAMESPACE.db)
    platform = SimpleNamespace(source=SimpleNamespace(uri=source_uri), opensearch=SimpleNamespace(url=sink_url))
    with command._parts(platform) as parts:
        documents = list(cities())
        parts.cities.insert_many(documents[:SOME] + [each for each in documents if each["_id"] == TOKYO])
        yield parts
    source_client.drop_database(command.NAMESPACE.db)
    with urllib3.PoolManager() as http:
        http.request("DELETE", f"{sink_url}/{command.INDEX}*?expand_wildcards=all", timeout=30, retries=False)


def test_the_console_of_the_demo(parts: command._Parts) -> None:
    with command._running(parts), command._console(parts) as lines, editing(parts.cities, a_second=50):
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
