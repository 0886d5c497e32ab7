"""What an option must be: each check returns the value, or raises ValueError with what is allowed.

Props are checked by `require`. Values of `-c` are text; cdk.json may contain numbers and booleans.
"""

import re
from collections.abc import Callable
from typing import Any

from penstock.settings import checks

Read = Callable[[Any], Any]

SECRET_ARN = r"arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@!-]+-\w{6}"  # noqa: S105 (a pattern)


def one_of(*allowed: str) -> Read:
    """Return a check for one of a few words."""

    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"it must be {' or '.join(allowed)}")
        return str(value)

    return read


def one_number_of(*allowed: int) -> Read:
    """Return a check for one of a few numbers."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or str(value) not in map(str, allowed):
            raise ValueError(f"it must be {', '.join(map(str, allowed[:-1]))} or {allowed[-1]}")
        return int(value)

    return read


def shaped(pattern: str, example: str) -> Read:
    """Return a check for a text that has a form."""

    def read(value: Any) -> str:
        if not re.fullmatch(pattern, str(value)):
            raise ValueError(f"it must look like {example}")
        return str(value)

    return read


def secrets_by_name(value: Any) -> tuple[tuple[str, str], ...]:
    """Check for NAME=ARN pairs, separated by commas."""
    pairs = [each.strip().partition("=") for each in str(value).split(",")]
    if not all(name and re.fullmatch(SECRET_ARN, arn) for name, _, arn in pairs):
        raise ValueError("it must look like paid-orders=arn:aws:secretsmanager:..., each with a whole ARN")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError("it must name each reaction once")
    return tuple((name, arn) for name, _, arn in pairs)


def require(construct: object, **props: tuple[Read, Any]) -> None:
    """Check the props of a construct. Raises ValueError, which names the construct and every prop that is wrong."""
    problems = []
    for name, (read, value) in props.items():
        try:
            read(value)
        except ValueError as error:
            problems.append(f"{type(construct).__name__}: {name} is {value!r}: {error}.")
    if problems:
        raise ValueError("\n".join(problems))


image = shaped(
    r"[\w.-]+(:\d+)?(/[\w.-]+)+(:[\w.-]+|@sha256:[0-9a-f]{64})",
    "registry/repository:tag or registry/repository@sha256:...",
)

prefix = shaped("[a-z][a-z0-9-]{0,18}", "search or change-streams-demo: lower case, 19 characters at most")


def several(pattern: str, example: str, *, least: int = 2) -> Read:
    """Return a check for two or more texts of a form: separated by commas, or a list in cdk.json."""
    how_many = {1: "one", 2: "two"}[least]

    def read(value: Any) -> tuple[str, ...]:
        found = tuple(value) if isinstance(value, list) else tuple(str(value).replace(" ", "").split(","))
        if len(found) < least or not all(re.fullmatch(pattern, str(each)) for each in found):
            raise ValueError(f"it must be {how_many} or more, such as {example}")
        return found

    return read


kms_key = shaped(r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+", "arn:aws:kms:REGION:ACCOUNT:key/ID")


def whole_number(least: int, most: int) -> Read:
    """Return a check for a whole number in a range, both ends included."""

    def read(value: Any) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"it must be a whole number from {least} to {most}")
        return int(text)

    return read


def true_or_false(value: Any) -> bool:
    """Check `true` or `false`, as text or as JSON."""
    if str(value).lower() not in ("true", "false"):
        raise ValueError("it must be true or false")
    return str(value).lower() == "true"


def engine_version(value: Any) -> str:
    """Check for an engine. Change streams of 8.0.0 are read by a worker only, not by Lambda's mapping."""
    return str(one_of("5.0.0", "4.0.0", "8.0.0")(value))


def database(value: Any) -> str:
    """Check the name of a database that both penstock and the mapping accept."""
    if not re.fullmatch(r'[^ /\\.$"]{1,63}', str(value)):
        raise ValueError('it must have 1 to 63 characters without space / \\ . $ "')
    checks.check_namespace(f"{value}.collection")
    return str(value)


def collection(value: Any) -> str:
    """Check the name of a collection that both penstock and the mapping accept."""
    if not re.fullmatch(r"(?!system\.)[_a-zA-Z0-9][^$\0]{0,56}", str(value)):
        raise ValueError(
            "it must have 1 to 57 characters without $ and start with a letter, digit or _, but not system.*"
        )
    return str(value)


def index(value: Any) -> str:
    """Check an index name by penstock's rules."""
    return checks.check_index_name(str(value))


def schedule(value: Any) -> str:
    """Check the form of an EventBridge expression; EventBridge itself checks its fields."""
    if not re.fullmatch(r"rate\([1-9]\d* (minute|hour|day)s?\)|cron\([^()\s]+( [^()\s]+){5}\)", str(value)):
        raise ValueError("it must look like rate(1 day), rate(12 hours) or cron(0 3 * * ? *)")
    return str(value)


def command(value: Any) -> str:
    """Check the arguments of `penstock`: only what a shell would read as plain words."""
    if not re.fullmatch(r"[a-z][\w-]*( [\w.,:=/@+-]+)*", str(value)):
        raise ValueError("it must be a penstock command with its arguments, such as `verify --repair`")
    return str(value)


def email(value: Any) -> str:
    """Check that it looks like an address; SNS sends it a message to confirm."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(value)):
        raise ValueError("it must be an e-mail address")
    return str(value)
