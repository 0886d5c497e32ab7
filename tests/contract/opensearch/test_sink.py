"""The promises of `penstock.ports.Sink`, kept by the sink in memory and by the real one."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.errors import ReadAgain
from penstock.memory.sink import MemorySink
from penstock.model import SUPERSEDED, WRITTEN, Refusal, Write
from penstock.ports import Sink
from testkit.sink_access import side


class SinkContract:
    """Run on each sink; `aliases` are two write aliases of its own, empty at first."""

    sink: Sink
    aliases: tuple[str, str]

    def held(self, alias: str) -> dict[str, Any]:
        raise NotImplementedError

    def index(self, text_id: str, version: int, **document: Any) -> Write:
        return Write(self.aliases[0], text_id, version, json.dumps(document).encode())

    def delete(self, text_id: str, version: int) -> Write:
        return Write(self.aliases[0], text_id, version, None)

    def test_outcomes_come_in_the_order_of_the_writes(self) -> None:
        self.sink.write([self.index("a", 5, n=1), self.index("b", 5, n=1)])
        writes = [self.index("c", 1, n=2), self.index("a", 4, n=2), self.delete("b", 6), self.index("d", 1, n=2)]
        assert self.sink.write(writes) == [WRITTEN, SUPERSEDED, WRITTEN, WRITTEN]
        assert self.held(self.aliases[0]) == {"a": {"n": 1}, "c": {"n": 2}, "d": {"n": 2}}

    def test_nothing_to_write_is_answered_with_nothing(self) -> None:
        assert self.sink.write([]) == []

    def test_an_equal_version_is_written_again(self) -> None:
        assert self.sink.write([self.index("a", 5, n=1)]) == [WRITTEN]
        assert self.sink.write([self.index("a", 5, n=2)]) == [WRITTEN]
        assert self.held(self.aliases[0]) == {"a": {"n": 2}}

    def test_deleting_what_is_absent_is_written_and_keeps_older_states_out(self) -> None:
        assert self.sink.write([self.delete("a", 5)]) == [WRITTEN]
        assert self.sink.write([self.index("a", 4, n=1)]) == [SUPERSEDED]
        assert self.sink.write([self.index("a", 6, n=2)]) == [WRITTEN]
        assert self.held(self.aliases[0]) == {"a": {"n": 2}}

    def test_an_older_delete_is_superseded(self) -> None:
        self.sink.write([self.index("a", 5, n=1)])
        assert self.sink.write([self.delete("a", 4)]) == [SUPERSEDED]
        assert self.held(self.aliases[0]) == {"a": {"n": 1}}

    def test_versions_are_as_large_as_cluster_times(self) -> None:
        version = (2**31 - 1) << 32 | 2**31
        assert self.sink.write([self.index("a", version, n=1)]) == [WRITTEN]
        assert self.sink.write([self.index("a", version - 1, n=2)]) == [SUPERSEDED]

    @pytest.mark.parametrize(
        ("text_id", "version", "body"),
        [
            ("x" * 513, 1, b"{}"),
            ("é" * 257, 1, b"{}"),
            ("", 1, b"{}"),
            ("\ud800", 1, b"{}"),
            ("a", -1, b"{}"),
            ("a", 2**63, b"{}"),
            ("a", 1, b"[1]"),
            ("a", 1, b'{"a":'),
        ],
    )
    def test_what_can_never_be_written_is_refused_and_its_neighbours_are_written(
        self, text_id: str, version: int, body: bytes
    ) -> None:
        bad = Write(self.aliases[0], text_id, version, body)
        first, refusal, last = self.sink.write([self.index("before", 1), bad, self.index("after", 1)])
        assert (first, last) == (WRITTEN, WRITTEN)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 400
        assert set(self.held(self.aliases[0])) == {"before", "after"}

    @pytest.mark.parametrize("text_id", ["é" * 256, 'a"b\\c\n', "a/b?c#d e%41", "ключ", "\u2028", "_x", " "])
    def test_any_other_id_is_taken_as_it_is(self, text_id: str) -> None:
        assert self.sink.write([self.index(text_id, 1, n=1)]) == [WRITTEN]
        assert self.held(self.aliases[0]) == {text_id: {"n": 1}}

    def test_line_breaks_between_the_tokens_of_a_body_change_nothing(self) -> None:
        outcomes = self.sink.write([Write(self.aliases[0], "a", 1, b'{\n"n":\n1\n}'), self.index("b", 1)])
        assert outcomes == [WRITTEN, WRITTEN]
        assert self.held(self.aliases[0]) == {"a": {"n": 1}, "b": {}}

    def test_one_call_may_write_to_several_aliases(self) -> None:
        one, two = self.aliases
        writes = [Write(one, "a", 1, b'{"n":1}'), Write(two, "a", 1, b'{"n":2}'), Write(two, "b", 1, None)]
        assert self.sink.write(writes) == [WRITTEN] * 3
        assert self.held(one) == {"a": {"n": 1}}
        assert self.held(two) == {"a": {"n": 2}}

    def test_nothing_is_sent_after_its_time(self) -> None:
        with pytest.raises(ReadAgain):
            self.sink.write([self.index("a", 1)], send_before=time.monotonic() - 0.001)
        assert self.held(self.aliases[0]) == {}

    def test_what_is_in_time_is_written(self) -> None:
        assert self.sink.write([self.index("a", 1)], send_before=time.monotonic() + 60) == [WRITTEN]

    def test_the_newest_state_wins_whatever_the_order_of_threads(self) -> None:
        ids = [f"id-{number}" for number in range(20)]

        def write(offset: int) -> None:
            for version in range(offset, 40, 4):
                self.sink.write([self.index(text_id, version, n=version) for text_id in ids])

        threads = [threading.Thread(target=write, args=(offset,)) for offset in (3, 2, 1, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.held(self.aliases[0]) == {text_id: {"n": 39} for text_id in ids}


class TestMemorySink(SinkContract):
    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        self.memory = MemorySink()
        self.sink = self.memory
        self.aliases = ("one-g1-write", "two-g1-write")

    def held(self, alias: str) -> dict[str, Any]:
        return {text_id: json.loads(body) for text_id, body in self.memory.documents(alias).items()}


class TestOpenSearchSink(SinkContract):
    @pytest.fixture(autouse=True)
    def opened(self, sink_url: str, index_prefix: str) -> Iterator[None]:
        with side(sink_url) as self.side:
            self.sink = self.side.sink
            one = self.side.generation(f"{index_prefix}one")
            two = self.side.generation(f"{index_prefix}two", namespace="shop.customers")
            self.aliases = (one.write_alias, two.write_alias)
            yield

    def held(self, alias: str) -> dict[str, Any]:
        return self.side.documents(alias)
