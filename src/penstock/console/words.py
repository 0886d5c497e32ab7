"""How numbers and times are written on pages: the filters of the templates."""

import re
from datetime import UTC, datetime

from markupsafe import Markup

from penstock.model import seconds_of
from penstock.observe.wording import printable

NOTHING = "-"


def number(value: float | None) -> str:
    """A whole number with separators: 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A rate, with a decimal where it is small: 0.4, 12,345."""
    return NOTHING if value is None else f"{value:,.1f}" if 0 < value < 10 else f"{value:,.0f}"


def amount(value: float | None) -> str:
    """A number of any kind, as a legend has it: 0.25, 12.5, 1,234."""
    if value is None:
        return NOTHING
    return (
        f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"
    )


def seconds(value: float | None) -> str:
    """A short time: 0.4 s, 12 min, 3 h 20 min, 2 days."""
    if value is None:
        return NOTHING
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, hours = int(value // 60), int(value // 3600)
    if hours == 0:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} days"


def percent(share: float | None) -> str:
    """A share of one: 47 %."""
    return NOTHING if share is None else f"{share * 100:.0f} %"


def when(moment: datetime | float | None) -> str:
    """A time with its zone: 2026-11-29 21:04:05 UTC. A number is seconds since 1970."""
    if moment is None:
        return NOTHING
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def version_time(version: int | None) -> str:
    """The cluster time of a version."""
    return NOTHING if version is None else when(seconds_of(version))


def shown(value: object, *, but: str = "") -> str:
    """What came from outside, with its control characters escaped, except for those of `but`."""
    return printable(str(value), but=but)


def breakable(name: str) -> Markup:
    """A name that may be broken after a dot, a hyphen or an underscore rather than anywhere."""
    return Markup("<wbr>").join(piece for piece in re.split(r"(?<=[._-])", name) if piece)


def coded(text: str) -> Markup:
    """A text in which names stand between backquotes, as descriptions have them: they become code."""
    pieces = enumerate(text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(piece) if at % 2 else piece for at, piece in pieces)


FILTERS = {
    "printable": shown,
    "breakable": breakable,
    "coded": coded,
    "number": number,
    "rate": rate,
    "amount": amount,
    "seconds": seconds,
    "percent": percent,
    "when": when,
    "version_time": version_time,
}
