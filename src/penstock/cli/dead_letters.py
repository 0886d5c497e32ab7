"""`penstock dead-letters list`, `show` and `drop`."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.letter_filters import Collections, Document, NewerThan, OlderThan, ReactionName, Reason, wanted
from penstock.cli.preparation import prepare_to_look, prepare_to_work
from penstock.cli.signals import stop_signals
from penstock.cli.tables import aligned, as_table_or_lists, cut, on_one_line, say, terminal_width
from penstock.errors import IndexUnreadable, SettingsError, SourceUnavailable
from penstock.model import Namespace, seconds_of
from penstock.observe.wording import counted
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.opensearch.dead_letters.letter import StoredLetter
    from penstock.opensearch.dead_letters.search import LetterFilter, LetterTally
    from penstock.operations.dead_letters.listing import JudgedLetter, Listing

_COLUMNS = ("collection", "document", "state", "age", "reason")
_EVENT_COLUMNS = ("event", "age", "reason")
_NAMES = 3
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def list_(
    settings: Settings,
    collections: Collections = None,
    reason: Reason = "",
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    reaction: ReactionName = "",
    limit: Annotated[int, typer.Option("--limit", min=0, max=10_000, help="How many to show, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show the dead letters, newest first, and the most common reasons.

    The states are: open (the document still has to be indexed), superseded (the index holds this version of the
    document or a later one), deleted (the source no longer has the document), no collection (the source no longer has
    the collection) and unknown (the source or the index cannot be asked). A replay removes superseded and deleted ones.
    With --reaction, the events that its target refused are shown.
    """
    from penstock.operations.dead_letters.listing import list_letters

    settings = prepare_to_look(settings)
    if reaction:
        which = wanted(settings, collections, reason, older_than, newer_than, reaction)
        _list_events(settings, which, limit=limit, as_json=as_json)
        return
    listing = list_letters(settings, wanted(settings, collections, reason, older_than, newer_than), limit=limit)
    if as_json:
        typer.echo(json.dumps(_listing(listing), indent=1))
    else:
        for line in _lines(listing, width=terminal_width()):
            say(line)
    if listing.source_problem:
        raise SourceUnavailable(listing.source_problem)
    if listing.index_problem:
        raise IndexUnreadable(listing.index_problem)


def show(
    settings: Settings,
    namespace: Annotated[str, typer.Argument(metavar="COLLECTION", help="As database.collection.")],
    document: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The document id as `list` shows it, or the _id as extended JSON. With --reaction: the event's id.",
        ),
    ],
    reaction: ReactionName = "",
    body: Annotated[
        bool, typer.Option("--body", help="Also print what was refused, which is the document's content.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show one dead letter with all its details. The exit code is 1 if there is none."""
    from penstock.operations.dead_letters.listing import find_letter
    from penstock.operations.explain.document_ref import asked_id

    settings = prepare_to_look(settings)
    if reaction:
        _show_event(settings, reaction, namespace, document, body=body, as_json=as_json)
        return
    text = asked_id(document).text
    found = find_letter(settings, Namespace.named(namespace), text)
    if found is None:
        say(f"{namespace} has no dead letter for the document {on_one_line(text)}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(_whole(found, with_body=body), indent=1))
        return
    for line in aligned(list(_rows(found)), texts=2):
        say(line)
    if body and found.letter.body is not None:
        say(found.letter.body)


def drop(
    settings: Settings,
    collections: Collections = None,
    reason: Reason = "",
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    reaction: ReactionName = "",
    documents: Document = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All dead letters of the declared collections, or of the reaction.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; for scripts.")] = False,
) -> None:
    """Remove dead letters without a replay: source and index stay as they are, and the letters are gone for good.

    The command asks for confirmation. A dead letter that is stored in the meantime stays.
    """
    from penstock.operations.dead_letters import listing, reactions

    if not (collections or reason or older_than or newer_than or documents or everything):
        raise SettingsError(
            "say which dead letters to drop: name a collection, or give --reason, --document, --older-than,"
            " --newer-than or --all"
        )
    settings = prepare_to_work(settings, note=False)
    which = wanted(settings, collections, reason, older_than, newer_than, reaction, documents)
    if not yes and reaction:
        _ask(reactions.newest(settings, which, limit=0)[1])
    elif not yes:
        _ask(listing.list_letters(settings, which, limit=0).tally)
    open_letters = reactions.kept_events if reaction else listing.kept_letters
    with stop_signals() as signals, open_letters(settings, signals.stop) as kept:
        say(f"{counted(listing.drop(kept, which, signals.stop), 'dead letter')} dropped")
    raise typer.Exit(signals.exit_code(endless=False))


def _list_events(settings: Settings, which: "LetterFilter", *, limit: int, as_json: bool) -> None:
    from penstock.operations.dead_letters.reactions import newest

    letters, tally = newest(settings, which, limit=limit)
    if as_json:
        found = {"letters": [_event(each) for each in letters], "total": tally.total, "reasons": dict(tally.reasons)}
        typer.echo(json.dumps(found, indent=1))
        return
    width, now = terminal_width(), datetime.now(UTC)
    rows = [(on_one_line(each.id), _age(now - each.stored_at), on_one_line(each.reason)) for each in letters]
    if rows:
        table = cut([_EVENT_COLUMNS, *rows], width=width)
        for line in as_table_or_lists(table, texts=len(_EVENT_COLUMNS), width=width):
            say(line)
    for line in _rest(tally, len(rows)):
        say(line)


def _show_event(settings: Settings, reaction: str, namespace: str, event_id: str, *, body: bool, as_json: bool) -> None:
    from penstock.operations.dead_letters.reactions import find_event

    found = find_event(settings, reaction, Namespace.named(namespace), event_id)
    if found is None:
        say(f"reaction {reaction} has no dead letter for the event {on_one_line(event_id)}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps({**_event(found), **({"event": found.body} if body else {})}, indent=1))
        return
    rows = [
        ("event", on_one_line(found.id)),
        ("collection", str(found.namespace)),
        ("stored", _stored(found)),
        ("reason", on_one_line(found.reason)),
        ("size", counted(found.body_bytes, "byte")),
    ]
    for line in aligned(rows, texts=2):
        say(line)
    if body and found.body is not None:
        say(found.body)


def _event(letter: "StoredLetter") -> dict[str, Any]:
    return {
        "id": letter.id,
        "collection": str(letter.namespace),
        "stored_at": letter.stored_at.isoformat(),
        "version": letter.version,
        "reason": letter.reason,
        "bytes": letter.body_bytes,
    }


def _ask(tally: "LetterTally") -> None:
    """Ask for confirmation; raises SettingsError if there is no terminal to ask on."""
    for name, count in tally.collections.items():
        say(f"{name}: {counted(count, 'dead letter')}", err=True)
    if tally.total and not sys.stdin.isatty():
        raise SettingsError(
            f"{counted(tally.total, 'dead letter')} would be dropped; give --yes to confirm without a terminal"
        )
    if tally.total:
        typer.confirm(f"Drop {counted(tally.total, 'dead letter')}?", abort=True, err=True)


def _lines(listing: "Listing", *, width: int | None) -> Iterator[str]:
    rows = [_row(each) for each in listing.letters]
    if rows:
        yield from as_table_or_lists(cut([_COLUMNS, *rows], width=width), texts=len(_COLUMNS), width=width)
    yield from _rest(listing.tally, len(rows))
    if listing.tally.reasons:
        yield from ("", "most common reasons:")
        yield from aligned([[f"  {count:,}", text] for text, count in listing.tally.reasons.items()], texts=2)
    if listing.undeclared:
        letters = counted(sum(listing.undeclared.values()), "dead letter")
        names = sorted(listing.undeclared)
        shown = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
        yield f"also {letters} of collections not declared here: {shown}"
    for name, count in listing.reactions.items():
        yield f"also {counted(count, 'dead letter')} of the reaction {name}; see them with --reaction {name}"


def _rest(tally: "LetterTally", shown: int) -> Iterator[str]:
    """Say how many letters there are besides those that are shown."""
    if more := tally.total - shown:
        yield f"{more:,} more; raise --limit to see them" if shown else counted(more, "dead letter")
    if not tally.total:
        yield "no dead letters"


def _row(judged: "JudgedLetter") -> list[str]:
    letter = judged.letter
    return [
        str(letter.namespace),
        on_one_line(letter.id),
        judged.state,
        _age(datetime.now(UTC) - letter.stored_at),
        on_one_line(letter.reason),
    ]


def _rows(judged: "JudgedLetter") -> Iterator[tuple[str, str]]:
    letter = judged.letter
    written_at = datetime.fromtimestamp(seconds_of(letter.version), UTC)
    yield "collection", str(letter.namespace)
    yield "document", on_one_line(letter.id)
    yield "_id", on_one_line(letter.id_json)
    yield "state", judged.state
    yield "stored", _stored(letter)
    yield "version", f"{letter.version}, of {written_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "refused by", letter.alias
    yield "reason", on_one_line(letter.reason)
    yield "body", _kept(judged)


def _stored(letter: "StoredLetter") -> str:
    return f"{letter.stored_at:%Y-%m-%d %H:%M:%S} UTC, {_age(datetime.now(UTC) - letter.stored_at)} ago"


def _kept(judged: "JudgedLetter") -> str:
    letter = judged.letter
    if not letter.body_bytes:
        return "none: the document was refused before there was one"
    size = counted(letter.body_bytes, "byte")
    if letter.body is None:
        return f"{size}, not kept because there were too many dead letters"
    return f"{size}, {len(letter.body.encode()):,} kept; print them with --body"


def _listing(listing: "Listing") -> dict[str, Any]:
    return {
        "letters": [_whole(each, with_body=False) for each in listing.letters],
        "total": listing.tally.total,
        "collections": dict(listing.tally.collections),
        "reasons": dict(listing.tally.reasons),
        "undeclared": listing.undeclared,
        "reactions": listing.reactions,
    }


def _whole(judged: "JudgedLetter", *, with_body: bool) -> dict[str, Any]:
    letter = judged.letter
    return {
        "collection": str(letter.namespace),
        "id": letter.id,
        "key": letter.id_json,
        "state": judged.state,
        "stored_at": letter.stored_at.isoformat(),
        "version": letter.version,
        "alias": letter.alias,
        "reason": letter.reason,
        "body_bytes": letter.body_bytes,
        **({"body": letter.body} if with_body else {}),
    }


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    return next((f"{seconds // size} {unit}" for size, unit in _UNITS if seconds >= size), f"{seconds} s")
