"""Which requests to the domain a role may make.

IAM sees the method and the path of a request, not its parameters or its body. So a path must be spelt as it is sent,
`*` stands for slashes too, and `POST /_bulk` reaches every index: it cannot be narrowed further by IAM alone.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aws_cdk import aws_iam as iam

from infra.opensearch import OpenSearchStack

STATE: Final = "penstock-*"
"""penstock's own indexes: state and dead letters, and the ones that `check` makes to try a mapping."""

WILDCARDS: Final = (
    "Stands for the number of a generation, the id of a document or the version of an index of penstock's own: all of "
    "them are this deployment's."
)
"""Why the wildcards in these paths may stand."""


class Requests(NamedTuple):
    """One method on some paths; paths have no slash in front, and the root is an empty one."""

    sid: str
    methods: Sequence[str]
    paths: Sequence[str]


def reader_requests(index: str) -> list[Requests]:
    """Search and read documents. Not `<index>/*`: POST and PUT on `_bulk`, `_doc` and `_update` are under it."""
    return [
        Requests("OpenSearchSearch", ["Get", "Post"], [f"{index}/_search"]),
        Requests("OpenSearchRead", ["Get"], [f"{index}/_doc/*"]),
    ]


def sync_requests(index: str) -> list[Requests]:
    """Write the index's generations, make those and penstock's own indexes, and read what they hold."""
    written = [_generations(index), STATE]
    return [
        Requests("OpenSearchLook", ["Get", "Head"], ["", index, *written]),
        Requests("OpenSearchMakeIndex", ["Put"], written),
        Requests("OpenSearchWrite", ["Post"], ["_bulk", *_under(written, "_bulk")]),
        Requests("OpenSearchRead", ["Post"], _under(written, "_mget", "_search", "_count", "_refresh")),
        Requests("OpenSearchScroll", ["Post", "Delete"], ["_search/scroll"]),
    ]


def operations_requests(index: str) -> list[Requests]:
    """As sync; besides what `status` and `check` ask for, and the deletes of replayed dead letters."""
    cluster = ["_cluster/health", "_cluster/settings", "_nodes/stats/fs"]
    asked = [f"{index}/*", f"_alias/{index}*", f"_alias/{STATE}", *cluster]
    return [
        *sync_requests(index),
        Requests("OpenSearchStatus", ["Get", "Head"], asked),
        Requests("OpenSearchServed", ["Post"], _under([index], "_search", "_count", "_mget", "_refresh")),
        Requests("OpenSearchTidy", ["Post"], _under([_generations(index), STATE], "_delete_by_query")),
        Requests("OpenSearchTrial", ["Delete"], ["penstock-check-*"]),
    ]


def policy(opensearch: OpenSearchStack, requests: Iterable[Requests]) -> iam.PolicyDocument:
    """The policy that allows these requests and no others."""
    # Exported by name, so that the ids of cdk-nag's findings, which hold it, are known when they are accepted.
    domain_arn = opensearch.export_value(opensearch.domain.domain_arn)
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                sid=each.sid,
                actions=[f"es:ESHttp{method}" for method in each.methods],
                resources=[f"{domain_arn}/{path}" for path in each.paths],
            )
            for each in requests
        ]
    )


def _generations(index: str) -> str:
    """An index's generations and their write aliases: orders-g1, orders-g1-write."""
    return f"{index}-g*"


def _under(indexes: Iterable[str], *endpoints: str) -> list[str]:
    return [f"{index}/{endpoint}" for index in indexes for endpoint in endpoints]
