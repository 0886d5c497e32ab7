"""What a sweep deletes: what it asked for and was not told, and what can be no document of any source."""

from collections.abc import Sequence
from typing import Any

from penstock.documents.document_id import FOREIGN, HIDDEN, document_id
from penstock.memory.sink import MemorySink
from penstock.model import Write
from penstock.worker.sweep import IndexedId, SourceIds, sweep

ALIAS = "orders-g1-write"


def test_what_the_source_cannot_be_asked_for_stays_and_what_is_nobodys_goes() -> None:
    sink, asked = MemorySink(), list[Any]()
    page = [IndexedId(document_id(each), each) for each in ("held", "gone", "\udcff", {"a": "\udcfe"})]
    page += [IndexedId("n:abc", FOREIGN), IndexedId("h:", HIDDEN)]
    sink.write([Write(ALIAS, each.id, 1, b"{}") for each in page])

    def held(source_ids: Sequence[Any]) -> SourceIds:
        asked.extend(source_ids)
        return SourceIds(5, ["held"])

    assert sweep([page], held, sink, alias=ALIAS, send_within_s=60) == 2
    assert asked == ["held", "gone"]
    assert set(sink.documents(ALIAS)) == {"held", "h:", "bin:utf8:/w==", document_id({"a": "\udcfe"})}
