"""The sample's way of a sync function: one signed request to the index for each event; no versions, no deletes."""

from typing import Any

from penstock.lambdas.clients import settings, sink


def handler(envelope: Any, _context: Any) -> None:
    """Index the documents of the events, one after the other."""
    index = f"{settings().collections[0].alias}-g0"
    for each in envelope["events"]:
        document = dict(each["event"]["fullDocument"])
        key = document.pop("_id")["$oid"]
        answer = sink().request("PUT", f"/{index}/_doc/{key}", document)
        if not answer.ok:
            raise RuntimeError(f"the index answered {answer.status}: {answer.raw[:200]!r}")
