"""The overview: whether all is in step, and how each collection stands, the worst first."""

from typing import Final

from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.console.live import is_stream
from penstock.console.plots import spark
from penstock.console.verdict import SHORT_OF_TIME_S, Sentence, judge, sentence_of
from penstock.errors import PenstockError
from penstock.observe.logs import mask_credentials

_OLD_S: Final = 3.0
"""What was seen longer ago than this is shown with its age."""

LINKS: tuple[Link, ...] = (Link("Overview", "/"),)


def routes(desk: Desk) -> list[Route]:
    """Return the route of the overview."""

    def read(request: Request) -> Context:
        wanted = request.query_params.get("filter", "").strip().lower()
        try:
            found, age_s = (desk.status(), 0.0) if is_stream(request) else desk.status_at_hand()
        except PenstockError as error:
            sentence = Sentence("bad", mask_credentials(str(error)), command="penstock check")
            return {"sentence": sentence, "collections": [], "wanted": wanted, "seen": False, "age_s": 0.0}
        judged = [judge(each, in_step_s=desk.intervals.in_step_s) for each in found.collections]
        return {
            "sentence": sentence_of(found, judged),
            "collections": sorted((each for each in judged if wanted in each.text), key=lambda each: each.place),
            "wanted": wanted,
            "seen": True,
            "age_s": age_s if age_s >= _OLD_S else 0.0,
            "short_of_time": SHORT_OF_TIME_S,
            "sparks": {name: spark(each, "lag_s") for name, each in desk.everything.lags.items()},
        }

    return [desk.page("/", "overview.html", read, every_s=1.0)]
