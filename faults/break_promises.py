"""Each promise is broken on purpose, in a copy of the source, and the tests that guard it must fail.

    .venv/bin/python -m faults.break_promises [NAME]...        all of them: make break-promises

Without the edit, the same tests pass on the same copy. Nothing in the checkout is changed. An edit that no longer fits
the source, or a test that does not notice it, is a failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faults import HERE

ROOT = HERE.parent
_WITHIN_S = 300
_TESTS_FAILED = 1
"""The exit code of pytest if tests ran and some failed; any other means that it could not run them."""

_DEPLOYMENTS = "tests/end_to_end/test_deployments.py"
_QUEUE = "tests/contract/delivery/test_replay_queue.py"
_REPAIR = "tests/contract/operations/test_verify_repair.py"
_OUTSIDE = "tests/contract/opensearch/test_sink_answers.py::TestWhatIsReadOutsideTheStream"
_STREAM_FAULTS = "tests/contract/mongo/test_stream_faults.py"
_FORGOTTEN = "tests/end_to_end/test_forgotten_deletes.py"
_SAMPLES = "tests/contract/opensearch/test_samples.py"
_SYNC = "tests/contract/lambdas/test_sync.py"
_RENAMED = "tests/end_to_end/test_renamed_collections.py"
_DELIVERY = "tests/unit/reactions/test_delivery.py"
_RANGES = "tests/unit/delivery/test_range_stream.py"
_LOG = "tests/end_to_end/test_apply_own.py"
_PUT_OUT = "tests/contract/kafka/test_member.py::test_a_member_that_was_put_out_commits_nothing_and_knows_it"
_REACTIONS = "tests/end_to_end/reactions"


@dataclass(frozen=True)
class Promise:
    """How to break it: a text in a file and its replacement; the tests, and the fault, that must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    fault: str = ""


PROMISES = (
    Promise(
        "checkpoint before acknowledgement",
        "pipeline/pipeline.py",
        "        self._flights.append(_Flight(folded.documents, position, read_at, delivered))\n",
        "        self._flights.append(_Flight(folded.documents, position, read_at, delivered))\n"
        "        if position:\n"
        "            self.ports.checkpoints.save(position)\n",
        ("tests/unit/pipeline/test_pipeline.py::test_a_position_behind_an_unfinished_batch_is_never_saved",),
        fault="worker_killed_while_refused",
    ),
    Promise(
        "`external` instead of `external_gte`",
        "opensearch/write/bulk.py",
        '"version_type":"external_gte"',
        '"version_type":"external"',
        ("tests/contract/opensearch/test_sink.py::TestOpenSearchSink::test_an_equal_version_is_written_again",),
    ),
    Promise(
        "no folding of equal cluster times: a batch ends between them",
        "pipeline/batching.py",
        "room or (whole_times and _continues_time(batch, answer))",
        "room",
        ("tests/unit/pipeline/test_batching.py::test_a_batch_does_not_end_between_changes_of_one_cluster_time",),
    ),
    Promise(
        "no folding of equal cluster times: each change is written",
        "pipeline/fold.py",
        "    ids = document_ids([change.id for change in kept])\n",
        '    each = type("Each", (str,), {"__hash__": object.__hash__, "__eq__": object.__eq__})\n'
        "    ids = list(map(each, document_ids([change.id for change in kept])))\n",
        ("tests/unit/pipeline/test_pipeline.py::test_every_change_is_counted",),
    ),
    Promise(
        "first instead of last change",
        "pipeline/fold.py",
        "            last.pop(text_id, None)  # so that documents stay in the order of their last change\n"
        "            last[text_id] = change\n",
        "            last.setdefault(text_id, change)\n",
        ("tests/crash/test_stop_anywhere.py",),
        fault="answers_lost",
    ),
    Promise(
        "a load's version taken after its read",
        "mongo/load.py",
        "                if reply.count:\n",
        "                version = committed_time(self._client, self._namespace)\n"
        "                if reply.count:\n",
        ("tests/contract/mongo/test_load_versions.py",),
    ),
    Promise(
        "majority before repair",
        "mongo/collections.py",
        "    while (committed := committed_time(client, namespace)) < version:\n",
        "    while (committed := committed_time(client, namespace)) < 0:\n",
        (
            f"{_REPAIR}::test_a_source_that_is_behind_its_index_for_a_moment_is_waited_for",
            "tests/contract/mongo/test_majority.py",
        ),
        fault="majority_behind_the_index",
    ),
    Promise(
        "an old range sent instead of read again",
        "opensearch/write/sink.py",
        "            if call.send_before is not None and time.monotonic() >= call.send_before:\n",
        "            if False:\n",
        (
            "tests/contract/opensearch/test_sink.py::TestOpenSearchSink::test_nothing_is_sent_after_its_time",
            "tests/contract/opensearch/test_sink_answers.py::TestRequestsInFlight",
        ),
    ),
    Promise(
        "what was read outside the stream sent after a wait",
        "opensearch/write/sink.py",
        "        if call.send_before is None:\n            attempts.wait(wait)\n",
        "        if True:\n            attempts.wait(wait)\n",
        (
            _OUTSIDE,
            f"{_FORGOTTEN}::test_what_was_refused_for_a_while_is_read_again",
        ),
        fault="range_held_back",
    ),
    Promise(
        "a load that does not ask whether shards were started",
        "worker/loader.py",
        'is_swept = phase == "reconciling" or not engines or load.engines != engines',
        'is_swept = phase == "reconciling"',
        (f"{_FORGOTTEN}::test_what_was_in_flight_is_found_and_removed",),
        fault="range_in_flight_closed",
    ),
    Promise(
        "no wait for an ailing cluster before a load reads again",
        "opensearch/http/waiting.py",
        "                    self._backoff.wait()\n",
        "                    pass\n",
        (
            f"{_OUTSIDE}::test_the_waits_of_a_row_grow_until_what_was_refused_is_taken",
        ),
        fault="load_refused",
    ),
    Promise(
        "the same request again after a timeout of the source",
        "mongo/stream.py",
        "        self._asked_for = max(1, self._asked_for // 10)\n",
        "",
        (
            f"{_STREAM_FAULTS}::test_a_stream_asks_for_less_where_the_server_takes_longer_than_the_timeout",
        ),
        fault="source_slower_than_timeout",
    ),
    Promise(
        "a stop waits for a server that hangs",
        "runtime/threads.py",
        "            self._cut()\n",
        "            pass\n",
        ("tests/end_to_end/test_stop.py::test_a_stop_is_quick_in_every_state_when_a_server_hangs[index]",),
        fault="stopped_while_hanging",
    ),
    Promise(
        "no lease: taken while another worker renews it",
        "opensearch/state/pipeline_state.py",
        "    return unchanged_s >= max(lease_s, float(found.document.get(\"lease_s\", 0)))\n",
        "    return True\n",
        ("tests/contract/opensearch/test_checkpoints_lease.py",),
    ),
    Promise(
        "no lease: taken for held after its time",
        "opensearch/state/pipeline_state.py",
        "        return sent_at is not None and passed_s() - sent_at < self._lease_s\n",
        "        return sent_at is not None\n",
        ("tests/contract/opensearch/test_checkpoints_lease.py",),
    ),
    Promise(
        "delete ignored",
        "pipeline/fold.py",
        'if change.kind != "gone"]',
        'if change.kind not in ("gone", "delete")]',
        ("tests/crash/test_stop_anywhere.py", "tests/unit/pipeline/test_pipeline.py::test_every_change_is_counted"),
        fault="worker_killed",
    ),
    Promise(
        "the position passes a rename before the new name is watched",
        "worker/collections/lifecycle.py",
        "            self._renames.require_known(affected, self.ending)\n",
        "",
        (f"{_RENAMED}::test_a_renamed_collection_is_served_by_the_same_index_and_nothing_is_loaded_again",),
    ),
    Promise(
        "changes belong to the present name instead of the name at their version",
        "model.py",
        "in reversed(self.later) if since < version)",
        "in reversed(self.later))",
        ("tests/unit/mongo/test_values.py",),
    ),
    Promise(
        "identity before every write: another source is taken for the one that was indexed",
        "mongo/identity.py",
        "        if not self.is_same(now):\n",
        "        if False:\n",
        (
            f"{_QUEUE}::test_a_source_that_is_another_one_is_not_asked_what_a_document_is_now",
            "tests/end_to_end/test_another_source.py",
        ),
        fault="another_source",
    ),
    Promise(
        "a lease that is held for other collections is waited for",
        "worker/holder.py",
        "        if others and self.unfed == declared.keys():\n",
        "        if False:\n",
        (f"{_DEPLOYMENTS}::test_a_lease_that_is_held_for_other_collections_is_an_error",),
        fault="other_collections",
    ),
    Promise(
        "`live` is said of a collection that nobody feeds",
        "operations/status/looked.py",
        "        if document and not feeds(document, str(namespace), str(index)):\n",
        "        if False:\n",
        (f"{_DEPLOYMENTS}::test_a_standby_that_declares_more_says_what_nobody_feeds_and_takes_over",),
    ),
    Promise(
        "a sample is written without the lease",
        "opensearch/state/samples.py",
        "        while self._pending and self._may_write():\n",
        "        while self._pending:\n",
        (f"{_SAMPLES}::test_nothing_is_written_without_the_lease",),
    ),
    Promise(
        "the history grows for ever",
        "opensearch/state/samples.py",
        "        over = [each for each in known if is_over(each, part)]\n",
        "        over: list[str] = []\n",
        (f"{_SAMPLES}::test_what_is_older_than_what_is_kept_is_deleted_after_any_absence",),
    ),
    Promise(
        "who lives is judged by wall clocks",
        "operations/status/workers.py",
        "        if known and all(map(self.is_silent, known)):\n",
        "        if not reported_lately(document):\n",
        ("tests/unit/operations/test_heartbeats.py::test_no_wall_clock_is_compared",),
    ),
    Promise(
        "outcomes by place instead of by id",
        "opensearch/write/sink.py",
        "    for place, item in matched.items():\n        verdict",
        "    for place, item in zip(places, items[guards:], strict=False):\n        verdict",
        ("tests/contract/opensearch/test_sink_answers.py::TestAnswersBelongToTheDocumentsTheyName",),
    ),
    Promise(
        "an index that was used and is gone is made again, empty",
        "delivery/databases.py",
        "        if index not in there:\n",
        "        if False:\n",
        (
            f"{_SYNC}::test_an_index_that_is_deleted_is_not_made_anew_though_nobody_ever_loaded_it",
        ),
    ),
    Promise(
        "reactions: events of one document at once",
        "reactions/delivery.py",
        "            behind.append(item)\n",
        "            self._ready.append(item)\n",
        (f"{_DELIVERY}::test_events_of_one_document_are_never_on_their_way_together_and_keep_their_order",),
    ),
    Promise(
        "reactions: the position before an event is settled",
        "reactions/delivery.py",
        "while self._parts and not self._parts[0].left and not self._parts[0].open:",
        "while self._parts and not self._parts[0].open:",
        (f"{_DELIVERY}::test_a_position_is_never_saved_before_an_event_that_is_not_settled",),
    ),
    Promise(
        "reactions: the position within a transaction",
        "reactions/delivery.py",
        "len(events), batch.more)",
        "len(events), False)",
        (f"{_DELIVERY}::test_a_position_within_a_transaction_is_never_saved",),
    ),
    Promise(
        "reactions: one id for all changes of a transaction to a document",
        "reactions/event.py",
        "return tokens.index(token)",
        "return 0",
        ("tests/unit/reactions/test_event.py",),
    ),
    Promise(
        "reactions: events without the lease",
        "reactions/delivery.py",
        "                self.may_send()\n",
        "",
        (f"{_DELIVERY}::test_nothing_is_sent_without_the_lease",),
    ),
    Promise(
        "reactions: what only means not now is a refusal",
        "reactions/targets/webhook.py",
        "if status in _NOT_NOW or status >= 500:",
        "if status in _NOT_NOW:",
        (f"{_REACTIONS}/test_delivery.py::test_what_means_not_now_is_tried_again_with_the_same_id_and_never_a_dead_letter",),
    ),
    Promise(
        "reactions: one that stops ends the worker",
        "worker/reactions.py",
        '                if self._state == "stopped":\n                    return\n',
        '                if self._state == "stopped":\n                    raise\n',
        (f"{_REACTIONS}/test_refused_events.py::test_a_target_that_refuses_everything_stops_its_reaction_and_nothing_else",),
    ),
    Promise(
        "log: commit before acknowledgement",
        "delivery/topics/stream.py",
        "        size = sum(each.size for each in records)\n",
        "        size = sum(each.size for each in records)\n        self.term.save(position)\n",
        (f"{_LOG}::test_nothing_is_committed_before_the_index_has_it",),
    ),
    Promise(
        "log: range task committed before it is safe",
        "delivery/shared_load/stream.py",
        "                time_read = 0\n",
        "                time_read, places[partition] = 0, Place(record.offset + 1)\n",
        (f"{_RANGES}::test_an_offset_is_passed_when_all_of_its_range_was_read",),
    ),
    Promise(
        "log: ranges of a later load passed over",
        "delivery/shared_load/stream.py",
        "<= record.offset < end:",
        "<= record.offset:",
        (f"{_RANGES}::test_a_range_of_a_later_plan_is_left_to_its_members_and_what_is_in_flight_is_completed",),
    ),
    Promise(
        "log: read_uncommitted",
        "kafka/member.py",
        '"isolation.level": "read_committed"',
        '"isolation.level": "read_uncommitted"',
        (f"{_LOG}::test_an_aborted_transaction_is_neither_applied_nor_missed",),
    ),
    Promise(
        "log: numbers not checked",
        "delivery/topics/own.py",
        "            self._refuse(record, before.number, headers.number)\n",
        "            pass\n",
        (f"{_LOG}::test_numbers_that_leave_some_out_stop_the_index",),
    ),
    Promise(
        "log: commit by a member that was put out: its refusal ignored",
        "kafka/member.py",
        "                wish.set_exception(lost)\n",
        "                wish.set_result(None)\n",
        (_PUT_OUT,),
    ),
    Promise(
        "log: a member that was put out works on until it polls",
        "kafka/member.py",
        "        if term.lost or silent_s > self._settings.session_timeout_s:\n",
        "        if term.lost:\n",
        (_PUT_OUT,),
    ),
    Promise(
        "log: a member that was put out, and knows it, works on",
        "kafka/member.py",
        "        if term.lost or silent_s > self._settings.session_timeout_s:\n",
        "        if silent_s > self._settings.session_timeout_s:\n",
        (_PUT_OUT,),
    ),
)  # fmt: skip


class Copy:
    """A copy of the source in its own folder, which takes precedence over the installed one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "src"
        shutil.copytree(ROOT / "src", self._folder, ignore=shutil.ignore_patterns("__pycache__"))

    def test(self, *tests: str) -> subprocess.CompletedProcess[str]:
        """Run these tests on the copy."""
        return self._run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )

    def make(self, fault: str) -> subprocess.CompletedProcess[str]:
        """Make a fault on the copy, with separate servers."""
        results = self._folder.parent / "results.json"
        command = [sys.executable, "-m", "faults", "--rounds", "2", "--results", str(results), fault]
        return self._run(command)

    @contextmanager
    def broken(self, promise: Promise) -> Iterator[bool]:
        """Break a promise, and restore it at the end; yield False if its text does not occur exactly once."""
        file = self._folder / "penstock" / promise.file
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(promise.old, promise.new), encoding="utf-8")
        yield text.count(promise.old) == 1
        file.write_text(text, encoding="utf-8")

    def is_used(self) -> bool:
        """Whether a process started for the copy imports the copy."""
        shown = subprocess.run(
            [sys.executable, "-c", "import penstock; print(penstock.__file__)"],
            env={**os.environ, "PYTHONPATH": str(self._folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        return shown.stdout.startswith(str(self._folder))


def shown(copy: Copy, promise: Promise, *, faults: bool) -> str:
    """Break a promise; return why nothing noticed it, or an empty text if the tests failed."""
    with copy.broken(promise) as fits:
        if not fits:
            return f"the edit no longer fits {promise.file}"
        done = copy.test(*promise.tests)
        made = copy.make(promise.fault) if faults and promise.fault else None
    if done.returncode == 0:
        return "its tests pass nevertheless"
    if done.returncode != _TESTS_FAILED or " failed" not in done.stdout:
        return f"its tests could not run (pytest {done.returncode}): {done.stdout[-1000:]}{done.stderr[-1000:]}"
    if made and "NOT KEPT" not in made.stdout:
        return f"the fault {promise.fault} shows nothing: {made.stdout[-1000:]}{made.stderr[-1000:]}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only promises whose names contain one of these")
    parser.add_argument(
        "--faults",
        action="store_true",
        help="also check that the faults of `make faults` notice it; takes minutes more",
    )
    given = parser.parse_args()
    chosen = [each for each in PROMISES if not given.names or any(name in each.name for name in given.names)]
    console = Console()
    table = Table("promise broken on purpose", "in", "tests that guard it", "seconds", "")
    failures = 0
    with tempfile.TemporaryDirectory(prefix="penstock-promises-") as folder:
        copy = Copy(Path(folder))
        assert copy.is_used(), "the installed source comes before the copy"
        whole = copy.test(*dict.fromkeys(test for each in chosen for test in each.tests))
        if whole.returncode:
            console.print(f"the tests do not pass without any edit:\n{whole.stdout[-3000:]}{whole.stderr[-1000:]}")
            return 1
        console.print(f"without any edit: {whole.stdout.splitlines()[-1]}")
        for each in chosen:
            began = time.monotonic()
            why = shown(copy, each, faults=given.faults)
            failures += bool(why)
            console.print(f"{each.name}: {why or 'its tests fail, as they must'}")
            tests = "\n".join(test.removeprefix("tests/").replace("::", " ") for test in each.tests)
            tests += f"\nmake faults FAULT={each.fault}" if given.faults and each.fault else ""
            table.add_row(each.name, each.file, tests, f"{time.monotonic() - began:.0f}", why or "they fail")
    console.print(table)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
