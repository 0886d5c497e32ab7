"""Texts for people: counts, and what came from outside without its control characters."""

import re

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, what turns the direction of writing, and halves of characters."""


def counted(number: int, thing: str) -> str:
    """Return `1 document`, `1,000 documents`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def printable(text: str, *, but: str = "") -> str:
    """Return the text with its control characters escaped, except for those of `but`."""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in but else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
