"""`penstock status`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from penstock.cli.preparation import prepare_to_look
from penstock.cli.tables import as_table_or_lists, say, terminal_width
from penstock.errors import QueueUnavailable, SourceUnavailable
from penstock.observe.wording import counted
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.operations.inspect.members import MemberStatus
    from penstock.operations.status.captures import CaptureStatus
    from penstock.operations.status.history import History, Span
    from penstock.operations.status.reactions import ReactionStatus
    from penstock.operations.status.report import CollectionStatus, Status
    from penstock.operations.status.shared_load import LoadStatus

_COLUMNS = ("collection", "index", "state", "in source", "in index", "writes/s", "lag", "dead letters", "time left")
_REACTION_COLUMNS = ("reaction", "target", "state", "pending", "lag", "dead letters", "time left")
_TEXTS = 3
"""How many columns, the first ones, hold words; the others hold numbers."""


def status(
    settings: Settings,
    intervals: Intervals,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    reactions: Annotated[bool, typer.Option("--reactions", help="Show the reactions alone.")] = False,
    history: Annotated[
        Literal["15m", "1h", "6h", "7d"] | None,
        typer.Option("--history", help="Show the history of lag, rate and write latency of this span instead."),
    ] = None,
) -> None:
    """Show the status of each collection: state, documents on both sides, rate, lag, dead letters, time left.

    The states are: waiting (no worker has started), unserved (it cannot be served yet; the reason is shown), loading,
    live, dropped (the collection was dropped, its documents are kept), reconciling (the collection is back and is being
    loaded again), stopped (no worker is running), standby (topics of Kafka feed it, and no process has partitions yet)
    and mapped (an event source mapping of AWS Lambda feeds the index, and only AWS knows its state). The time left is
    how long the source will still have the changes that are needed next; it is shown if [source] retention_s is set.

    Of what topics of Kafka feed, it says which processes take part, with which partitions, and how many records they
    hold that are not yet in the index; of `penstock capture`, which process captures each database, and its lag.

    A second table has the reactions: live, failed (it is tried again), stopped (no worker is running, or by an error,
    which is shown), waiting (no worker has started) and mapped; and how many events the target has not accepted yet.

    The history comes from the samples that workers keep in OpenSearch: every 10 s for 7 days, every 10 minutes for 90
    days. Collections that share a pipeline share its history. What a mapping of AWS Lambda feeds has none here.
    """
    if history:
        _show_history(settings, intervals, history, as_json=as_json)
        return
    from penstock.operations.status import status as looking

    tables = [each.namespace for each in settings.collections]
    found = looking.status(prepare_to_look(settings), tables, intervals)
    if as_json:
        shown = found.reactions if reactions else found.collections
        typer.echo(json.dumps([asdict(each) for each in shown], indent=1))
    elif reactions:
        _say_reactions(found.reactions)
    else:
        _say_all(found)
    if found.source_problem:
        raise SourceUnavailable(found.source_problem)
    if found.queue_problem:
        raise QueueUnavailable(found.queue_problem)


def _say_all(found: "Status") -> None:
    rows = [_COLUMNS, *(row for each in found.collections for row in _rows(each))]
    for line in as_table_or_lists(rows, texts=_TEXTS, width=terminal_width()):
        say(line)
    if found.reactions:
        say("")
        _say_reactions(found.reactions)
    for capture in found.captures:
        say(_capture(capture))
    for each in found.collections:
        if each.load:
            say(_load(each.namespace, each.load))
        for line in _remarks(each):
            say(line)
    if found.parked:
        waiting = f"{counted(found.parked, 'message')} with parked keys"
        say(f"{_loud(waiting)} in the queue; write them with: penstock dead-letters replay --queue")


_HISTORY = {
    "lag_s": ("lag s", 1),
    "written": ("written/s", 1),
    "write_p99_ms": ("write p99 ms", 0),
    "accepted": ("accepted/s", 1),
    "pending": ("pending", 0),
}
"""What is drawn, with its decimals: where there is nothing of it, it is left out."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_PICTURE = 40


def _show_history(settings: Settings, intervals: Intervals, span: "Span", *, as_json: bool) -> None:
    from penstock.operations.status.history import histories
    from penstock.operations.status.watch import StatusWatch

    with closing(StatusWatch(prepare_to_look(settings), intervals=intervals)) as watch:
        watch.look()
        names = watch.pipelines
        found = histories(watch.view.states, names, span)
    if as_json:
        shown = [{"shows": names[name], **each.as_json()} for name, each in found.items()]
        typer.echo(json.dumps(shown, indent=1))
        return
    if settings.pipeline.parking_queue:
        say("an event source mapping of AWS Lambda feeds the indexes, and keeps no samples: see CloudWatch")
    rows: list[tuple[str, ...]] = [("history of", "", f"last {span}", "min", "max", "last")]
    for name, each in found.items():
        rows += _history_rows(names[name], each)
    for line in as_table_or_lists(rows, texts=_TEXTS, width=terminal_width()):
        say(line)


def _history_rows(title: str, history: "History") -> Iterator[tuple[str, ...]]:
    """Yield a row for each column of which something is known."""
    is_first = True
    for column, (words, decimals) in _HISTORY.items():
        known = [each for each in history.columns[column] if each is not None]
        if known:
            picture = sparkline(history.buckets(column, _PICTURE))
            numbers = (f"{each:,.{decimals}f}" for each in (min(known), max(known), known[-1]))
            yield (title if is_first else "", words, picture, *numbers)
            is_first = False
    if is_first:
        yield (title, "no samples", "", "", "", "")


def sparkline(values: Sequence[float | None]) -> str:
    """Return a block for each value, as high as it is compared with the highest one; a space where there is none."""
    most = max((each for each in values if each is not None), default=0.0)
    heights = len(_BLOCKS) - 1
    return "".join(" " if each is None else _BLOCKS[round(each / most * heights) if most > 0 else 0] for each in values)


def _say_reactions(found: Sequence["ReactionStatus"]) -> None:
    rows = [
        _REACTION_COLUMNS,
        *(
            [
                *(each.name, each.target, _state(each.state, None), _number(each.pending), _lag(each.lag_s)),
                *(_letters(each.dead_letters), _left(each.position_left_s)),
            ]
            for each in found
        ),
    ]
    for line in as_table_or_lists(rows, texts=_TEXTS, width=terminal_width()):
        say(line)
    for each in found:
        if each.waiting_for:
            say(f"{_loud(each.name + ' waits for its target')}: {each.waiting_for}")
        if each.reason and each.state != "live":
            say(f"{_loud(f'{each.name} has {each.state}')}: {each.reason}")


def _rows(line: "CollectionStatus") -> Iterator[Sequence[str]]:
    """Yield the row of the collection, then one for each of its generations if there are several."""
    yield _row(line)
    for each in line.generations:
        yield [
            f"  {each.role}",
            each.index,
            _state(each.state, each.loaded),
            "",
            _number(each.documents_index),
            "",
            _lag(each.lag_s),
            _letters(each.dead_letters),
            "",
        ]


def _remarks(line: "CollectionStatus") -> Iterator[str]:
    if line.unserved:
        yield f"{_loud(f'{line.namespace} is not served')}: {line.unserved}; `penstock check` says what to do"
    if line.lost:
        yield f"{_loud('position lost')}: {line.namespace}, {line.lost}; it is being loaded again"
    if line.held_for:
        yield (
            f"{_loud(line.namespace + ' is not fed')}: a worker holds the lease of pipeline {line.pipeline} for"
            f" {line.held_for}; let it feed all of them, or give each deployment a [pipeline] name"
        )
    if line.searched_in:
        where = f"the alias {line.index} points to {line.searched_in}, which penstock does not update"
        yield f"{_loud(where)}; move the alias back unless that is intended"
    for each in line.generations:
        if each.failed:
            yield f"{_loud(each.index + ' is not being updated')}: {each.failed}"
    yield from _of_group(line)
    if line.renamed_to:
        yield f"{line.namespace}: was renamed; its index is fed from {line.renamed_to}"
    if line.ignored and line.ignored.documents:
        what = f"{_loud(str(line.ignored))}: the values do not fit the mapping"
        yield f"{line.namespace}: {what}; see: penstock check"
    if line.moved_on:
        changed = ", ".join(line.moved_on)
        yield f"{line.namespace}: the settings have changed ({changed}); apply: penstock reindex {line.namespace}"


def _of_group(line: "CollectionStatus") -> Iterator[str]:
    if line.members:
        yield f"{line.namespace}: {counted(len(line.members), 'member')} of its group, {_behind(line.records_behind)}"
    elif line.brought_by == "topics":
        yield f"{_loud(line.namespace + ' is not fed')}: its consumer group has no member; start `penstock apply`"
    for each in line.members:
        yield f"  {each.host} process {each.pid}: {_partitions(each)}"


def _capture(capture: "CaptureStatus") -> str:
    """Say who captures, or what follows while nobody does."""
    if capture.state == "live":
        by = f"{capture.host} process {capture.pid}, lag {_lag(capture.lag_s)}"
        return f"{capture.name}: captured by {by}; {capture.standbys} on standby"
    if capture.state == "standby":
        return f"{capture.name}: {counted(capture.standbys, 'process')} of capture stand by, and none captures yet"
    since = "" if capture.lag_s is None else f", and is {capture.lag_s:,.0f} s now"
    grows = f"the lag of {', '.join(capture.collections)} grows{since}; start `penstock capture`"
    return f"{_loud(f'no process is known to capture {capture.name}')}: {grows}"


def _load(namespace: str, load: "LoadStatus") -> str:
    """Say how far a shared load is, and who reads what."""
    left = "" if load.eta_s is None else f", about {load.eta_s:,.0f} s left"
    who = ", ".join(name if number is None else f"{name} reads range {number}" for name, number in load.members.items())
    done = f"{load.done:,} of {counted(load.ranges, 'range')}, {counted(load.documents, 'document')}{left}"
    return f"{namespace}: {done}; {who or _loud('nobody takes part: start penstock apply or penstock load')}"


def _row(line: "CollectionStatus") -> Sequence[str]:
    return [
        line.namespace,
        line.index,
        _state(line.state, line.loaded),
        _number(line.documents_source),
        _number(line.documents_index),
        "-" if line.writes_per_s is None else f"{line.writes_per_s:,.0f}",
        _lag(line.lag_s),
        _letters(line.dead_letters),
        _left(line.position_left_s),
    ]


def _state(state: str, loaded: float | None) -> str:
    if loaded is not None and state in ("loading", "reconciling"):
        return f"{state} {loaded:.0%}"
    return _loud(state) if state in ("stopped", "failed", "unserved") else state


def _partitions(member: "MemberStatus") -> str:
    if not member.topics:
        return "stands by"
    topics = "; ".join(f"{topic} {', '.join(its)}" for topic, its in member.topics.items())
    return f"{topics}; {_behind(member.behind)}"


def _behind(records: int | None) -> str:
    return "records behind not known yet" if records is None else f"{counted(records, 'record')} behind"


def _lag(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f} s"


def _letters(count: int) -> str:
    return _loud(f"{count:,}") if count else "0"


def _loud(text: str) -> str:
    return typer.style(text, fg="red", bold=True)


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds <= 0:
        return _loud("lost")
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min"
