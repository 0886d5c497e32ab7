"""Workers and leases: which processes there are, whether each is alive, and who holds what."""

from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.operations.status.workers import WorkerStatus
from penstock.settings import Settings

LINKS: tuple[Link, ...] = (Link("Workers", "/workers"),)

_STATES = {"alive": "good", "silent": "bad", "unknown": "quiet"}
"""The look of each state of a process."""


def routes(desk: Desk) -> list[Route]:
    """Return the route of the page."""

    def read(_request: Request) -> Context:
        found = desk.status()
        return {
            "workers": found.workers,
            "captures": found.captures,
            "pipelines": found.pipelines,
            "groups": [each for each in found.collections if each.members or each.brought_by == "topics"],
            "slow": found.index_slow,
            "silent": [each for each in found.workers if each.state == "silent"],
            "alive": [each for each in found.workers if each.state == "alive" and not _only_captures(each)],
            "looks": _STATES,
            "brought_by": _brought_by(desk.settings),
        }

    return [desk.page("/workers", "workers.html", read, every_s=1.0)]


def _only_captures(worker: WorkerStatus) -> bool:
    """Whether a process feeds no index; the table of captures says of it what there is to say."""
    return bool(worker.pipelines) and all(name.startswith("capture/") for name in worker.pipelines)


def _brought_by(settings: Settings) -> str:
    """Who brings the changes of all collections, if no worker does: the words of `Settings.brought_by`."""
    found = {settings.brought_by(each.namespace) for each in settings.collections}
    return found.pop() if len(found) == 1 else ""
