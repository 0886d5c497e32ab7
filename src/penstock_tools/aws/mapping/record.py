"""A mapping as it is stored: what was requested, its position, and what the API shows of it."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from penstock.model import Position

MappingState = Literal["Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting"]

BY_USER = "USER_INITIATED"
NOTHING_YET = "No records processed"
DEFAULT_BATCH_SIZE = 100
DEFAULT_WINDOW_S = 0.5
"""Applies if no window was ever given. It cannot be requested, and the API shows it as 0."""

_SHOWN = ("BatchSize", "EventSourceArn", "SourceAccessConfigurations", "KMSKeyArn", "MetricsConfig")


class Account(NamedTuple):
    """The account that owns the mappings."""

    region: str = "us-east-1"
    id: str = "123456789012"

    def function_arn(self, name: str) -> str:
        """The ARN of a function of this account."""
        return f"arn:aws:lambda:{self.region}:{self.id}:function:{name}"

    def mapping_arn(self, uuid: str) -> str:
        """The ARN of a mapping of this account."""
        return f"arn:aws:lambda:{self.region}:{self.id}:event-source-mapping:{uuid}"


@dataclass
class MappingRecord:
    """A mapping. `rule_found`: whether the collection's rule existed at the creation; None before that was checked.

    `position` is where the next batch starts, None until the mapping has read something.
    """

    uuid: str
    function: str
    request: dict[str, Any]
    enabled: bool
    state: MappingState = "Creating"
    reason: str = BY_USER
    result: str = NOTHING_YET
    last_modified: float = field(default_factory=time.time)
    position: Position | None = None
    rule_found: bool | None = None

    @property
    def arn(self) -> str:
        """The cluster."""
        return str(self.request["EventSourceArn"])

    @property
    def db(self) -> str:
        """The database."""
        return str(self.request["DocumentDBEventSourceConfig"]["DatabaseName"])

    @property
    def coll(self) -> str | None:
        """The collection, None for all of the database."""
        name = self.request["DocumentDBEventSourceConfig"].get("CollectionName")
        return None if name is None else str(name)

    @property
    def looks_up(self) -> bool:
        """Whether updates carry the document's present state."""
        return bool(self.request["DocumentDBEventSourceConfig"].get("FullDocument") == "UpdateLookup")

    @property
    def secret_arn(self) -> str:
        """The ARN of the secret with the credentials."""
        return str(self.request["SourceAccessConfigurations"][0]["URI"])

    @property
    def batch_size(self) -> int:
        """The maximum number of events in a call."""
        return int(self.request.get("BatchSize") or DEFAULT_BATCH_SIZE)

    @property
    def window_s(self) -> float:
        """How long a batch may wait for more events after its first."""
        window = self.request.get("MaximumBatchingWindowInSeconds")
        return DEFAULT_WINDOW_S if window is None else float(window)

    def move(self, state: MappingState, reason: str = BY_USER) -> None:
        """Go into another state."""
        self.state, self.reason, self.last_modified = state, reason, time.time()

    def configuration(self, account: Account) -> dict[str, Any]:
        """Return what the API shows, with times as Unix seconds."""
        config = {"FullDocument": "Default"} | self.request["DocumentDBEventSourceConfig"]
        shown = {
            "UUID": self.uuid,
            "BatchSize": self.batch_size,
            "MaximumBatchingWindowInSeconds": self.request.get("MaximumBatchingWindowInSeconds") or 0,
            "StartingPosition": self.request.get("StartingPosition", "LATEST"),
            "FunctionArn": account.function_arn(self.function),
            "LastModified": round(self.last_modified, 3),
            "LastProcessingResult": self.result,
            "State": self.state,
            "StateTransitionReason": self.reason,
            "DocumentDBEventSourceConfig": config,
            "EventSourceMappingArn": account.mapping_arn(self.uuid),
        }
        if self.request.get("StartingPositionTimestamp") is not None:
            shown["StartingPositionTimestamp"] = self.request["StartingPositionTimestamp"]
        return shown | {name: self.request[name] for name in _SHOWN if name in self.request}

    def to_json(self) -> dict[str, Any]:
        """Return the record for the state file."""
        return asdict(self) | {"position": asdict(self.position) if self.position else None}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "MappingRecord":
        """The record from the state file."""
        position = kept["position"]
        return cls(**(kept | {"position": Position(**position) if position else None}))
