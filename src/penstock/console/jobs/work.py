"""Which operation each kind of job is. What is resumed goes on where the operation itself left off."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from penstock.console.jobs.job import JobKind
from penstock.console.jobs.report import JobReport
from penstock.errors import SettingsError, Stopped
from penstock.model import Namespace
from penstock.observe.metrics import Metrics
from penstock.observe.wording import counted
from penstock.opensearch.dead_letters.search import LetterFilter, LetterSearch
from penstock.operations.dead_letters import listing, reactions
from penstock.operations.dead_letters.replay import replay_letters
from penstock.operations.reindex import cutover, reindex
from penstock.operations.verify import Verified, VerifyListener, VerifyOptions, causes
from penstock.operations.verify.everything import verify_all
from penstock.runtime.extras import needs_kafka
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings
from penstock.worker import worker
from penstock.worker.collections.patterns import expanded
from penstock.worker.progress import LoadResult


@dataclass(frozen=True)
class Work:
    """One run of a job, as its operation is given it. `settings` have collections in the place of patterns.

    `resumed`: an earlier console had begun with it, beyond waiting for a lease.
    """

    settings: Settings
    subject: str
    arguments: Mapping[str, Any]
    report: JobReport
    stop: threading.Event
    intervals: Intervals
    resumed: bool


class WorkResult(NamedTuple):
    """What came of it, in a sentence, and whether it needs nobody's attention."""

    text: str
    is_good: bool = True


class JobRule(NamedTuple):
    """`is_resumed`: the operation can go on where it was, so the next console does that by itself."""

    run: Callable[[Work], WorkResult]
    is_resumed: bool
    of_reaction: bool = False


def run(rule: JobRule, work: Work) -> WorkResult:
    """Do the work. Raises PenstockError; Stopped when it was ended before its end."""
    if not rule.of_reaction:
        settings = expanded(work.settings, note=False)
        if work.subject not in {each.namespace for each in settings.collections}:
            raise SettingsError(f"{work.subject} is not a declared collection any more.")
        work = replace(work, settings=settings)
    return rule.run(work)


def _verify(work: Work) -> WorkResult:
    given, report = work.arguments, work.report
    how = VerifyOptions(
        repair=bool(given.get("repair")),
        wait_s=float(given.get("wait_s", 30.0)),
        rate=given.get("rate"),
        documents=tuple(given.get("documents", ())),
        restart=not work.resumed,
    )
    report.doing("repairing" if how.repair else "comparing source and index")
    found = verify_all(
        work.settings,
        how,
        only=frozenset({work.subject}),
        stop=work.stop,
        telling=lambda _: VerifyListener(report, report.found),
        intervals=work.intervals,
    )
    return next(map(_of_verify, found))


def _of_verify(found: Verified) -> WorkResult:
    if found.dropped:
        return WorkResult("The collection does not exist, and its index is kept as it is: nothing was compared.", False)
    tally = found.tally
    parts = [f"{count:,} {kind}" for kind, count in tally.found.items() if count and kind != "left out"]
    parts += [f"{tally.repaired:,} repaired"] if tally.repaired else []
    parts += causes(tally.kept)
    compared = counted(max(tally.documents, found.in_index), "document")
    verdict = "equal" if found.is_equal else "not equal"
    return WorkResult(f"{verdict}: {'; '.join([f'{compared} compared', *parts])}", found.is_equal)


def _replay(work: Work) -> WorkResult:
    which = letter_filter(work.subject, work.arguments)
    with listing.kept_letters(work.settings, work.stop) as kept:
        total = kept.tally(which).total
    work.report.doing("replaying")
    work.report.started(work.subject, total)
    replayed = replay_letters(
        work.settings,
        which,
        stop=work.stop,
        on_page=lambda now: work.report.reached(now.letters, _counts(asdict(now))),
    )
    _require_end(work)
    more = {"superseded before": replayed.superseded, "refused again": replayed.refused, "left": replayed.left}
    return _of_letters(
        replayed.letters, f"{replayed.done:,} in step now", more, remain=replayed.refused + replayed.left
    )


def _drop(work: Work) -> WorkResult:
    which = letter_filter(work.subject, work.arguments)
    with listing.kept_letters(work.settings, work.stop) as kept:
        return _dropped(work, kept, which)


def _replay_events(work: Work) -> WorkResult:
    which = reactions.of_reaction(work.settings, work.subject, letter_filter("", work.arguments))
    with reactions.kept_events(work.settings, work.stop) as kept:
        work.report.started(work.subject, kept.tally(which).total)
    work.report.doing("giving the events to the target again")
    replayed = reactions.replay_events(
        work.settings,
        work.subject,
        which,
        stop=work.stop,
        intervals=work.intervals,
        on_letter=lambda now: work.report.reached(now.letters, _counts(asdict(now))),
    )
    _require_end(work)
    more = {"refused again": replayed.refused, "too large to be kept whole": replayed.left}
    return _of_letters(replayed.letters, f"{replayed.done:,} accepted", more, remain=replayed.refused + replayed.left)


def _drop_events(work: Work) -> WorkResult:
    which = reactions.of_reaction(work.settings, work.subject, letter_filter("", work.arguments))
    with reactions.kept_events(work.settings, work.stop) as kept:
        return _dropped(work, kept, which)


def _reindex(work: Work) -> WorkResult:
    step, report, given = work.arguments["step"], work.report, work.arguments
    report.doing(_STEPS[step])
    settings, name, stop, intervals = work.settings, work.subject, work.stop, work.intervals
    index, force = given.get("index", ""), bool(given.get("force"))
    if step == "rollback":
        cutover.rollback(settings, name, index=index, stop=stop, say=report.say, force=force, intervals=intervals)
    elif step == "finish":
        cutover.finish(settings, name, index=index, stop=stop, say=report.say, intervals=intervals)
    elif step == "abandon":
        cutover.abandon(settings, name, index=index, stop=stop, say=report.say, intervals=intervals)
    else:
        options = reindex.ReindexOptions(
            float(given.get("wait_s", 30.0)), force, bool(given.get("accept_dead_letters")), replaces=index
        )
        reindex.reindex(
            settings, name, stop=stop, progress=report, say=report.say, options=options, intervals=intervals
        )
    said = report.said
    return WorkResult(next((line for line in reversed(said) if " points to " in line), said[-1]))


_STEPS: Final = {
    "build": "building the new index",
    "rollback": "rolling back",
    "finish": "deleting the old index",
    "abandon": "deleting the new index",
}


def _load(work: Work) -> WorkResult:
    work.report.doing("loading")
    again = bool(work.arguments.get("again")) and not work.resumed
    is_shared = work.settings.has_topics(work.subject)
    results = (_shared_load() if is_shared else worker.load)(
        work.settings,
        stop=work.stop,
        metrics=Metrics(),
        progress=work.report,
        only=frozenset({work.subject}),
        again=again,
        intervals=work.intervals,
    )
    _require_end(work)
    if not results:
        return WorkResult("It is loaded already.")
    letters = sum(each.counts.dead_lettered for each in results)
    parts = [f"{counted(sum(each.documents for each in results), 'document')} loaded"]
    return WorkResult(", ".join(parts + ([counted(letters, "dead letter")] if letters else [])), not letters)


def _shared_load() -> Callable[..., list[LoadResult]]:
    with needs_kafka("a console that loads a collection that topics feed"):
        from penstock.delivery.shared_load import service  # noqa: PLC0415 (needs Kafka's driver)
    return service.load


RULES: Final[Mapping[JobKind, JobRule]] = {
    "verify": JobRule(_verify, is_resumed=True),
    "repair": JobRule(_verify, is_resumed=True),
    "replay": JobRule(_replay, is_resumed=False),
    "drop": JobRule(_drop, is_resumed=False),
    "replay-events": JobRule(_replay_events, is_resumed=False, of_reaction=True),
    "drop-events": JobRule(_drop_events, is_resumed=False, of_reaction=True),
    "reindex": JobRule(_reindex, is_resumed=True),
    "load": JobRule(_load, is_resumed=True),
}


def letter_filter(collection: str, arguments: Mapping[str, Any]) -> LetterFilter:
    """Return the filter that the arguments of a job say; `before` and `after` are moments as text."""
    before, after = arguments.get("before"), arguments.get("after")
    return LetterFilter(
        namespaces=(Namespace.named(collection),) if collection else (),
        reason=arguments.get("reason", ""),
        before=datetime.fromisoformat(before) if before else None,
        after=datetime.fromisoformat(after) if after else None,
        ids=tuple(arguments.get("ids", ())),
    )


def _dropped(work: Work, kept: LetterSearch, which: LetterFilter) -> WorkResult:
    work.report.doing("dropping")
    work.report.started(work.subject, kept.tally(which).total)
    dropped = listing.drop(kept, which, work.stop, on_page=lambda count: work.report.reached(count, {"dropped": count}))
    _require_end(work)
    return WorkResult(f"{counted(dropped, 'dead letter')} dropped")


def _of_letters(letters: int, done: str, more: Mapping[str, int], *, remain: int) -> WorkResult:
    parts = [counted(letters, "dead letter"), done, *(f"{count:,} {what}" for what, count in more.items() if count)]
    return WorkResult(", ".join(parts), not remain)


def _counts(counted_so_far: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counted_so_far.items() if count}


def _require_end(work: Work) -> None:
    """Raise Stopped if the operation returned because it was asked to end."""
    if work.stop.is_set():
        raise Stopped("stopped before its end")
