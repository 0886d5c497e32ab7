"""The overview: whether all is in step, and how each collection stands, the worst first."""

from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.console.verdict import SHORT_OF_TIME_S, Sentence, judge, sentence_of
from penstock.errors import PenstockError
from penstock.observe.logs import mask_credentials
from penstock.operations.status.status import Status, status

LINKS: tuple[Link, ...] = (Link("Overview", "/"),)


def routes(desk: Desk) -> list[Route]:
    """Return the route of the overview."""

    def read(request: Request) -> Context:
        wanted = request.query_params.get("filter", "").strip().lower()
        try:
            found = look(desk)
        except PenstockError as error:
            sentence = Sentence("bad", mask_credentials(str(error)), command="penstock check")
            return {"sentence": sentence, "collections": [], "wanted": wanted, "seen": False}
        judged = [judge(each, in_step_s=desk.intervals.in_step_s) for each in found.collections]
        return {
            "sentence": sentence_of(found, judged),
            "collections": sorted((each for each in judged if wanted in each.text), key=lambda each: each.place),
            "wanted": wanted,
            "seen": True,
            "short_of_time": SHORT_OF_TIME_S,
        }

    return [desk.page("/", "overview.html", read, every_s=1.0)]


def look(desk: Desk) -> Status:
    """Return how everything stands, read once for all viewers. Raises SettingsError, SinkUnavailable."""
    tables = [each.namespace for each in desk.declared.collections]
    return desk.looks.look("status", lambda: status(desk.settings, tables, desk.intervals))
