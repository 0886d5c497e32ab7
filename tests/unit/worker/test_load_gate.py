"""The stream's turn: alone, after the loads have given way."""

import threading
from concurrent.futures import ThreadPoolExecutor

from penstock.worker.load_gate import LoadGate

WITHIN_S = 10


def test_loads_have_their_turns_side_by_side():
    gate, both = LoadGate(threading.Event()), threading.Barrier(2)

    def load() -> None:
        with gate.for_load():
            both.wait(WITHIN_S)  # broken, and an error, when the other one cannot begin

    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(load), pool.submit(load)]:
            future.result(WITHIN_S)


def test_the_streams_turn_begins_when_all_loads_have_given_way_and_none_begins_before_it_ends():
    gate, order = LoadGate(threading.Event()), []
    loading, told = threading.Barrier(3), threading.Barrier(2)

    def load(name: str) -> None:
        with gate.for_load():
            loading.wait(WITHIN_S)
            assert gate.give_way.wait(WITHIN_S)
            order.append(name)
            if name == "last":
                told.wait(WITHIN_S)
        with gate.for_load():
            assert not gate.give_way.is_set()
            order.append("again")

    def stream() -> None:
        with gate.for_stream():
            order.append("stream")

    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, name) for name in ("first", "last")]
        loading.wait(WITHIN_S)
        streaming = pool.submit(stream)
        assert gate.give_way.wait(WITHIN_S)
        assert "stream" not in order
        told.wait(WITHIN_S)
        for future in [streaming, *loads]:
            future.result(WITHIN_S)
    assert sorted(order[:2]) == ["first", "last"]
    assert order[2:] == ["stream", "again", "again"]
