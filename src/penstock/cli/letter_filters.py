"""Flags that select dead letters: by collection, by a text in the reason, by age."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.model import Namespace

if TYPE_CHECKING:
    from penstock.opensearch.dead_letters.search import LetterFilter
    from penstock.settings import Settings

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=365_000)
_AGE = re.compile(r"(\d{1,7})([smhdw])")


def age(text: str) -> timedelta:
    """Read an age such as 90s, 30m, 2h, 7d or 2w."""
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not an age; write it as 90s, 30m, 2h, 7d or 2w")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if length > _LONGEST:
        raise typer.BadParameter(f"{text!r} is longer than a thousand years")
    return length


Collections = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[COLLECTION]...", help="Only dead letters of these, as database.collection.", show_default=False
    ),
]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", metavar="TEXT", help="Only dead letters with this text in the reason.", show_default=False
    ),
]
OlderThan = Annotated[
    timedelta | None,
    typer.Option("--older-than", parser=age, metavar="AGE", help="Only dead letters older than 90s, 30m, 2h, 7d, 2w."),
]
NewerThan = Annotated[
    timedelta | None,
    typer.Option("--newer-than", parser=age, metavar="AGE", help="Only dead letters newer than 90s, 30m, 2h, 7d, 2w."),
]


Document = Annotated[
    list[str] | None,
    typer.Option(
        "--document",
        metavar="ID",
        help="Only the dead letter of this document, or event; may be repeated.",
        show_default=False,
    ),
]
ReactionName = Annotated[
    str,
    typer.Option("--reaction", metavar="NAME", help="The dead letters of this reaction.", show_default=False),
]


def wanted(
    settings: "Settings",
    collections: Sequence[str] | None,
    reason: str,
    older_than: timedelta | None,
    newer_than: timedelta | None,
    reaction: str = "",
    documents: Sequence[str] | None = None,
) -> "LetterFilter":
    """Return the filter for these flags.

    Without a collection, it selects those of all declared collections, or of all that the reaction has.
    """
    from penstock.opensearch.dead_letters.search import LetterFilter
    from penstock.operations.dead_letters.listing import declared
    from penstock.operations.dead_letters.reactions import of_reaction
    from penstock.operations.explain.document_ref import asked_id

    now = datetime.now(UTC)
    everything = () if reaction else declared(settings)
    found = LetterFilter(
        tuple(map(Namespace.named, collections)) if collections else everything,
        reason,
        before=now - older_than if older_than else None,
        after=now - newer_than if newer_than else None,
        ids=tuple(each if reaction else asked_id(each).text for each in documents or ()),
    )
    return of_reaction(settings, reaction, found) if reaction else found
