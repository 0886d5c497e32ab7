"""Words that give a reader pause, kept out of help, messages and docs; one list for all tests that look for them.

Each is correct English, but native writers of technical text do not use it this way. Who meets one in a failed test
says who does what, in the words of the second column.
"""

import re

BANNED = {
    "told": "say who reports what: reported, named, shown, logged",
    "anew": "again, from the start, reload",
    "by now": "leave it out, or: meanwhile, since then",
    "of now": "current, present",
    "beside": "next to, in addition to, while",
    "so many": "this number, up to N",
    "whoever": "anyone who, the person who, or name the person",
    "mend": "repair, fix",
}
_INFLECTED = {"mend": "mend(?:s|ed|ing)?"}
_WORDS = re.compile(
    r"\b(?:" + "|".join(_INFLECTED.get(word, word.replace(" ", r"\s+")) for word in BANNED) + r")\b", re.IGNORECASE
)
_CODE = re.compile(r"^(?P<fence>```|~~~).*?^(?P=fence)[^\n]*$|``.+?``|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def offences(text: str) -> list[str]:
    """Return one line for each banned word of a text: its line number, the word as written, and what to write.

    Code is skipped: fenced blocks and what stands between backticks. Inflected forms of "mend" count.
    """
    prose = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code.group()), text)
    return [
        f"line {prose.count(chr(10), 0, found.start()) + 1}: {found.group()!r}: {_instead(found.group())}"
        for found in _WORDS.finditer(prose)
    ]


def _instead(found: str) -> str:
    word = " ".join(found.lower().split())
    return BANNED["mend" if word.startswith("mend") else word]
