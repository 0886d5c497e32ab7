"""Who captures, as `penstock status` and the console say, and that capture needs neither for its work."""

import json
import socket
import time

import pytest

from penstock.settings.reading import read_settings
from testkit.captured import CapturedLog
from testkit.console_client import served_console
from testkit.workspace import Site, until

COLL = "items"


@pytest.fixture
def capturing(database, kafka_servers):
    """Write the settings of a capture into a site."""

    def capturing(site) -> None:
        site.settings(
            f"{database.name}.{COLL}",
            pipeline={"name": database.name},
            log={
                "bootstrap_servers": kafka_servers,
                "own_topics": True,
                "prefix": "own",
                "topic_partitions": 2,
                "topic_replication": 1,
                "session_timeout_s": 6,
            },
        )

    return capturing


def seen(site) -> dict:
    (line,) = json.loads(site.run("status", "--json").stdout)
    return line["capture"]


def test_status_and_console_say_who_captures_and_that_nobody_does(site, database, capturing):
    capturing(site)
    database[COLL].insert_one({"_id": 1})
    names = f"the lag of {database.name}.{COLL} grows"
    assert (seen(site)["state"], seen(site)["lag_s"]) == ("stopped", None)
    workers = {each.process.pid: each for each in (site.start("capture"), site.start("capture"))}

    def shown() -> dict | None:
        found = seen(site)
        return found if (found["state"], found["standbys"]) == ("live", 1) else None

    first = until(shown, lambda: seen(site))
    assert first["pid"] in workers
    assert 0 <= first["lag_s"] < 60
    assert abs(first["mark_at"] - time.time()) < 60
    assert f"{database.name}: captured by {first['host']} process {first['pid']}, lag" in site.run("status").stdout
    workers.pop(first["pid"]).kill()
    ((second, worker),) = workers.items()
    until(lambda: seen(site)["pid"] == second, lambda: seen(site))
    settings = read_settings(file=site.folder / "penstock.toml", environ={})

    def page() -> str:
        return console.get("/workers").data.decode()

    with served_console(settings, site.folder) as console:
        until(lambda: f"process {second}" in page(), page)
        assert "is known to capture" not in page()
        worker.kill()
        missing = f"No process is known to capture {database.name}: {names}"
        until(lambda: missing in page(), page)
    last = seen(site)
    assert (last["state"], last["pid"], last["standbys"]) == ("stopped", None, 0)
    assert last["lag_s"] >= 0
    assert f"no process is known to capture {database.name}: {names}" in site.run("status").stdout


def test_an_index_that_never_answers_neither_holds_capture_up_nor_its_end(
    tmp_path, source_uri, database, capturing, kafka_servers
):
    log = CapturedLog(kafka_servers, "own", database.name)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait to be accepted, for ever
        site = Site(tmp_path, source_uri, f"http://127.0.0.1:{silent.getsockname()[1]}", "none-")
        capturing(site)
        database.create_collection(COLL)
        worker = site.start("capture")
        worker.until_live()
        database[COLL].insert_many([{"_id": number} for number in range(50)])
        until(lambda: len(log.state(COLL)) == 50, "all is captured")
        silent.setblocking(False)
        silent.accept()[0].close()  # it was asked
        assert worker.lines("capture begins again") == []
        began = time.monotonic()
        worker.terminate()
        assert time.monotonic() - began < 20
        site.close()
