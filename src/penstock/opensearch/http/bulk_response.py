"""The response to a bulk request, taken apart: one item for each line, with the document that it names."""

from typing import Any, NamedTuple

from penstock.model import Outcome
from penstock.opensearch.http.client import Response
from penstock.opensearch.http.error_table import judge_item
from penstock.opensearch.http.waiting import Wait


class BulkItem(NamedTuple):
    """What the index answered to one line: for which document, and what became of it.

    `seq_no` and `primary_term` name the state that was written; -1 where nothing was, or nobody asked for them.
    """

    operation: str
    index_name: str
    id: str
    result: str
    status: int
    error: dict[str, Any] | None
    seq_no: int
    primary_term: int

    def judge(self) -> Outcome | Wait:
        """Return what it means. Raises IndexTakenAway, SinkUnavailable."""
        return judge_item(self.status, self.error, self.result)


def bulk_items(answer: Response) -> list[BulkItem] | None:
    """Return what was answered to each line; None when the response is not one to a bulk request."""
    parsed = answer.json()
    try:
        return [_item(*next(iter(each.items()))) for each in parsed["items"]]
    except (TypeError, KeyError, ValueError, AttributeError, StopIteration):
        return None


def _item(operation: str, answered: dict[str, Any]) -> BulkItem:
    return BulkItem(
        operation,
        str(answered.get("_index")),
        str(answered["_id"]),
        answered.get("result", ""),
        int(answered["status"]),
        answered.get("error"),
        answered.get("_seq_no", -1),
        answered.get("_primary_term", -1),
    )
