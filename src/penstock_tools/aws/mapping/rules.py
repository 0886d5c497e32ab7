"""The rules of Lambda for event source mappings of Amazon DocumentDB, on plain dicts with the API's names."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock_tools.aws.mapping.errors import InvalidParameterValue, ResourceNotFound

MappingRequest = Mapping[str, Any]

ENGINES = ("4.0", "5.0")
MOST_TIMEOUT_S = 840

UNSUPPORTED = (
    "AmazonManagedKafkaEventSourceConfig",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "FilterCriteria",
    "FunctionResponseTypes",
    "LoggingConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "ProvisionedPollerConfig",
    "Queues",
    "ScalingConfig",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "Topics",
    "TumblingWindowInSeconds",
)
"""Parameters of other event sources."""

_INTEGERS = {"BatchSize": (1, 10_000), "MaximumBatchingWindowInSeconds": (0, 300)}
_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
_FULL_DOCUMENT = ("UpdateLookup", "Default")
_DATABASE = re.compile(r"[^ /.$\x22]*")
_COLLECTION = re.compile(r"(?!system\.)[_a-zA-Z0-9][^$]*")
_SECRET = re.compile(r"[ a-zA-Z0-9-/*:_+=.@-]*")
_CLUSTER = re.compile(r"arn:aws[a-zA-Z0-9-]*:rds:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):cluster:[a-zA-Z0-9-]+")
_FUNCTION = re.compile(
    r"(arn:aws[a-zA-Z-]*:lambda:)?([a-z]{2}(-[a-z]+)+-\d:)?(\d{12}:)?(function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)


def function_name(given: Any) -> str:
    """Return the bare name, given a name, a name with a qualifier, a partial ARN or a full ARN."""
    text = _text(given, "functionName", 1, 256)
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise _constraint(text, "functionName", f"satisfy regular expression pattern: {_FUNCTION.pattern}")
    if len(match["name"]) > 64:
        raise _constraint(match["name"], "functionName", "have length less than or equal to 64")
    return match["name"]


def check_create(request: MappingRequest, now: float) -> None:
    """Raise InvalidParameterValue if a request breaks a rule that can be checked from the request alone."""
    if "FunctionName" not in request:
        raise InvalidParameterValue("FunctionName is required: name the function that the mapping calls.")
    function_name(request["FunctionName"])
    _check_common(request)
    _check_source(request.get("EventSourceArn"))
    _check_access(request.get("SourceAccessConfigurations") or [])
    _check_namespace(_config(request))
    _check_position(request, now)


def check_update(request: MappingRequest) -> None:
    """Raise InvalidParameterValue if an update breaks a rule.

    The database and the collection are refused even if they are unchanged.
    """
    if request.get("FunctionName") is not None:
        function_name(request["FunctionName"])
    _check_common(request)
    config = _config(request)
    fixed = [name for name in ("collectionName", "databaseName") if config.get(name[0].upper() + name[1:]) is not None]
    if fixed:
        raise InvalidParameterValue(f"Invalid parameters: {', '.join(fixed)}")
    if request.get("SourceAccessConfigurations") is not None:
        _check_access(request["SourceAccessConfigurations"])


def check_region(arn: str, region: str, account: str) -> None:
    """Raise InvalidParameterValue for a cluster of another account or Region."""
    match = _CLUSTER.fullmatch(arn)
    if match and (match["region"], match["account"]) != (region, account):
        raise InvalidParameterValue(
            f"The event source {arn} must be in the function's account {account} and Region {region}."
        )


def check_engine(version: str) -> None:
    """Raise InvalidParameterValue for an engine version that Lambda does not read from."""
    if not any(version == engine or version.startswith(f"{engine}.") for engine in ENGINES):
        raise InvalidParameterValue(f"Engine version {version} is not supported.")


def check_timeout(name: str, timeout: Callable[[str], float]) -> None:
    """Check that the function exists and has a timeout of at most fourteen minutes."""
    try:
        seconds = timeout(name)
    except KeyError:
        raise ResourceNotFound(f"Function not found: {name}") from None
    if seconds > MOST_TIMEOUT_S:
        raise InvalidParameterValue(
            f"The timeout of function {name}, {seconds:g} seconds, is above {MOST_TIMEOUT_S} seconds,"
            " the maximum for a mapping of Amazon DocumentDB. Make it shorter."
        )


def _check_common(request: MappingRequest) -> None:
    refused = [name for name in UNSUPPORTED if _is_asked_for(request.get(name))]
    if refused:
        raise InvalidParameterValue(
            f"Unsupported parameters for an Amazon DocumentDB event source: {', '.join(refused)}. Leave them out."
        )
    for name, (least, most) in _INTEGERS.items():
        _check_integer(request.get(name), name[0].lower() + name[1:], least, most)
    if not isinstance(request.get("Enabled", True), bool):
        raise InvalidParameterValue("Enabled must be true or false.")
    full = _config(request).get("FullDocument")
    if full is not None and full not in _FULL_DOCUMENT:
        where = "documentDBEventSourceConfig.fullDocument"
        raise _constraint(full, where, f"satisfy enum value set: [{', '.join(_FULL_DOCUMENT)}]")


def _is_asked_for(value: Any) -> bool:
    """Whether a parameter has a value: false, and containers that are empty all the way down, do not count."""
    if isinstance(value, Mapping):
        return any(_is_asked_for(inner) for inner in value.values())
    return value is not None and value is not False and value not in ([], "")


def _check_source(arn: Any) -> None:
    if arn is None:
        raise InvalidParameterValue("EventSourceArn is required: name the cluster that the mapping reads.")
    text = _text(arn, "eventSourceArn", 0, 10_000)
    if not _CLUSTER.fullmatch(text):
        raise InvalidParameterValue(
            f"Unrecognized event source {text}. Name a cluster, as arn:aws:rds:REGION:ACCOUNT:cluster:NAME."
        )


def _check_access(given: Any) -> None:
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], Mapping):
        raise InvalidParameterValue(
            "SourceAccessConfigurations must have exactly one entry: BASIC_AUTH with the ARN of the cluster's secret."
        )
    (access,) = given
    if access.get("Type") != "BASIC_AUTH":
        raise InvalidParameterValue(
            f"SourceAccessConfigurations: type {access.get('Type')} is not supported for Amazon DocumentDB;"
            " use BASIC_AUTH."
        )
    if access.get("URI") is None:
        raise InvalidParameterValue("SourceAccessConfigurations: BASIC_AUTH needs a URI, the ARN of a secret.")
    where = "sourceAccessConfigurations.1.member.uRI"
    _matching(access["URI"], where, 1, 200, _SECRET)


def _check_namespace(config: MappingRequest) -> None:
    if config.get("DatabaseName") is None:
        raise InvalidParameterValue("DocumentDBEventSourceConfig: DatabaseName is required.")
    _matching(config["DatabaseName"], "documentDBEventSourceConfig.databaseName", 1, 63, _DATABASE)
    if config.get("CollectionName") is not None:
        _matching(config["CollectionName"], "documentDBEventSourceConfig.collectionName", 1, 57, _COLLECTION)


def _check_position(request: MappingRequest, now: float) -> None:
    position, timestamp = request.get("StartingPosition"), request.get("StartingPositionTimestamp")
    if position is not None and position not in _POSITIONS:
        raise _constraint(position, "startingPosition", f"satisfy enum value set: [{', '.join(_POSITIONS)}]")
    if position != "AT_TIMESTAMP":
        if timestamp is not None:
            raise InvalidParameterValue("StartingPositionTimestamp is allowed with StartingPosition AT_TIMESTAMP only.")
        return
    if timestamp is None:
        raise InvalidParameterValue("StartingPosition AT_TIMESTAMP needs StartingPositionTimestamp.")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or timestamp < 0:
        raise InvalidParameterValue("StartingPositionTimestamp must be a time in Unix seconds.")
    if timestamp > now:
        raise InvalidParameterValue("StartingPositionTimestamp must not be in the future.")


def _config(request: MappingRequest) -> MappingRequest:
    config = request.get("DocumentDBEventSourceConfig") or {}
    if not isinstance(config, Mapping):
        raise InvalidParameterValue("DocumentDBEventSourceConfig must be an object.")
    return config


def _check_integer(value: Any, where: str, least: int, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidParameterValue(f"{where} must be an integer.")
    if value < least:
        raise _constraint(value, where, f"have value greater than or equal to {least}")
    if value > most:
        raise _constraint(value, where, f"have value less than or equal to {most}")


def _matching(value: Any, where: str, least: int, most: int, pattern: re.Pattern[str]) -> None:
    text = _text(value, where, least, most)
    if not pattern.fullmatch(text):
        raise _constraint(text, where, f"satisfy regular expression pattern: {pattern.pattern}")


def _text(value: Any, where: str, least: int, most: int) -> str:
    if not isinstance(value, str):
        raise InvalidParameterValue(f"{where} must be a string.")
    if len(value) < least:
        raise _constraint(value, where, f"have length greater than or equal to {least}")
    if len(value) > most:
        raise _constraint(value[:100], where, f"have length less than or equal to {most}")
    return value


def _constraint(value: Any, where: str, must: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: Member must {must}"
    )
