"""The stream's turn: alone, after the loads have given way."""

import threading
from concurrent.futures import ThreadPoolExecutor

from penstock.worker.load_gate import LoadGate

WITHIN_S = 10


def test_loads_have_their_turns_side_by_side():
    turns, both = LoadGate(threading.Event()), threading.Barrier(2)

    def load() -> None:
        with turns.of_load():
            both.wait(WITHIN_S)  # broken, and an error, when the other one cannot begin

    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(load), pool.submit(load)]:
            future.result(WITHIN_S)


def test_the_streams_turn_begins_when_all_loads_have_given_way_and_none_begins_before_it_ends():
    turns, order = LoadGate(threading.Event()), []
    loading, told = threading.Barrier(3), threading.Barrier(2)

    def load(name: str) -> None:
        with turns.of_load():
            loading.wait(WITHIN_S)
            assert turns.give_way.wait(WITHIN_S)
            order.append(name)
            if name == "last":
                told.wait(WITHIN_S)
        with turns.of_load():
            assert not turns.give_way.is_set()
            order.append("again")

    def stream() -> None:
        with turns.of_stream():
            order.append("stream")

    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, name) for name in ("first", "last")]
        loading.wait(WITHIN_S)
        streaming = pool.submit(stream)
        assert turns.give_way.wait(WITHIN_S)
        assert "stream" not in order
        told.wait(WITHIN_S)
        for future in [streaming, *loads]:
            future.result(WITHIN_S)
    assert sorted(order[:2]) == ["first", "last"]
    assert order[2:] == ["stream", "again", "again"]
