"""Sets up the log: lines for people on a terminal, JSON for machines; never a secret, never a document's body."""

import logging
import re
import sys
from typing import Any, TextIO, cast

import structlog

from penstock.observe.wording import printable
from penstock.settings import ObserveSettings

_CREDENTIALS = re.compile(r"(?<=://)\S*@")


class _Stderr:
    """Standard error at the moment of writing: a progress display may have replaced it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def set_up_logs(settings: ObserveSettings, *, process: int | None = None) -> None:
    """Send the log of the whole process to standard error; from libraries, only warnings and errors.

    Each line has the number `process`, if there is one.
    """
    for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    stderr = cast(TextIO, _Stderr())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if for_people else "iso", utc=not for_people),
    ]
    if process is not None:
        before.insert(0, lambda _logger, _method, event: {**event, "process": process})
    if for_people:  # JSON escapes by itself
        before += [structlog.processors.format_exc_info, _without_controls]
    rendering = _rendering(for_people)
    structlog.configure(
        processors=[*before, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(file=stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stderr)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=[without_meta, *rendering])
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("urllib3.connection").setLevel(
        logging.ERROR
    )  # its warning of an answer cut in its headers says nothing more: we wait and log why


def mask_credentials(text: str) -> str:
    """Return the text without the user and password of any address in it."""
    return _CREDENTIALS.sub("***@", text)


def _rendering(for_people: bool) -> list[Any]:
    if for_people:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        return [console, _masked]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str), _masked]


def _without_controls(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Escape the control characters of every text, which would be written as they are; a traceback keeps its lines."""
    return {
        name: printable(value, but="\n\t" if name == "exception" else "") if isinstance(value, str) else value
        for name, value in event.items()
    }


def _masked(_logger: Any, _method: str, line: str) -> str:
    """Mask credentials as the last step, so that nothing bypasses it, not even a traceback."""
    return mask_credentials(line)
