"""The pages on real servers: what they say is what the servers hold."""

import re
import secrets
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pymongo
import pytest

from penstock.settings import Settings, read_settings
from testkit.console_client import VIEWER, ConsoleClient, served_console
from testkit.workspace import Site, until

HOSTILE = "<img src=x onerror=alert(1)>\u202e"
"""It ends with a sign that turns the direction of what follows."""


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, source_client: pymongo.MongoClient, source_uri: str, sink_url: str
) -> Iterator[Site]:
    """A collection of cities, loaded; one document has changed in the index since."""
    name = f"console{secrets.token_hex(4)}"
    cities = source_client[name].cities
    cities.insert_many(
        [
            {"_id": 1, "name": "東京", "country": "JP", "people": 8_336_599},
            {"_id": 2, "name": "Zürich", "country": "CH", "people": 341_730},
            {"_id": 3, "name": HOSTILE, "country": "XX", "people": 0},
        ]
    )
    made = Site(tmp_path_factory.mktemp("site"), source_uri, sink_url, f"{name}-")
    made.settings(f"{name}.cities", source={"retention_s": 7200})
    assert made.run("load").returncode == 0
    index = made.index(f"{name}.cities")
    document = {"name": "Zurich", "country": "CH", "people": 341_730}
    made.ask("PUT", f"{index}/_doc/n:2?version=9000000000000000000&version_type=external&refresh=true", document)
    made.namespace = f"{name}.cities"
    yield made
    made.close()
    source_client.drop_database(name)
    made.ask("DELETE", f"{index}-*")


@pytest.fixture(scope="module")
def settings(site: Site) -> Settings:
    return read_settings(file=site.folder / "penstock.toml")


@pytest.fixture(scope="module")
def console(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleClient]:
    """The console as it is by default: values are hidden."""
    with served_console(settings, tmp_path_factory.mktemp("hidden")) as client:
        yield client


@pytest.fixture(scope="module")
def open_console(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleClient]:
    """A console that shows values."""
    with served_console(settings, tmp_path_factory.mktemp("open"), show_values=True) as client:
        yield client


def read(console: ConsoleClient, path: str) -> str:
    """The words of a page."""
    answer = console.get(path)
    assert answer.status == 200, console.text(answer)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", console.text(answer))))


def test_the_overview_says_that_no_worker_is_there_and_how_to_start_one(console, site):
    words = read(console, "/")
    assert f"{site.namespace} has stopped: no worker is running. penstock run" in words
    until(lambda: "3 3 0" in read(console, "/"), lambda: read(console, "/"))  # documents on both sides, dead letters


def test_the_overview_follows_a_worker_that_comes_and_goes(console: ConsoleClient, site: Site) -> None:
    worker = site.start("run")
    with console.stream("/") as stream:
        until(lambda: f"{site.namespace} is in step" in stream.next(), "in step, in the stream")
        worker.kill()
        until(lambda: "has stopped: no worker is running" in stream.next(), "stopped, in the stream")


def test_the_overview_can_be_filtered_without_javascript(console, site):
    assert f'id="c-{site.namespace}"' in console.text(console.get(f"/?filter={site.namespace[:6].upper()}"))
    assert f'id="c-{site.namespace}"' not in console.text(console.get("/?filter=nothing-of-that-name"))


IDS = {"as in the index": "n:1", "as extended JSON": '{"$numberInt":"1"}'}


@pytest.mark.parametrize("typed", IDS.values(), ids=list(IDS))
def test_a_document_that_is_in_step_is_explained_by_any_form_of_its_id(typed, console, site):
    words = read(console, f"/explain?collection={site.namespace}&id={typed}")
    assert "The index holds the document as it is at the source." in words


def test_one_box_is_enough_for_collection_and_id(console, site):
    assert "as it is at the source" in read(console, f"/explain?q={site.namespace}%20n:1")
    assert "as it is at the source" in read(console, "/explain?q=n:1"), "the only collection there is"


def test_what_differs_is_named_and_its_values_only_where_they_may_be_shown(console, open_console, site):
    path = f"/explain?collection={site.namespace}&id=n:2"
    hidden, shown = read(console, path), read(open_console, path)
    for words in (hidden, shown):
        assert "The document in the index differs (name)" in words
    assert "Zürich" not in hidden
    assert "Zurich" not in hidden
    assert "Values are hidden" in hidden
    assert '"Zürich" "Zurich"' in shown


def test_an_id_that_is_none_is_answered_on_the_page(console, site):
    assert "is not a document id" in read(console, f"/explain?collection={site.namespace}&id=n:what")
    assert "is not a declared collection" in read(console, "/explain?collection=no.such&id=n:1")


def test_search_finds_what_people_find_with_what_matches(open_console, site):
    page = open_console.text(open_console.get(f"/collections/{site.namespace}/search?q=東京"))
    assert "1 document" in page
    assert "<mark>" in page
    assert f"/explain?collection={site.namespace}&amp;id=n%3A1" in page
    assert "3 documents" in read(open_console, f"/collections/{site.namespace}/search?q=")
    assert "0 documents" in read(open_console, f"/collections/{site.namespace}/search?q=CH+-zurich")


def test_a_hostile_value_is_text(open_console, site):
    path = f"/collections/{site.namespace}/search?q="
    found = open_console.text(open_console.get(f"{path}onerror"))
    assert "&lt;img src=x" in found.replace("<mark>", "").replace("</mark>", "")
    assert "\\u202e" in found
    asked = open_console.text(open_console.get(f"{path}%22%3E%3Cimg src=x"))
    for page in (found, asked):
        assert "<img src=x" not in page
        assert "\u202e" not in page


def test_search_is_closed_while_values_are_hidden(console, site):
    words = read(console, f"/collections/{site.namespace}/search?q=東京")
    assert "[console] show_values = true" in words
    assert "JP" not in words


def test_the_settings_have_what_check_finds(console, site):
    words = read(console, "/settings?check=1")
    assert "can be read, about 3 documents" in words
    assert f"[[collections]] {site.namespace}" in words


def test_a_viewer_sees_the_same(console, site):
    viewer = ConsoleClient(console.address).log_in(VIEWER)
    assert "read-only" in read(viewer, "/")
    assert "as it is at the source" in read(viewer, f"/explain?collection={site.namespace}&id=n:1")


def test_the_command_and_a_worker_serve_it(site: Site, tmp_path: Path) -> None:
    worker = site.start("run", "--console-listen", "127.0.0.1:0")
    command = site.start("console", "--console-listen", "127.0.0.1:0")
    for each in (worker, command):
        address = each.until_logged("serving the console")["address"]
        answer = until(lambda at=address: (got := ConsoleClient(at).get("/")).status == 200 and got, "the overview")
        assert site.namespace in ConsoleClient.text(answer)
    for each in (worker, command):
        with ConsoleClient(each.until_logged("serving the console")["address"]).stream("/") as open_page:
            assert open_page.next().startswith("event: whole")
            each.terminate()
            until(open_page.has_ended, "the stream ends with its console")
