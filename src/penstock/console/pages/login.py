"""The page to log in at."""

from urllib.parse import urlsplit

import structlog
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from penstock.console.desk import Desk, Link
from penstock.console.jobs.job import Person
from penstock.console.jobs.log_ins import LogIns
from penstock.console.security.attempts import Attempts
from penstock.console.security.guard import LOG_IN, LOG_OUT, cookie_name, is_encrypted
from penstock.console.security.sessions import LASTS_S, LONGEST_NAME

LINKS: tuple[Link, ...] = ()

log = structlog.get_logger(__name__)


def routes(desk: Desk) -> list[Route]:
    """Return the routes of log-in and log-out."""
    attempts = Attempts()
    log_ins = LogIns(lambda: desk.jobs.activity, desk.stop)

    def log_in(request: Request, form: ImmutableMultiDict[str, str]) -> Response:
        address = _address_of(request, is_behind_proxy=desk.declared.console.behind_proxy)
        if wait_s := attempts.wait_s(address):
            log.warning("too many wrong tokens at the console", address=address)
            return _again(request, f"Too many wrong tokens. Try again in {wait_s:.0f} s.", 429, wait_s)
        role = desk.sessions.tokens.role_of(str(form.get("token", "")))
        if role is None:
            attempts.failed(address)
            log.warning("wrong token at the console", address=address)
            log_ins.refused(address)
            return _again(request, "This is not a token of this console.", 403)
        name = str(form.get("name", ""))
        if desk.sessions.tokens.role_of(name):
            name = ""  # a token in the wrong field, which nobody is to see
        log.info("log-in at the console", role=role, address=address)
        log_ins.let_in(Person(name.strip()[:LONGEST_NAME] or role, role), address)
        answer = RedirectResponse(_own_path(str(form.get("next", ""))), status_code=303)
        answer.set_cookie(
            cookie_name(request, desk.declared.console),
            desk.sessions.open(role, name),
            max_age=LASTS_S,
            httponly=True,
            samesite="strict",
            secure=is_encrypted(desk.declared.console),
        )
        return answer

    def log_out(request: Request, _form: ImmutableMultiDict[str, str]) -> Response:
        answer = RedirectResponse(LOG_IN, status_code=303)
        console = desk.declared.console
        answer.delete_cookie(cookie_name(request, console), secure=is_encrypted(console), httponly=True)
        return answer

    def _again(request: Request, problem: str, status: int, wait_s: float = 0) -> Response:
        target = _own_path(str(request.state.form.get("next", "")))
        answer = desk.render(request, "login.html", {"problem": problem, "target": target}, status)
        if wait_s:
            answer.headers["Retry-After"] = f"{wait_s:.0f}"
        return answer

    return [
        desk.page(
            LOG_IN,
            "login.html",
            lambda request: {"problem": "", "target": _own_path(request.query_params.get("next", ""))},
        ),
        desk.action(LOG_IN, log_in),
        desk.action(LOG_OUT, log_out),
    ]


def _own_path(target: str) -> str:
    """Return the page to go to, which is one of ours: never the address of somebody else."""
    parts = urlsplit(target)
    is_own = target.startswith("/") and not target.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    return target if is_own and target.isprintable() else "/"


def _address_of(request: Request, *, is_behind_proxy: bool) -> str:
    """Return who asks; behind a proxy that is what the proxy added last, be it to a line or as a line of its own."""
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")) if is_behind_proxy else ""
    return forwarded.rpartition(",")[2].strip() or (request.client.host if request.client else "")
