"""Looks at everything that penstock needs before it starts, and says what to do about what is missing."""

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from penstock.connections import parking_queue
from penstock.documents.transform import Transform
from penstock.errors import PenstockError, QueueUnavailable, SettingsError
from penstock.observe.wording import counted
from penstock.opensearch.index.mapping import body_for, read_mapping
from penstock.operations.check.finding import CheckFinding, failure, ok, warning
from penstock.operations.check.sink import sink_findings
from penstock.operations.check.source import source_findings
from penstock.operations.inspect.views import Inspection
from penstock.reactions.targets import target_of
from penstock.reactions.where import condition_of
from penstock.settings import CollectionSettings, ReactionSettings, Settings
from penstock.worker.collections.expansion import exactly
from penstock.worker.collections.patterns import expanded

_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


def check(settings: Settings) -> Iterator[CheckFinding]:
    """Yield the findings as they come: of the settings, of the source, of the sink. Nothing that it makes stays."""
    for collection in settings.collections:
        yield from _collection_findings(collection)
    for reaction in settings.reactions:
        yield from _reaction_findings(reaction)
    with closing(Inspection(_without_patterns(settings))) as seen:
        yield from source_findings(settings, seen)
        if any(settings.has_topics(each.namespace) for each in settings.collections):
            yield from _log_findings(seen.settings)
        yield from sink_findings(seen)
    if settings.pipeline.parking_queue:
        yield _queue_finding(settings)


def _log_findings(settings: Settings) -> Iterator[CheckFinding]:
    """The settings are those with what patterns match in their place."""
    try:
        from penstock.operations.check.log import log_findings  # noqa: PLC0415 (its client belongs to the extra `kafka`)
    except ModuleNotFoundError as error:
        todo = "install it with: pip install 'penstock[kafka]'"
        yield failure("log", "client", f"the package {error.name} is missing", todo, exit_code=SettingsError.exit_code)
        return
    yield from log_findings(settings)


def _without_patterns(settings: Settings) -> Settings:
    """With what is found for them; whether a server is there is among its findings."""
    try:
        return expanded(settings, note=False)
    except PenstockError:
        return settings.model_copy(update={"collections": tuple(exactly(settings))})


def _queue_finding(settings: Settings) -> CheckFinding:
    """Whether the queue of parked keys can be asked. It keeps nobody from a start."""
    try:
        waiting = parking_queue(settings).waiting()
    except (SettingsError, QueueUnavailable) as error:
        todo = "correct [pipeline] parking_queue, and allow sqs:* on this queue: `dead-letters replay --queue` needs it"
        return warning("settings", "parking queue", str(error), todo)
    if waiting:
        todo = "run `penstock dead-letters replay --queue`"
        return warning("settings", "parking queue", f"{counted(waiting, 'message')} with parked keys", todo)
    return ok("settings", "parking queue", "is empty")


def exit_code(findings: list[CheckFinding]) -> int:
    """0 without failures; else the exit code that a start would most likely end with."""
    return min((finding.exit_code for finding in findings if finding.verdict == "failure"), default=0)


def _collection_findings(collection: CollectionSettings) -> Iterator[CheckFinding]:
    """What can be seen without a server: the user's function and mapping file."""
    subject = collection.namespace
    try:
        Transform(collection)
    except SettingsError as error:
        yield failure("settings", subject, str(error))
    else:
        what = f"function {collection.function} was found" if collection.function else "the fields are declared"
        yield ok("settings", subject, what)
    if collection.mapping_file:
        try:
            body_for(collection, mapping=read_mapping(collection.mapping_file), meta={})
        except SettingsError as error:
            yield failure("settings", subject, "; ".join(error.problems), "correct the file")
        else:
            yield ok("settings", subject, f"mapping file {collection.mapping_file} can be read")


def _reaction_findings(reaction: ReactionSettings) -> Iterator[CheckFinding]:
    """The condition, and the target as far as it can be looked at; a target that is away is waited for."""
    subject = f"reaction {reaction.name}"
    try:
        condition_of(reaction.where)
        target = target_of(reaction)
    except SettingsError as error:
        yield failure("settings", subject, str(error), "correct its [[reactions]] table")
        return
    with closing(target):
        if problem := target.problem():
            yield warning("settings", subject, problem, "start it, or correct the table; until then it is waited for")
        else:
            yield ok("settings", subject, f"the {reaction.target} can be reached")
    url = urlsplit(reaction.url or "")
    if url.scheme == "http" and url.hostname not in _THIS_MACHINE:
        todo = "use https://: the body is the document"
        yield warning("settings", subject, f"documents are sent to {url.hostname} without encryption", todo)
