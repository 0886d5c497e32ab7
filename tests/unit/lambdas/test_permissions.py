"""The table of rights on the domain: what each role may ask for, and what it may not."""

import pytest

from penstock.lambdas.permissions import (
    Requests,
    allows,
    of_all,
    operations_requests,
    react_requests,
    reader_requests,
    sync_requests,
    worker_requests,
)

READER = reader_requests("orders")
SYNC = sync_requests("orders")
WORKER = worker_requests("orders")
OPERATIONS = operations_requests("orders")
REACT = react_requests()
EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def test_the_reader_may_search_its_index_and_nothing_else():
    assert allows(READER, "POST", "/orders/_search")
    assert allows(READER, "POST", "/orders/_field_caps")
    for method in EVERY_METHOD:
        for path in (
            "/",
            "/_bulk",
            "/_search",
            "/_search/scroll",
            "/orders",
            "/orders/_bulk",
            "/orders/_doc/1",
            "/orders/_search/1",
            "/orders/_searching",
            "/orders-g1/_search",
            "/orders,secret/_search",
            "/secret/_search",
            "/x/orders/_search",
            "/orders%2F_search",
            "/penstock-state/_search",
        ):
            assert not allows(READER, method, path), (method, path)
    for method in EVERY_METHOD:
        assert allows(READER, method, "/orders/_search") == (method == "POST")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/orders"),
        ("GET", "/orders"),
        ("GET", "/orders-g1"),
        ("GET", "/penstock-state"),
        ("PUT", "/orders-g1"),
        ("PUT", "/penstock-state"),
        ("PUT", "/penstock-dead-letters"),
        ("POST", "/orders-g1-write/_bulk"),
        ("POST", "/orders-g12-write/_bulk"),
        ("POST", "/penstock-dead-letters/_bulk"),
        ("POST", "/penstock-state/_mget"),
        ("POST", "/orders-g1/_search"),
        ("POST", "/orders-g1/_count"),
        ("POST", "/orders-g1/_refresh"),
        ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
    ],
)
def test_the_sync_function_may_write_its_generations(method, path):
    assert allows(SYNC, method, path)
    assert allows(OPERATIONS, method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/orders-g1"),
        ("DELETE", "/orders"),
        ("DELETE", "/penstock-state"),
        ("DELETE", "/*"),
        ("PUT", "/orders"),
        ("PUT", "/others-g1"),
        ("PUT", "/_cluster/settings"),
        ("POST", "/_aliases"),
        ("POST", "/_bulk"),
        ("POST", "/orders/_bulk"),
        ("POST", "/orders/_search"),
        ("POST", "/others-g1-write/_bulk"),
        ("POST", "/others-g1/_search"),
        ("POST", "/orders-g1/_delete_by_query"),
        ("POST", "/orders-g1/_doc"),
        ("POST", "/orders-g1/_close"),
        ("GET", "/_bulk"),
        ("PUT", "/_bulk"),
        ("GET", "/others"),
        ("GET", "/_cluster/health"),
        ("GET", "/_cat/indices"),
    ],
)
def test_the_sync_function_may_not_do_more(method, path):
    assert not allows(SYNC, method, path)


def test_operations_may_also_look_tidy_and_reindex():
    for method, path in (
        ("GET", "/_cluster/health"),
        ("GET", "/_nodes/stats/fs"),
        ("GET", "/_alias/orders"),
        ("GET", "/_alias/penstock-state"),
        ("GET", "/orders/_stats/indexing"),
        ("POST", "/orders/_count"),
        ("POST", "/penstock-dead-letters/_delete_by_query"),
        ("DELETE", "/penstock-check-1"),
        ("POST", "/_aliases"),
        ("DELETE", "/orders-g1"),
    ):
        assert allows(OPERATIONS, method, path), (method, path)
        assert not allows(READER, method, path), (method, path)
    for method, path in (
        ("DELETE", "/orders"),
        ("DELETE", "/others-g1"),
        ("DELETE", "/penstock-state"),
        ("PUT", "/_cluster/settings"),
        ("POST", "/_bulk"),
        ("POST", "/orders/_bulk"),
        ("POST", "/others/_count"),
        ("GET", "/others/_stats/indexing"),
    ):
        assert not allows(OPERATIONS, method, path), (method, path)


def test_rights_of_several_indexes_are_one_statement_for_each_kind():
    rights = of_all(operations_requests, ["orders", "items"])
    assert len(rights) == len({each.sid for each in rights}) == len(OPERATIONS)
    for index in ("orders", "items"):
        assert allows(rights, "POST", f"/{index}-g1-write/_bulk")
        assert allows(rights, "DELETE", f"/{index}-g1")
    assert not allows(rights, "POST", "/others-g1-write/_bulk")


def test_a_star_spans_slashes_and_nothing_else_is_special():
    rights = [Requests("Any", ["Get"], ["a.b*c"])]
    for path in ("/a.bc", "/a.b/c", "/a.b/x/y/c", "a.b%0Ac"):
        assert allows(rights, "GET", path), path
    for path in ("/a.b", "/axbc", "/a.b/c/", "//a.bc", "/x/a.bc", ""):
        assert not allows(rights, "GET", path), path


def test_a_method_is_compared_in_any_case_and_no_rights_allow_nothing():
    assert allows(READER, "post", "/orders/_search")
    assert not allows([], "GET", "/")
    assert not allows([Requests("Root", ["Get"], [""])], "GET", "/x")


def test_a_reaction_keeps_dead_letters_and_touches_no_other_index():
    for method, path in (
        ("PUT", "/penstock-reaction-letters-v1"),
        ("GET", "/penstock-reaction-letters-v1/_settings"),
        ("POST", "/penstock-reaction-letters/_bulk"),
        ("POST", "/penstock-reaction-letters/_search"),
    ):
        assert allows(REACT, method, path), (method, path)
    for method in EVERY_METHOD:
        for path in ("/_bulk", "/penstock-state/_bulk", "/penstock-dead-letters/_bulk", "/orders-g1-write/_bulk"):
            assert not allows(REACT, method, path), (method, path)
    assert not allows(REACT, "POST", "/penstock-reaction-letters/_delete_by_query")


def test_a_worker_may_do_what_sync_may_and_sees_to_aliases_and_dead_letters():
    assert set(map(repr, SYNC)) <= set(map(repr, WORKER))
    assert allows(WORKER, "POST", "/_aliases")
    assert allows(WORKER, "POST", "/penstock-dead-letters/_delete_by_query")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/orders-g1"),
        ("POST", "/orders-g1/_delete_by_query"),
        ("POST", "/_bulk"),
        ("POST", "/secret-g1-write/_bulk"),
        ("PUT", "/_cluster/settings"),
        ("GET", "/_cluster/settings"),
    ],
)
def test_a_worker_may_not_do_what_commands_may(method, path):
    assert not allows(WORKER, method, path)
