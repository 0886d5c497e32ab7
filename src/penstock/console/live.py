"""The stream of a page: once a second, the parts that changed.

A page is rendered once for all who look at it, and compared with what each of them has. `part` marks a piece that can
be sent alone; when anything outside of the parts changes, the whole is sent.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from penstock.console.security.sessions import Session

_MARK: Final = f"\x00{secrets.token_hex(16)}\x00"
"""Stands before and after the name of a part. No text that comes from outside can hold it."""

_ALIVE_EVERY: Final = 15
"""After this number of looks without a change something is sent, so that nothing on the way closes the stream."""


@dataclass
class Parts:
    """Collects the parts of a page while it is rendered, and leaves a mark in the place of each."""

    found: dict[str, str] = field(default_factory=dict)

    def part(self, name: str, caller: Callable[[], Markup]) -> Markup:
        """Take one element, whose id is the name.

        In a template: `{% call part("row-7") %}<tr id="row-7">...</tr>{% endcall %}`.
        """
        self.found[name] = str(caller()).strip()
        return Markup(f"{_MARK}{name}{_MARK}")  # noqa: S704 (what is between the marks is looked up, not shown)


class Rendered(NamedTuple):
    """A page's live block: its text with marks, and the parts that belong there."""

    frame: str
    parts: dict[str, str]

    @property
    def whole(self) -> str:
        """The text as it is shown."""
        pieces = self.frame.split(_MARK)
        return "".join(self.parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


async def changes(
    render: Callable[[], Rendered],
    *,
    every_s: float,
    still: Callable[[], bool],
    personal: Callable[[str], str],
) -> AsyncIterator[str]:
    """Yield server-sent events: `whole` at first, then `parts` with what changed.

    It ends when `still` says so. `personal` puts in what differs between viewers.
    """
    seen: Rendered | None = None
    silent = 0
    while await run_in_threadpool(still):
        now = await run_in_threadpool(render)
        event = _event(seen, now)
        silent = 0 if event else silent + 1
        if event:
            yield personal(event)
        elif silent % _ALIVE_EVERY == 0:
            yield ": still here\n\n"
        seen = now
        await asyncio.sleep(every_s)


def _event(seen: Rendered | None, now: Rendered) -> str:
    if seen is None or seen.frame != now.frame:
        return f"event: whole\ndata: {json.dumps(now.whole)}\n\n"
    changed = {name: part for name, part in now.parts.items() if part != seen.parts[name]}
    return f"event: parts\ndata: {json.dumps(changed)}\n\n" if changed else ""


def is_stream(request: Request) -> bool:
    """Whether a browser opens the page's stream, rather than the page."""
    return request.method == "GET" and "text/event-stream" in request.headers.get("accept", "")


def session_of(request: Request) -> Session | None:
    """Who asks."""
    session: Session | None = request.state.session
    return session
