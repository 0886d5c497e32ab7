"""The reference deployment on this machine, through every kind of change and fault: nothing may be lost or come back.

Two deployments: one as the stack makes it by default, with a mapping that gives a batch up after six attempts; one in
the sample's order, with a mapping that tries for ever.
"""

import datetime
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from bson import Decimal128, Int64, ObjectId

from penstock.lambdas.environment import function_name
from penstock_tools.aws.deployment import Deployment, DeploymentSettings
from penstock_tools.aws.domain.signature import Received
from penstock_tools.aws.domain.signature_server import Said
from penstock_tools.aws.mapping.behaviour import Behaviour
from testkit.aws_deployment import AwsSite, eventually

POISON = frozenset({"poison"})
"""The one document that the index refuses: `shape` is a text where the others have a document."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSite]:
    settings = DeploymentSettings(
        function_timeout_s=30, sink_timeout_s=10, batch_window_s=0, batch_size=500, behaviour=Behaviour(retry="six")
    )
    with Deployment(tmp_path_factory.mktemp("default"), settings) as deployment, closing(AwsSite(deployment)) as site:
        yield site


def test_a_document_that_is_posted_is_found_by_its_words(site: AwsSite) -> None:
    assert (
        site.api("POST", "/demo-data", {"title": "a closed pipe", "at": {"$date": "2026-01-02T03:04:05Z"}}).status
        == 201
    )
    (hit,) = eventually(lambda: site.api("GET", "/demo-data?q=pipe").body)
    assert hit["_source"] == {"title": "a closed pipe", "at": "2026-01-02T03:04:05.000000Z"}
    site.wait_in_step()


def test_the_api_wants_its_key(site: AwsSite) -> None:
    assert site.api("GET", "/demo-data", key="guess").status == 403
    assert site.api("POST", "/demo-data", "text").status == 400


def test_the_mapping_reads_what_was_written_since_the_enabling(site: AwsSite) -> None:
    shown = site.aws("get-event-source-mapping", "--uuid", str(site.deployment.mapping_id))
    assert (shown["State"], shown["StartingPosition"]) == ("Enabled", "AT_TIMESTAMP")
    answer = site.api("POST", "/config")
    assert (answer.status, answer.body["found"]) == (200, {"collection": True, "change_stream": True})
    assert answer.body["did"] == []


def test_every_kind_of_change_and_of_id_arrives(site: AwsSite) -> None:
    collection = site.collection
    ids = [
        ObjectId(),
        "text",
        7,
        7.5,
        Int64(2**60),
        Decimal128("1.10"),
        {"a": 1, "b": "x"},
        datetime.datetime(2026, 1, 2),
    ]
    collection.insert_many([{"_id": each, "n": 0, "shape": {"sides": 4}} for each in ids])
    collection.update_many({"n": 0}, {"$set": {"n": 1}})
    collection.update_one({"_id": 7}, {"$unset": {"shape": ""}})
    collection.replace_one({"_id": "text"}, {"replaced": True})
    collection.delete_one({"_id": 7.5})
    site.wait_in_step()


def test_a_poison_document_becomes_a_dead_letter_and_stops_nothing(site: AwsSite) -> None:
    site.collection.insert_one({"_id": "poison", "shape": "a text, where the others have a document"})
    site.collection.insert_one({"_id": "after the poison"})
    site.wait_in_step(without=POISON)
    assert eventually(site.dead_letters) == POISON


def test_a_batch_that_is_delivered_again_changes_nothing(site: AwsSite) -> None:
    site.collection.insert_one({"_id": "twice", "n": 1})
    site.wait_in_step(without=POISON)
    before = site.indexed()
    site.deployment.mappings.redeliver(str(site.deployment.mapping_id))
    assert site.indexed() == before


def test_a_function_that_dies_half_way_loses_nothing(site: AwsSite, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = site.deployment.domain
    answer, died = domain.answer, threading.Event()

    def dies(request):
        said = answer(request)
        if request.method == "POST" and request.path.endswith("/_bulk") and not died.is_set():
            died.set()
            site.kill_sync()  # the domain has written the request; its answer arrives nowhere
        return said

    monkeypatch.setattr(domain._server, "answer", dies)
    site.collection.insert_many([{"_id": f"half-{number}", "n": 1} for number in range(300)])
    site.collection.delete_many({"_id": {"$regex": "^half-.*0$"}})
    site.wait_in_step(without=POISON)
    assert died.is_set()
    reports = site.deployment.functions[function_name("sync")].reports
    ended = eventually(lambda: [each.error_type for each in reports if each.error_type])
    assert ended == ["Runtime.ExitError"]


def test_a_domain_that_is_away_for_longer_than_six_attempts_loses_nothing(site: AwsSite) -> None:
    queue = site.deployment.aws
    collection = site.collection
    with site.deployment.domain.away():
        for number in range(2):  # each a batch that cannot be written before the function has to end
            collection.insert_one({"_id": f"away-{number}", "n": 1})
            collection.update_one({"_id": "twice"}, {"$set": {"n": number}})
            collection.delete_one({"_id": f"half-{number}"})
            eventually(lambda sent=number: queue.messages(site.deployment.queue_url) > sent)
    collection.delete_one({"_id": "away-0"})
    collection.update_one({"_id": "away-1"}, {"$set": {"n": 2}})
    replayed = site.penstock("dead-letters", "replay", "--queue")
    assert replayed.returncode == 0, replayed.stderr
    assert "written" in replayed.stdout
    site.wait_in_step(without=POISON)
    assert queue.messages(site.deployment.queue_url) == 0
    assert site.deployment.mappings.metrics()[str(site.deployment.mapping_id)]["SkippedEvents"] == 0


def test_a_mapping_that_is_started_again_goes_on_where_it_was(site: AwsSite) -> None:
    site.aws("update-event-source-mapping", "--uuid", str(site.deployment.mapping_id), "--no-enabled")
    eventually(lambda: site.mapping_is("Disabled"))
    site.collection.insert_one({"_id": "while disabled"})
    site.collection.delete_one({"_id": "after the poison"})
    site.aws("update-event-source-mapping", "--uuid", str(site.deployment.mapping_id), "--enabled")
    site.wait_in_step(without=POISON)


def test_commands_run_with_the_rights_of_the_task(site: AwsSite) -> None:
    loaded = site.penstock("load")
    assert loaded.returncode == 0, loaded.stderr
    checked = site.penstock("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    shown = site.penstock("status")
    assert shown.returncode == 0, shown.stderr
    assert "mapped" in shown.stdout
    site.wait_in_step(without=POISON)
    assert site.dead_letters() == POISON
    verified = site.penstock("verify", "--repair", "--wait", "5", "--json")
    *findings, collection = [json.loads(line) for line in verified.stdout.splitlines()]
    assert verified.returncode == 8, verified.stderr
    assert {each["id"]: each["finding"] for each in findings} == dict.fromkeys(POISON, "dead-lettered")
    assert collection["equal"] == collection["documents"] - len(POISON)


HAS_A_SUBSTITUTE = ("/point_in_time", "/_msearch")
"""Requests that name no index, so that the task has no right to them: a scroll, and a request for each index, do it."""


def test_every_other_command_has_its_rights_too(
    site: AwsSite, penstock: Callable[..., CompletedProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    domain, name, denied = site.deployment.domain, site.settings.namespace, set[str]()
    site.collection.replace_one({"_id": "a-shape"}, {"shape": {"sides": 4}}, upsert=True)
    site.wait_in_step(without=POISON)
    site.collection.replace_one({"_id": "poison"}, {"shape": "a text"}, upsert=True)
    eventually(lambda: site.dead_letters() == POISON)

    def watched(request: Received) -> Said:
        said = domain.answer(request)
        if said.status == 403 and not request.path.endswith(HAS_A_SUBSTITUTE):
            denied.add(f"{request.method} {request.path}")
        return said

    monkeypatch.setattr(domain._server, "answer", watched)
    for variable, value in site.deployment.operations().items():
        monkeypatch.setenv(variable, value)
    exit_codes = {
        f"explain {name} a-shape": 0,
        "dead-letters list": 0,
        f"dead-letters show {name} poison": 0,
        "dead-letters replay": 1,  # it is refused again
        f"mapping suggest {name}": 0,
        f"load --again {name}": 0,
        f"reindex {name} --force --accept-dead-letters --wait 5": 0,
        f"reindex {name} --rollback": 0,
        f"reindex {name} --finish": 0,
        f"reindex {name} --force --wait 5": 8,
        f"reindex {name} --abandon": 0,
        f"dead-letters drop {name} --yes": 0,
    }
    done = {command: penstock(*command.split()) for command in exit_codes}
    assert {command: each.returncode for command, each in done.items()} == exit_codes, done
    assert denied == set()
    assert site.opensearch("GET", f"/_alias/{site.settings.index}").keys() == {f"{site.settings.index}-g1"}
    site.wait_in_step(without=POISON)


def test_no_log_holds_a_document_or_a_secret(site: AwsSite) -> None:
    logs = "".join(path.read_text() for path in (site.deployment.folder / "logs").iterdir())
    assert '"event": "dead letter"' in logs
    assert "where the others have a document" not in logs
    assert site.deployment._password not in logs


def test_in_the_samples_order_a_load_beside_the_mapping_brings_what_was_there_before(tmp_path: Path) -> None:
    settings = DeploymentSettings(
        as_in_sample=True, open_api=True, batch_window_s=0, behaviour=Behaviour(retry="forever")
    )
    with Deployment(tmp_path, settings) as deployment, closing(AwsSite(deployment)) as site:
        deployment.mapping_id = deployment.create_mapping()
        eventually(lambda: site.mapping_is("Disabled"))
        site.collection.insert_many([{"_id": number, "n": 0} for number in range(3000)])
        assert site.api("POST", "/config").body["did"]
        site.aws("update-event-source-mapping", "--uuid", deployment.mapping_id, "--enabled")
        eventually(lambda: site.mapping_is("Enabled"))
        loads: list[int] = []
        load = threading.Thread(target=lambda: loads.append(site.penstock("load").returncode))
        load.start()
        for number in range(0, 3000, 7):
            site.collection.update_one({"_id": number}, {"$set": {"n": number}})
            site.collection.delete_one({"_id": number + 1})
            site.collection.insert_one({"_id": f"new-{number}", "n": number})
        load.join()
        assert loads == [0]
        site.wait_in_step()
        assert site.dead_letters() == set()
