"""What a context value must be: each check answers the value, or raises ValueError with what is allowed.

Values of `-c` are text; cdk.json may hold numbers and booleans.
"""

import re
from collections.abc import Callable
from typing import Any

from penstock.settings import checks

Read = Callable[[Any], Any]


def one_of(*allowed: str) -> Read:
    """One of a few words."""

    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"allowed is {' or '.join(allowed)}")
        return str(value)

    return read


def whole_number(least: int, most: int) -> Read:
    """A whole number in a range, both ends included."""

    def read(value: Any) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"allowed is a whole number from {least} to {most}")
        return int(text)

    return read


def true_or_false(value: Any) -> bool:
    """`true` or `false`, as text or as JSON's own."""
    if str(value).lower() not in ("true", "false"):
        raise ValueError("allowed is true or false")
    return str(value).lower() == "true"


def engine_version(value: Any) -> str:
    """The two engines whose change streams a Lambda event source mapping reads."""
    if str(value).startswith("8"):
        raise ValueError(
            "Lambda's event source mapping does not read engine 8 (`Engine version 8.0.1 is not supported`); "
            "allowed is 5.0.0 or 4.0.0"
        )
    return str(one_of("5.0.0", "4.0.0")(value))


def database(value: Any) -> str:
    """A database that penstock and the mapping both take."""
    if not re.fullmatch(r'[^ /\\.$"]{1,63}', str(value)):
        raise ValueError('allowed are 1 to 63 characters without space / \\ . $ "')
    checks.check_namespace(f"{value}.collection")
    return str(value)


def collection(value: Any) -> str:
    """A collection that penstock and the mapping both take."""
    if not re.fullmatch(r"(?!system\.)[_a-zA-Z0-9][^$\0]{0,56}", str(value)):
        raise ValueError("allowed are 1 to 57 characters without $, the first a letter, digit or _, not system.*")
    return str(value)


def index(value: Any) -> str:
    """An index name by penstock's own rules."""
    return checks.check_index_name(str(value))


def schedule(value: Any) -> str:
    """An EventBridge expression; whether its fields make sense is EventBridge's to say."""
    if not re.fullmatch(r"rate\([1-9]\d* (minute|hour|day)s?\)|cron\([^()\s]+( [^()\s]+){5}\)", str(value)):
        raise ValueError("allowed is rate(1 day), rate(12 hours) or cron(0 3 * * ? *)")
    return str(value)


def command(value: Any) -> str:
    """Arguments of `penstock`; nothing that a shell would read as more than words."""
    if not re.fullmatch(r"[a-z][\w-]*( [\w.,:=/@+-]+)*", str(value)):
        raise ValueError("allowed are the words of a penstock command such as `verify --repair`")
    return str(value)


def email(value: Any) -> str:
    """Something an address can be; SNS sends it a message that asks to confirm."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(value)):
        raise ValueError("allowed is an e-mail address")
    return str(value)
