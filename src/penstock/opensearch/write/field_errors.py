"""What a refusal says of a document's fields, where it says anything of them.

mixed      the field is new, and gets values of two types at once: within this document, or from two requests
shapes     the same, where one of the two is a document
full       the index has as many fields as it may have
field      the index has the field, and the value does not fit
dropped    an ingest pipeline of the index dropped the document; it names no field
"""

import re
from typing import Literal, NamedTuple

from penstock.opensearch.http.error_table import DROPPED

FieldErrorKind = Literal["mixed", "shapes", "full", "field", "dropped"]


class FieldError(NamedTuple):
    """Why the index refused a document, and at which field (a dotted path; empty where it names none)."""

    kind: FieldErrorKind
    field: str = ""


_WORDS: tuple[tuple[FieldErrorKind, str], ...] = (
    ("full", r"illegal_argument_exception: Limit of total fields \[\d+\] has been exceeded()$"),
    ("shapes", r"\w+: mapper \[(.+)\] cannot be changed from type \[.+\] to \[ObjectMapper\]"),
    ("shapes", r"\w+: can't merge a non object mapping \[(.+)\] with an object mapping"),
    ("mixed", r"\w+: mapper \[(.+)\] cannot be changed from type \[.+\] to \[.+\]"),
    ("field", r"\w+: object mapping for \[(.+)\] tried to parse field \[.*\] as object, but found a concrete"),
    ("field", r"\w+: Could not dynamically add mapping for field .+ mapping for \[(.+)\] must be of type object"),
    ("field", r"\w+: failed to parse field \[(.+)\] of type \["),
    ("field", r'\w+: Document contains at least one immense term in field="(.+?)"'),
)
"""OpenSearch's own words, at the place where they stand: right after the type of the first cause. Anywhere else they
may be the name of a field."""

_PATTERNS = tuple((kind, re.compile(words)) for kind, words in _WORDS)


def objection_in(reason: str) -> FieldError | None:
    """What the reason of a refusal says of a field, None when it speaks of something else."""
    if reason == DROPPED:
        return FieldError("dropped")
    for kind, words in _PATTERNS:
        if found := words.match(reason):
            return FieldError(kind, found[1])
    return None
