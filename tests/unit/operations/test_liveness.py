"""Whether the worker of a pipeline is there, by its state document."""

import time

from penstock.operations.inspect import liveness

LEASE_S = 2


def document(*, beat=0, released=False, reported_s_ago=None):
    status = {} if reported_s_ago is None else {"reported_at": time.time() - reported_s_ago}
    return {"epoch": 2, "beat": beat, "released": released, "lease_s": LEASE_S, "status": status}


def alive(documents, look):
    return liveness.alive(documents, look, every_s=0.02)


def never(_):
    raise AssertionError("nobody has to look again")


def test_who_reported_lately_is_there():
    assert alive({"p": document(reported_s_ago=0.1)}, never) == {"p"}


def test_who_released_the_lease_is_gone():
    assert alive({"p": document(released=True, reported_s_ago=0.1)}, never) == frozenset()


def test_who_has_just_begun_is_there_as_soon_as_the_document_is_written():
    looks = iter([document(reported_s_ago=900), document(beat=1, reported_s_ago=900)])
    assert alive({"p": document(reported_s_ago=900)}, lambda _: {"p": next(looks)}) == {"p"}


def test_who_never_reported_is_looked_at_too():
    assert alive({"p": document()}, lambda _: {"p": document(beat=1)}) == {"p"}


def test_a_lease_that_nobody_renews_is_of_a_dead_worker():
    began = time.monotonic()
    assert alive({"p": document(reported_s_ago=900)}, lambda _: {"p": document(reported_s_ago=900)}) == frozenset()
    assert time.monotonic() - began >= LEASE_S / 3


def test_who_releases_the_lease_meanwhile_is_gone():
    assert alive({"p": document()}, lambda _: {"p": document(beat=1, released=True)}) == frozenset()
