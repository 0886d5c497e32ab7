"""What a check found: one line of its table, and what to do about it."""

from typing import Literal, NamedTuple

from penstock.opensearch.http.client import Response
from penstock.opensearch.http.requests import error_of

CheckVerdict = Literal["ok", "warning", "failure"]
Area = Literal["settings", "source", "sink"]


class CheckFinding(NamedTuple):
    """One thing that was looked at; `todo` says what to do when it is not ok."""

    area: Area
    subject: str
    verdict: CheckVerdict
    detail: str
    todo: str = ""


def ok(area: Area, subject: str, detail: str) -> CheckFinding:
    """It is as it should be."""
    return CheckFinding(area, subject, "ok", detail)


def warning(area: Area, subject: str, detail: str, todo: str) -> CheckFinding:
    """It works, and could hurt later."""
    return CheckFinding(area, subject, "warning", detail, todo)


def failure(area: Area, subject: str, detail: str, todo: str = "") -> CheckFinding:
    """It keeps penstock from its work."""
    return CheckFinding(area, subject, "failure", detail, todo)


RIGHTS = "let the user read, write, create and delete indexes (AWS: es:ESHttp* on the domain and on /_bulk, /_mget)"


def refusal(answer: Response) -> str:
    kind, reason = error_of(answer)
    return f"refused ({answer.status} {kind}: {reason})"
