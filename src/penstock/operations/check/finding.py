"""What a check found: one line of its table, and what to do about it."""

from typing import Literal, NamedTuple

from penstock.errors import IndexTakenAway, SettingsError, SinkUnavailable, SourceUnavailable
from penstock.opensearch.http.client import Response
from penstock.opensearch.http.error_table import judge_request
from penstock.opensearch.http.requests import error_of
from penstock.opensearch.http.waiting import TODO_OF_WAIT, Wait

CheckVerdict = Literal["ok", "warning", "failure"]
Area = Literal["settings", "source", "log", "sink"]


class CheckFinding(NamedTuple):
    """One thing that was looked at; `todo` says what to do when it is not ok."""

    area: Area
    subject: str
    verdict: CheckVerdict
    detail: str
    todo: str = ""
    exit_code: int = 0
    """What `penstock run` would end with because of it."""


def ok(area: Area, subject: str, detail: str) -> CheckFinding:
    """It is as it should be."""
    return CheckFinding(area, subject, "ok", detail)


def warning(area: Area, subject: str, detail: str, todo: str) -> CheckFinding:
    """It works, and could hurt later."""
    return CheckFinding(area, subject, "warning", detail, todo)


def failure(area: Area, subject: str, detail: str, todo: str = "", *, exit_code: int = 0) -> CheckFinding:
    """It keeps penstock from its work: `run` is refused, too."""
    return CheckFinding(area, subject, "failure", detail, todo, exit_code or _EXIT_CODES[area])


_EXIT_CODES: dict[Area, int] = {
    "settings": SettingsError.exit_code,
    "source": SourceUnavailable.exit_code,
    "log": SourceUnavailable.exit_code,
    "sink": SinkUnavailable.exit_code,
}


def refused(subject: str, answer: Response, *, otherwise: str) -> CheckFinding:
    """What OpenSearch did not do, with what to do about an error of this type; `otherwise` for any other."""
    kind, reason = error_of(answer)
    detail = f"refused ({answer.status} {kind}: {reason})"
    try:
        verdict = judge_request(answer, subject)
    except SinkUnavailable as error:
        return failure("sink", subject, detail, error.todo)
    except IndexTakenAway:
        return failure("sink", subject, detail, otherwise)
    if isinstance(verdict, Wait):
        return warning("sink", subject, f"{detail}: penstock waits for it", TODO_OF_WAIT[verdict.reason])
    return failure("sink", subject, detail, otherwise)
