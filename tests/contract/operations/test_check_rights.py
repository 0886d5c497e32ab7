"""`check` tries the rights of every command, and leaves nothing behind."""

import pytest

from penstock.lambdas.permissions import allows, operations_requests
from penstock.operations.check.finding import CheckFinding
from penstock.operations.check.rights import rights_findings
from testkit.sink_access import Relay, Said, Side

_DENIED = Said(403, b'{"Message":"User: operations is not authorized to perform: es:ESHttpPost"}')


def found_with(relayed: Side, between: Relay, alias: str, *, without: str = "") -> list[CheckFinding]:
    """What is found by a role that may do what the task of the AWS deployment may, without one of its statements."""
    rights = [each for each in operations_requests(alias) if each.sid != without]
    between.plan = lambda asked: "pass" if allows(rights, asked.method, asked.path.partition("?")[0]) else _DENIED
    return list(rights_findings(relayed.client, [relayed.declared(alias)]))


def test_the_task_of_the_deployment_on_aws_has_all_rights(relayed: Side, between: Relay, index_prefix: str) -> None:
    found = found_with(relayed, between, f"{index_prefix}orders")
    assert [(each.subject, each.verdict) for each in found] == [
        ("rights", "ok"),
        (f"{index_prefix}orders: rights", "ok"),
    ]


@pytest.mark.parametrize(
    ("without", "verdict", "told"),
    [
        ("OpenSearchLook", "failure", "GET /{alias} (for run, load)"),
        ("OpenSearchMakeIndex", "failure", "PUT /{alias}-g* (for run, load)"),
        ("OpenSearchWrite", "failure", "POST /{alias}-g*-write/_bulk (for run, load)"),
        ("OpenSearchRead", "failure", "POST /penstock-state/_mget (for run, load)"),
        ("OpenSearchScroll", "warning", "POST /_search/scroll (for load --again, verify)"),
        ("OpenSearchStatus", "warning", "GET /_alias/{alias} (for status)"),
        ("OpenSearchTidy", "warning", "POST /penstock-dead-letters/_delete_by_query"),
        ("OpenSearchMoveAlias", "warning", "POST /_aliases (for reindex)"),
        ("OpenSearchDropIndex", "warning", "DELETE /{alias}-g* (for reindex --finish, --abandon)"),
    ],
)
def test_a_right_that_is_missing_is_named_with_the_commands_that_need_it(
    relayed: Side, between: Relay, index_prefix: str, without: str, verdict: str, told: str
) -> None:
    alias = f"{index_prefix}orders"
    wrong = [each for each in found_with(relayed, between, alias, without=without) if each.verdict != "ok"]
    assert verdict in [each.verdict for each in wrong]
    assert told.format(alias=alias) in " ".join(each.detail for each in wrong)


def test_the_letters_of_reactions_are_tried_where_there_are_any(relayed: Side, between: Relay) -> None:
    between.plan = lambda asked: _DENIED if "penstock-reaction-letters/_bulk" in asked.path else "pass"
    assert next(rights_findings(relayed.client, [])).verdict == "ok"
    found = next(rights_findings(relayed.client, [], reactions=True))
    assert (found.verdict, found.detail) == (
        "failure",
        "not allowed: POST /penstock-reaction-letters/_bulk (for run, load)",
    )


def test_it_changes_nothing(way: Side, index_prefix: str) -> None:
    way.generation(f"{index_prefix}orders")
    before = way.ask("GET", "/_cluster/state/metadata?filter_path=metadata.indices")["metadata"]["indices"]
    assert len(list(rights_findings(way.client, [way.declared(f"{index_prefix}orders")]))) == 2
    after = way.ask("GET", "/_cluster/state/metadata?filter_path=metadata.indices")["metadata"]["indices"]
    assert after.keys() == before.keys()
    assert after[f"{index_prefix}orders-g1"] == before[f"{index_prefix}orders-g1"]
