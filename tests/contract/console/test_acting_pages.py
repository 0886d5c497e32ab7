"""The pages that act, over HTTP, with real servers: dead letters, verify, reindex, activity."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from penstock.model import Letter, Namespace, Position
from penstock.opensearch.state.ids import reaction_id
from penstock.settings import Settings, read_settings
from penstock.wiring import reaction_letters
from testkit.console_client import VIEWER, ConsoleClient, served_console
from testkit.receiver import SECRET, receiver
from testkit.verify_case import Case, case
from testkit.workspace import Site, until

HOSTILE = "<script>alert(1)</script>\x1b[31mred\x07"


@pytest.fixture
def at(database: Database, source_uri: str, sink_url: str, site: Site) -> Iterator[Case]:
    """Ten documents, loaded; the settings file of a console is in the site's folder."""
    namespace = f"{database.name}.items"
    site.settings(namespace, pipeline={"name": database.name})
    with case(database, source_uri, sink_url, site.index(namespace)) as made:
        made.items.insert_many([{"_id": number, "n": number} for number in range(10)])
        made.load()
        yield made


@pytest.fixture
def settings(at: Case, site: Site) -> Settings:
    return read_settings(file=site.folder / "penstock.toml")


@pytest.fixture
def console(settings: Settings, tmp_path: Path) -> Iterator[ConsoleClient]:
    with served_console(settings, tmp_path) as made:
        yield made


def text(console: ConsoleClient, path: str, status: int = 200) -> str:
    answer = console.get(path)
    assert answer.status == status, console.text(answer)
    return console.text(answer)


def until_text(console: ConsoleClient, path: str, *wanted: str) -> str:
    """Wait until a page says all of this."""

    def said() -> str:
        page = text(console, path)
        return page if all(each in page for each in wanted) else ""

    return until(said, lambda: plain(text(console, path)))


def plain(page: str) -> str:
    """What a page says."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<main")[2]))


def store_letters(at: Case, *ids: Any, reason: str = "400: mapper_parsing_exception: refused", **body: Any) -> None:
    """Keep letters, as a pipeline would."""
    namespace, now = Namespace.named(f"{at.database.name}.items"), at.now()
    at.adapters.dead_letters.store(
        [
            Letter(
                namespace,
                at.generation.write_alias,
                each if isinstance(each, str) else f"n:{each}",
                json.dumps(each),
                now,
                Position("", now),
                reason,
                json.dumps(body or {"n": -1}).encode(),
            )
            for each in ids
        ]
    )


def test_a_dead_letter_is_seen_and_replayed(at: Case, console: ConsoleClient) -> None:
    at.items.insert_one({"_id": 77, "n": 78, "kind": "tree"})
    store_letters(at, 77, 3, n=77, was="there")
    collection = f"{at.database.name}.items"
    page = text(console, "/dead-letters")
    assert "2 documents could not be indexed, and wait here" in plain(page)
    assert "400: mapper_parsing_exception: refused" in page
    one = f"/dead-letters/letter?collection={collection}&id=n%3A77"
    assert one.replace("&", "&amp;") in page
    fields = dict(re.findall(r'<th scope="row" class="id">([^<]*)</th>\s*(.*?)</tr>', text(console, one), re.DOTALL))
    assert {name: plain(f"<main{each}").split() for name, each in fields.items()} == {
        "kind": ["-", "new", "since", "-"],
        "n": ["held", "changed", "since", "-"],
        "was": ["held", "-", "-"],
    }
    answer = console.post("/dead-letters/replay", {"collection": collection, "id": "n:77"})
    assert (answer.status, answer.headers["location"]) == (303, one)
    page = until_text(console, one, "There is no dead letter of this document any more", "in step now")
    assert at.indexed()["n:77"] == {"n": 78, "kind": "tree"}
    assert "1 document could not be indexed" in plain(text(console, "/dead-letters"))
    replay = {"collection": collection, "reason": "400: mapper_parsing_exception: refused"}
    assert console.post("/dead-letters/replay", replay).status == 303
    until_text(console, "/dead-letters", "No dead letters: the index took every document")


def test_values_are_hidden_unless_they_are_to_be_shown(at: Case, settings: Settings, tmp_path: Path) -> None:
    at.items.insert_one({"_id": 77, "n": "value at the source"})
    store_letters(at, 77, n="refused value")
    one = f"/dead-letters/letter?collection={at.database.name}.items&id=n%3A77"
    with served_console(settings, tmp_path) as console:
        hidden = text(console, one)
    with served_console(settings, tmp_path, show_values=True) as console:
        shown = text(console, one)
    assert "value" not in re.sub('Values are hidden|show_values|class="value', "", plain(hidden))
    assert "refused value" in shown
    assert "value at the source" in shown


def test_hostile_letters_are_text(at: Case, settings: Settings, tmp_path: Path) -> None:
    store_letters(at, HOSTILE, reason=f"400: {HOSTILE}", **{HOSTILE: HOSTILE})
    collection = f"{at.database.name}.items"
    with served_console(settings, tmp_path, show_values=True) as console:
        found = console.get("/dead-letters")
        link = re.search(r'class="id" href="([^"]*)"', console.text(found))
        assert link
        pages = [console.text(found), text(console, link[1].replace("&amp;", "&"))]
        console.post("/dead-letters/replay", {"collection": collection, "reason": HOSTILE})
        pages.append(until_text(console, "/activity", "replay done"))
        pages.append(until_text(console, f"/dead-letters?collection={collection}", "Started by Ann"))
    for page in pages:
        assert "<script>alert" not in page
        assert "\x1b" not in page
        assert "\x07" not in page
    for page in pages[:3]:
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[31mred\\u0007" in page


def test_letters_are_dropped_by_the_typed_name_alone(at: Case, console: ConsoleClient) -> None:
    store_letters(at, 1, 2)
    collection = f"{at.database.name}.items"
    for typed in ("", "items", collection.upper()):
        answer = console.post("/dead-letters/drop", {"collection": collection, "typed": typed})
        assert answer.status == 400
        assert "type the name to confirm" in console.text(answer)
    assert "2 documents" in plain(text(console, "/dead-letters"))
    assert console.post("/dead-letters/drop", {"collection": collection, "typed": collection}).status == 303
    until_text(console, "/dead-letters", "No dead letters")
    assert "2 dead letters dropped" in until_text(console, "/activity", "drop done")


def test_a_difference_is_found_and_repaired(at: Case, console: ConsoleClient) -> None:
    at.tamper(1, None)
    at.tamper(2, {"n": "wrong"})
    at.tamper(3, {"n": "wrong"})
    path = f"/verify/{at.database.name}.items"
    assert "Nobody has verified this collection here yet" in text(console, path)
    assert console.post(path, {"wait": "0"}).headers["location"] == path
    page = until_text(console, path, "Source and index were not equal")
    assert re.findall(r'name="id" value="([^"]*)"', page) == ["n%3A1", "n%3A2", "n%3A3"]
    assert console.post(f"{path}/repair", {"id": "n:2"}).status == 303
    until_text(console, path, "1 different; 1 repaired")
    assert "n:1" not in at.indexed()
    assert (at.indexed()["n:2"], at.indexed()["n:3"]) == ({"n": 2}, {"n": "wrong"})
    assert console.post(path, {"repair": "yes", "typed": "another"}).status == 400
    assert console.post(path, {"repair": "yes", "wait": "0", "typed": f"{at.database.name}.items"}).status == 303
    until_text(console, path, "1 missing; 1 different; 2 repaired")
    assert at.indexed() == {f"n:{number}": {"n": number} for number in range(10)}
    assert console.post(path, {"wait": "0"}).status == 303
    page = until_text(console, path, "Source and index were equal at", ">equal: 10 documents compared<")
    assert page.count("with repair") == 1
    assert "equal: 10 documents compared" in text(console, "/verify")


def test_two_tabs_start_one_verify_and_either_stops_it(at: Case, console: ConsoleClient) -> None:
    other = ConsoleClient(console.address).log_in("operators-token-of-tests", "Bob")
    path = f"/verify/{at.database.name}.items"
    at.tamper(1, None)
    assert console.post(path, {"wait": "600"}).status == 303
    second = other.post(path, {})
    assert second.status == 409
    assert re.search(r"Ann started it at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", console.text(second))
    until_text(other, path, "Source and index are being compared")
    stop = {"kind": "verify", "subject": f"{at.database.name}.items", "back": path}
    assert other.post("/jobs/stop", stop).headers["location"] == path
    until_text(console, path, "stopped by Bob", "The last verify did not come to its end")
    assert other.post("/jobs/stop", stop).status == 409
    activity = plain(until_text(console, "/activity", "verify stopped"))
    assert activity.index("verify stopped") < activity.index("stopped verify") < activity.index("started verify")


def test_a_console_that_starts_again_goes_on_with_a_verify(at: Case, settings: Settings, tmp_path: Path) -> None:
    path = f"/verify/{at.database.name}.items"
    at.tamper(1, None)
    with served_console(settings, tmp_path) as console:
        console.post(path, {"wait": "8"})
        until_text(console, path, "Source and index are being compared", 'class="state running"')
    with served_console(settings, tmp_path) as console:
        page = until_text(console, path, "Source and index were not equal")
    assert "taken up 1 time after its console had ended" in page
    assert "not equal: 10 documents compared; 1 missing" in page


def test_an_index_is_made_anew_switched_rolled_back_and_finished(
    at: Case, site: Site, tmp_path: Path, settings: Settings
) -> None:
    """Each form names its index: sent again, by somebody whose page is old or by a console that resumes, it is safe."""
    namespace = f"{at.database.name}.items"
    site.settings(namespace, exclude=["n"])  # the pipeline that loaded the first index has no name
    changed = read_settings(file=site.folder / "penstock.toml")
    path = f"/reindex/{namespace}"
    first, second = (f"{site.index(namespace)}-g{number}" for number in (1, 2))
    with served_console(changed, tmp_path) as console:

        def send(step: str, index: str, *says: str, **more: str) -> None:
            answer = console.post(path, {"step": step, "index": index, **more})
            assert answer.headers.get("location") == path, console.text(answer)
            until_text(console, path, ", ended at ", *says)

        assert "1 collection is served by an index made with other settings" in plain(text(console, "/reindex"))
        before = text(console, path)
        assert "The settings have changed since" in before
        assert re.search(r">exclude</th><td[^>]*>not set</td><td[^>]*>\[\s*&#34;n&#34;\s*\]</td>", before)
        send("build", first, "is kept up to date until you finish", "Roll back to", f"points to {second}")
        send("build", first, f"points to {second} already")
        assert site.indexed(namespace)["n:1"] == {}
        send("rollback", first, f"points to {first} again")
        send("rollback", first, f"points to {first} already")
        assert site.indexed(namespace)["n:1"] == {"n": 1}
        for typed in ("", "yes"):
            assert console.post(path, {"step": "finish", "index": second, "typed": typed}).status == 400
        send("finish", first, f"{first} is not deleted: it is searched", typed=namespace)
        send("abandon", second, f"{second} is not deleted: it served in the meantime", typed=namespace)
        send("finish", second, "deleting", "The settings have changed since", typed=namespace)
        send("finish", second, f"{second} does not exist", typed=namespace)
        assert console.post(path, {"step": "explode", "index": first}).status == 400
        assert "load the page again" in console.text(console.post(path, {"step": "build"}))


def test_every_link_leads_to_a_page(at: Case, site: Site, tmp_path: Path) -> None:
    """Also those of a collection whose name has a slash, and of a document that has a dead letter."""
    store_letters(at, 3)
    with (site.folder / "penstock.toml").open("a") as file:
        file.write(f'[[collections]]\nnamespace = "{at.database.name}.a/b"\nindex = "{site.index("a-b")}"\n')
    at.database["a/b"].insert_one({})
    settings = read_settings(file=site.folder / "penstock.toml")
    with served_console(settings, tmp_path, show_values=True) as console:
        seen, left = set[str](), ["/", f"/explain?collection={at.database.name}.items&id=n:3"]
        while left:
            path = left.pop()
            seen.add(path)
            links = re.findall(r'(?:href|data-numbers)="(/[^"#]*)', text(console, path))
            left += {unescape(each) for each in links if not each.startswith("/static/")} - seen - set(left)
    assert {"/dead-letters/letter", "/collections", "/reindex", "/verify"} <= {
        path.partition("?")[0] if "?" in path else path.rpartition("/")[0] for path in seen
    }
    assert f"/collections/{at.database.name}.a/b" in seen


def test_a_collection_is_loaded_again_by_its_typed_name(at: Case, site: Site, tmp_path: Path) -> None:
    namespace = f"{at.database.name}.items"
    site.settings(namespace)  # the pipeline that loaded the index has no name
    at.tamper(1, None)
    path = f"/verify/{namespace}"
    with served_console(read_settings(file=site.folder / "penstock.toml"), tmp_path) as console:
        assert console.post(f"{path}/load", {"typed": "items"}).status == 400
        assert console.post(f"{path}/load", {"typed": namespace}).headers["location"] == path
        until_text(console, path, "10 documents loaded")
    assert at.indexed() == {f"n:{number}": {"n": number} for number in range(10)}


FORMS = [
    ("/dead-letters/replay", {"collection": "{}"}),
    ("/dead-letters/drop", {"collection": "{}", "typed": "{}"}),
    ("/verify", {}),
    ("/verify/{}", {}),
    ("/verify/{}/repair", {"id": "n:1"}),
    ("/verify/{}/load", {"typed": "{}"}),
    ("/reindex/{}", {"step": "build", "index": "{}", "force": "yes"}),
    ("/reindex/{}", {"step": "finish", "index": "{}", "typed": "{}"}),
    ("/jobs/stop", {"kind": "verify", "subject": "{}"}),
    ("/reactions/hook/replay", {}),
    ("/reactions/hook/drop", {"typed": "hook"}),
]


def test_the_activity_says_who_logged_in_and_who_was_refused_and_shows_no_token(console: ConsoleClient) -> None:
    ConsoleClient(console.address).log_in(VIEWER, "Vic")
    ConsoleClient(console.address).log_in(VIEWER, VIEWER)  # pasted into the wrong field
    wrong = f"{VIEWER[:-1]}x"
    assert ConsoleClient(console.address).post("/login", {"token": wrong, "name": "Eve"}, csrf="").status == 403
    page = until_text(console, "/activity", "Vic", "logged in", "from 127.0.0.1", "1 wrong token from 127.0.0.1")
    assert "Eve" not in page
    assert VIEWER[:12] not in page


@pytest.mark.parametrize(("path", "fields"), FORMS)
def test_nobody_acts_who_may_not(
    at: Case, console: ConsoleClient, settings: Settings, path: str, fields: dict[str, str]
) -> None:
    """Neither a viewer, nor a form without the token of its session, nor anybody by GET; and nothing is started."""
    namespace = f"{at.database.name}.items"
    path = path.format(namespace)
    fields = {name: each.format(namespace) for name, each in fields.items()}
    viewer = ConsoleClient(console.address).log_in(VIEWER, "Vic")
    answer = viewer.post(path, fields)
    assert (answer.status, "logged in as a viewer" in viewer.text(answer)) == (403, True)
    answer = console.post(path, fields, csrf="another")
    assert (answer.status, "not made for your session" in console.text(answer)) == (403, True)
    assert console.post(path, fields, Origin="http://elsewhere.example", Sec_Fetch_Site="cross-site").status == 403
    assert ConsoleClient(console.address).post(path, fields, csrf="").status in (303, 401)
    assert console.get(f"{path}?{'&'.join(f'{n}={v}' for n, v in fields.items())}").status in (200, 404, 405)
    assert "<td>started" not in text(console, "/activity")


def test_who_may_not_act_reads_the_command_instead(at: Case, settings: Settings, tmp_path: Path) -> None:
    store_letters(at, 1)
    namespace = f"{at.database.name}.items"
    one = f"/dead-letters/letter?collection={namespace}&id=n:1"
    commands = {
        "/dead-letters": "penstock dead-letters replay",
        one: f"penstock dead-letters replay {namespace} --document &#39;n:1&#39;",
        f"/verify/{namespace}": f"penstock verify {namespace}",
        f"/reindex/{namespace}": f"penstock reindex {namespace} --force",
    }
    with served_console(settings, tmp_path, actions=False) as console:
        for path, command in commands.items():
            page = text(console, path)
            assert command in page
            assert 'method="post"' not in page.partition("<main")[2]


@pytest.mark.parametrize("path", ["/verify/{}s", "/reindex/{}s", "/reactions/nobody", "/dead-letters/letter"])
def test_what_is_not_declared_is_not_found(at: Case, console: ConsoleClient, path: str) -> None:
    assert console.get(path.format(f"{at.database.name}.items")).status == 404


def test_pages_say_that_the_index_is_away(tmp_path: Path, site: Site) -> None:
    site.settings("shop.items")
    away = read_settings(file=site.folder / "penstock.toml")
    away = away.model_copy(update={"sink": away.sink.model_copy(update={"url": "http://127.0.0.1:1"})})
    with served_console(away, tmp_path) as console:
        for path in ("/dead-letters", "/verify", "/reindex", "/activity"):
            answer = console.get(path)
            assert (answer.status, "No usable response from http://127.0.0.1:1" in console.text(answer)) == (503, True)


def test_the_stream_of_a_page_brings_what_a_job_reports(at: Case, console: ConsoleClient) -> None:
    path = f"/verify/{at.database.name}.items"
    at.tamper(1, None)
    console.post(path, {"wait": "0"})
    until_text(console, path, "Source and index were not equal")
    event = console.events(path, 1)[0]
    assert event.startswith("event: whole\n")
    assert "Source and index were not equal" in event


def test_an_event_that_a_target_refused_is_replayed_and_another_is_dropped(
    at: Case, site: Site, tmp_path: Path
) -> None:
    namespace, name = f"{at.database.name}.items", at.database.name.replace("_", "-")
    with receiver() as hook:
        table = {"name": name, "collections": [namespace], "target": "webhook", "url": hook.url, "secret": SECRET}
        site.settings(namespace, pipeline={"name": at.database.name}, reactions=[table])
        settings = read_settings(file=site.folder / "penstock.toml")
        store_events(at, reaction_id(name, at.database.name), "first", "second")
        with served_console(settings, tmp_path, show_values=True) as console:
            assert f"{name} do" in plain(text(console, "/reactions"))
            page = text(console, f"/reactions/{name}")
            assert "answered 422" in page
            one = f"/reactions/{name}/event?collection={namespace}&id=first"
            assert one.replace("&", "&amp;") in page
            assert "of first" in text(console, one)
            assert console.post(f"/reactions/{name}/replay", {"id": "first"}).status == 303
            until_text(console, f"/reactions/{name}", "1 dead letter, 1 accepted")
            assert [each["id"] for each in hook.accepted] == ["first"]
            assert "There is no such event among those that were refused any more" in text(console, one)
            assert console.post(f"/reactions/{name}/drop", {"typed": "another"}).status == 400
            assert console.post(f"/reactions/{name}/drop", {"typed": name}).status == 303
            until_text(console, f"/reactions/{name}", "None: the target took every event", "1 dead letter dropped")
            assert len(hook.accepted) == 1


def store_events(at: Case, alias: str, *ids: str) -> None:
    """Keep events as dead letters of a reaction, as its delivery would."""
    sink, namespace, now = at.adapters.sink, Namespace.named(f"{at.database.name}.items"), at.now()
    kept = reaction_letters(at.adapters.client, sink, at.adapters.patience, kept=100)  # type: ignore[arg-type]
    attributes = {"type": "penstock.document.insert", "source": "penstock", "time": "2026-01-01T00:00:00Z"}
    bodies = {
        each: json.dumps(
            {"id": each, **attributes, "subject": each, "data": {"collection": str(namespace), "note": f"of {each}"}}
        ).encode()
        for each in ids
    }
    kept.store(
        [
            Letter(
                namespace,
                alias,
                each,
                json.dumps(each),
                now,
                Position("", now),
                "http://127.0.0.1:9 answered 422",
                body,
            )
            for each, body in bodies.items()
        ]
    )
