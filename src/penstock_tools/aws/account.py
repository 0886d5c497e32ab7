"""Looks at an AWS account by its API, before or after a deployment, and changes nothing: `penstock aws check`.

The cluster cannot be reached from outside its network: whether change streams are on is seen by what the mappings say,
and by `penstock check` in the operations task.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from penstock.lambdas.environment import function_name
from penstock.mongo.documentdb import FOR_LAMBDA, WORKER_ONLY
from penstock.operations.check.finding import Area, CheckFinding, failure, ok, warning

Ask = Callable[[str], Any]
"""Returns the client of a service, by botocore's name of it."""

SERVICE_LINKED_ROLE: Final = "AWSServiceRoleForAmazonOpenSearchService"

_CLUSTER_PORT: Final = 27017
_HTTPS: Final = 443
_DAY_S: Final = 86_400
_OF_THE_POLLER: Final = ("lambda", "sts", "secretsmanager")


@dataclass(frozen=True)
class Place:
    """Where a server stands: its VPC, its subnets and its security groups."""

    vpc: str
    subnets: Sequence[str]
    groups: Sequence[str]


def account_findings(ask: Ask, *, cluster: str, domain: str) -> Iterator[CheckFinding]:
    """Yield what is found about the account, the cluster, the domain, the functions and their mappings."""
    refused: dict[str, CheckFinding] = {}
    looks: tuple[Iterator[CheckFinding], ...] = (
        _role_findings(ask),
        _cluster_findings(ask, cluster),
        _domain_findings(ask, domain),
        _network_findings(ask, cluster, domain),
        _mapping_findings(ask, cluster),
    )
    for look in looks:  # each asks when it is read
        try:
            yield from look
        except ClientError as error:
            refused.setdefault(error.operation_name, _refused(error))
    yield from refused.values()


def _refused(error: ClientError) -> CheckFinding:
    code, operation = error.response["Error"]["Code"], error.operation_name
    if "NotFound" in code:
        return failure("settings", operation, f"there is no such thing ({code})", "correct the name and the region")
    return failure("settings", operation, f"AWS refuses the question ({code})", "allow it to these credentials")


def _role_findings(ask: Ask) -> Iterator[CheckFinding]:
    try:
        ask("iam").get_role(RoleName=SERVICE_LINKED_ROLE)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchEntity", "NoSuchEntityException"):
            raise
        todo = "aws iam create-service-linked-role --aws-service-name opensearchservice.amazonaws.com"
        yield failure("settings", "service-linked role", f"the account has no {SERVICE_LINKED_ROLE}", todo)
    else:
        yield ok("settings", "service-linked role", "is there")


def _cluster_findings(ask: Ask, name: str) -> Iterator[CheckFinding]:
    described = _cluster(ask, name)
    version = str(described["EngineVersion"])
    if version.startswith(FOR_LAMBDA):
        yield ok("source", name, f"engine {version}")
    elif version.startswith("8."):
        todo = "deploy a worker (-c door=worker), or use engine 5.0"
        yield warning("source", name, f"engine {version}: {WORKER_ONLY}", todo)
    else:
        what = f"engine {version}: Lambda's event source mapping refuses it, and penstock was not tried on it"
        yield failure("source", name, what, "use engine 5.0")
    group = described["DBClusterParameterGroup"]
    parameters = _parameters(ask, group)
    if parameters.get("tls") == "disabled":
        yield failure(
            "source", f"{group}: tls", "is disabled, and the mapping needs TLS", "set it to enabled, and reboot"
        )
    else:
        yield ok("source", f"{group}: tls", str(parameters.get("tls", "enabled")))
    kept_s = int(parameters.get("change_stream_log_retention_duration") or 10_800)
    subject, detail = f"{group}: change log", f"is kept for {kept_s / 3600:g} h"
    if kept_s < _DAY_S:
        todo = "set change_stream_log_retention_duration to 86400 or more: it must outlast every outage"
        yield warning("source", subject, detail, todo)
    else:
        yield ok("source", subject, detail)


def _domain_findings(ask: Ask, name: str) -> Iterator[CheckFinding]:
    described = _domain(ask, name)
    version = str(described.get("EngineVersion", ""))
    if version.startswith(("OpenSearch_2.", "OpenSearch_3.")):
        yield ok("sink", name, version)
    else:
        yield failure("sink", name, f"{version} is not supported", "use OpenSearch 2 or 3")
    if described.get("AdvancedSecurityOptions", {}).get("Enabled"):
        todo = "map the roles in the stack's outputs as backend roles (docs/aws.md has their permissions)"
        yield warning("sink", f"{name}: fine-grained access control", "is on: IAM alone lets nobody in", todo)
    policy = described.get("AccessPolicies") or ""
    if policy and not _lets_somebody_in(policy):
        todo = "allow the roles in the stack's outputs, or remove the policy: then the roles' own policies decide"
        yield warning("sink", f"{name}: access policy", "names no role of this account", todo)


def _lets_somebody_in(policy: str) -> bool:
    principals = [each.get("Principal") for each in json.loads(policy).get("Statement", [])]
    return any(each == "*" or (isinstance(each, dict) and "AWS" in each) for each in principals)


def _network_findings(ask: Ask, cluster: str, domain: str) -> Iterator[CheckFinding]:
    source, sink = _place_of_cluster(ask, _cluster(ask, cluster)), _place_of_domain(ask, _domain(ask, domain))
    if sink.vpc != source.vpc:
        todo = "put both into one VPC, or connect the two and give their rules yourself"
        yield failure("settings", "VPC", f"the cluster is in {source.vpc}, the domain in {sink.vpc or 'none'}", todo)
    functions = _groups_of_functions(ask)
    inbound, outbound = _rules(ask, source.groups, "IpPermissions"), _rules(ask, source.groups, "IpPermissionsEgress")
    polled = not str(_cluster(ask, cluster)["EngineVersion"]).startswith("8.")  # of engine 8, there are no mappings
    if polled:
        yield _rule("source", "from itself (the poller of the mapping)", source, inbound, _CLUSTER_PORT, source.groups)
        yield _rule("source", "to AWS services", source, outbound, _HTTPS, ())
    if functions:
        yield _rule("source", "from the functions", source, inbound, _CLUSTER_PORT, functions)
        yield _rule("sink", "from the functions", sink, _rules(ask, sink.groups, "IpPermissions"), _HTTPS, functions)
    else:
        yield ok("settings", function_name("config"), "is not deployed yet")
    if polled:
        yield _way_out(ask, source)


def _rule(
    area: Area, what: str, place: Place, rules: Iterable[Mapping[str, Any]], port: int, groups: Sequence[str]
) -> CheckFinding:
    subject = f"{', '.join(place.groups)}: {port} {what}"
    if any(_covers(rule, port) and _is_for(rule, groups) for rule in rules):
        return ok(area, subject, "is allowed")
    return failure(area, subject, "no rule allows it", f"add a rule for TCP {port} {what}")


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    lowest, highest = int(rule.get("FromPort", 0)), int(rule.get("ToPort", 65_535))
    return rule["IpProtocol"] == "-1" or (rule["IpProtocol"] == "tcp" and lowest <= port <= highest)


def _is_for(rule: Mapping[str, Any], groups: Sequence[str]) -> bool:
    """Whether a rule is for these groups, or for addresses, of which nobody can say whose they are."""
    named = {pair["GroupId"] for pair in rule.get("UserIdGroupPairs", ())}
    return bool(rule.get("IpRanges") or rule.get("PrefixListIds") or named.intersection(groups))


def _way_out(ask: Ask, place: Place) -> CheckFinding:
    """How the poller, which stands in the cluster's subnets, reaches Lambda, STS and Secrets Manager."""
    ec2, of_vpc = ask("ec2"), [{"Name": "vpc-id", "Values": [place.vpc]}]
    endpoints = ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]
    there = {each["ServiceName"].rpartition(".")[2] for each in endpoints}
    missing = [name for name in _OF_THE_POLLER if name not in there]
    if not missing:
        return ok("source", "way out of the cluster's subnets", "interface endpoints")
    tables = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    closed = [subnet for subnet in place.subnets if not _leads_out(_table_of(subnet, tables))]
    if not closed:
        return ok("source", "way out of the cluster's subnets", "a route for all addresses")
    todo = f"add a NAT gateway to the routes of these subnets, or interface endpoints for {', '.join(missing)}"
    return failure("source", "way out of the cluster's subnets", f"{', '.join(closed)} have none", todo)


def _table_of(subnet: str, tables: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the route table of a subnet: its own, else the main one."""
    own = [table for table in tables if any(each.get("SubnetId") == subnet for each in table["Associations"])]
    main = [table for table in tables if any(each.get("Main") for each in table["Associations"])]
    return next(iter([*own, *main]), {})


def _leads_out(table: Mapping[str, Any]) -> bool:
    """Whether there is a default route; an internet gateway is none, as the poller has no public address."""
    routes = [each for each in table.get("Routes", ()) if each.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return any(not str(each.get("GatewayId", "")).startswith("igw-") for each in routes)


def _mapping_findings(ask: Ask, cluster: str) -> Iterator[CheckFinding]:
    arn = _cluster(ask, cluster)["DBClusterArn"]
    pages = ask("lambda").get_paginator("list_event_source_mappings").paginate(EventSourceArn=arn)
    found = [each for page in pages for each in page["EventSourceMappings"]]
    if not found:
        yield ok("source", "mappings", "there is none yet")
    for each in found:
        config = each.get("DocumentDBEventSourceConfig", {})
        name = f"mapping of {config.get('DatabaseName')}.{config.get('CollectionName', '*')}"
        state, result = each.get("State", ""), each.get("LastProcessingResult") or "nothing yet"
        if "modifyChangeStreams" in result or each.get("State") == "Disabled":
            todo = "POST /config enables the change stream; then enable the mapping, or delete it and deploy again"
            yield failure("source", name, f"{state}: {result}", todo)
        elif result.startswith("PROBLEM"):
            yield failure("source", name, f"{state}: {result}", "see the log of the sync function")
        else:
            yield ok("source", name, f"{state}: {result}")


def _cluster(ask: Ask, name: str) -> Mapping[str, Any]:
    (found,) = ask("docdb").describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
    return found  # type: ignore[no-any-return]


def _parameters(ask: Ask, group: str) -> dict[str, str]:
    pages = ask("docdb").get_paginator("describe_db_cluster_parameters").paginate(DBClusterParameterGroupName=group)
    rows = [row for page in pages for row in page["Parameters"]]
    return {row["ParameterName"]: row["ParameterValue"] for row in rows if "ParameterValue" in row}


def _domain(ask: Ask, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = ask("opensearch").describe_domain(DomainName=name)["DomainStatus"]
    return found


def _place_of_cluster(ask: Ask, described: Mapping[str, Any]) -> Place:
    (group,) = ask("docdb").describe_db_subnet_groups(DBSubnetGroupName=described["DBSubnetGroup"])["DBSubnetGroups"]
    groups = [each["VpcSecurityGroupId"] for each in described["VpcSecurityGroups"]]
    return Place(group["VpcId"], [each["SubnetIdentifier"] for each in group["Subnets"]], groups)


def _place_of_domain(ask: Ask, described: Mapping[str, Any]) -> Place:
    options = described.get("VPCOptions", {})
    subnets, groups = options.get("SubnetIds", ()), options.get("SecurityGroupIds", ())
    found = ask("ec2").describe_subnets(SubnetIds=list(subnets))["Subnets"] if subnets else []
    return Place(next((each["VpcId"] for each in found), ""), subnets, groups)


def _groups_of_functions(ask: Ask) -> Sequence[str]:
    """The security groups of the functions, which all have the config function's; none before it is deployed."""
    try:
        found = ask("lambda").get_function_configuration(FunctionName=function_name("config"))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return ()
    groups: Sequence[str] = found.get("VpcConfig", {}).get("SecurityGroupIds", ())
    return groups


def _rules(ask: Ask, groups: Sequence[str], direction: str) -> list[Mapping[str, Any]]:
    if not groups:
        return []
    found = ask("ec2").describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    return [rule for group in found for rule in group[direction]]
