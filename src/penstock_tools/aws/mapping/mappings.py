"""All event source mappings of an account: the API's calls, on plain dicts. The HTTP server only wraps them."""

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from penstock_tools.aws.mapping import rules
from penstock_tools.aws.mapping.behaviour import Behaviour
from penstock_tools.aws.mapping.errors import InvalidParameterValue, ResourceConflict, ResourceInUse, ResourceNotFound
from penstock_tools.aws.mapping.reader import Cluster, Reader
from penstock_tools.aws.mapping.record import Account, MappingRecord
from penstock_tools.aws.mapping.store import Store
from penstock_tools.aws.mapping.worker import MappingWorker
from penstock_tools.aws.runtime.invocation import Invoke

ReadSecret = Callable[[str], Mapping[str, str]]
"""Returns the secret behind an ARN, with `username` and `password`. Raises LookupError for an unknown one."""

_BUSY = frozenset({"Creating", "Enabling", "Disabling", "Updating", "Deleting"})
_CHANGEABLE = (
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "SourceAccessConfigurations",
    "KMSKeyArn",
    "MetricsConfig",
)
_MOST_LISTED = 100


class Mappings:
    """The mappings, each with its thread. A context manager; or call `close`.

    `timeout` returns a function's timeout in seconds and raises KeyError for an unknown one. `state` is the file that
    keeps the mappings and their positions; without it they end with the process.
    """

    def __init__(
        self,
        *,
        clusters: Mapping[str, Cluster],
        secret: ReadSecret,
        invoke: Invoke,
        timeout: Callable[[str], float],
        state: Path | None = None,
        account: Account | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        """Start the mappings in the file at once, where they were."""
        self.account = account or Account()
        self.invoke = invoke
        self._clusters = clusters
        self._secret = secret
        self._timeout = timeout
        self._behaviour = behaviour or Behaviour()
        self._store = Store(state)
        self._workers: dict[str, MappingWorker] = {}
        self._begin_again()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all threads after their current calls; the mappings do not change."""
        for worker in self._workers.values():
            worker.end("closed")
        for worker in self._workers.values():
            worker.join()

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Create a mapping and return its configuration, in the state Creating. Raises ServiceError."""
        request = _given(request)
        rules.check_create(request, time.time())
        arn, name = request["EventSourceArn"], rules.function_name(request["FunctionName"])
        rules.check_region(arn, self.account.region, self.account.id)
        if arn not in self._clusters:
            raise InvalidParameterValue(f"The cluster {arn} does not exist.")
        rules.check_engine(self._clusters[arn].engine_version)
        rules.check_timeout(name, self._timeout)
        asked = {key: value for key, value in request.items() if key not in ("FunctionName", "Enabled")}
        record = MappingRecord(str(uuid.uuid4()), name, asked, request.get("Enabled", True))
        with self._store.changing() as records:
            self._refuse_twins(record)
            records[record.uuid] = record
            self._start(record)
            return record.configuration(self.account)

    def update(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change a mapping and return its configuration, before the change is complete. Raises ServiceError."""
        request = _given(request)
        rules.check_update(request)
        function = None
        if "FunctionName" in request:
            function = rules.function_name(request["FunctionName"])
            rules.check_timeout(function, self._timeout)
        with self._store.changing():
            record = self._found(name)
            self._require_idle(record, "update")
            record.request = _changed(record.request, request)
            record.function = function or record.function
            was = record.enabled
            record.enabled = request.get("Enabled", was)
            if record.enabled != was:
                record.move("Enabling" if record.enabled else "Disabling")
            else:
                record.move("Updating")
            self._workers[name].record_changed()
            return record.configuration(self.account)

    def get(self, name: str) -> dict[str, Any]:
        """Return the configuration as it is. Raises ResourceNotFound."""
        with self._store.changing():
            return self._found(name).configuration(self.account)

    def list(self, request: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of the mappings of a cluster, of a function, or of all. Raises InvalidParameterValue."""
        most = _page_size(request.get("MaxItems"))
        function = rules.function_name(request["FunctionName"]) if request.get("FunctionName") else None
        arn, marker = request.get("EventSourceArn"), request.get("Marker")
        with self._store.changing() as records:
            found = [
                record
                for record in records.values()
                if (not arn or record.arn == arn) and (function is None or record.function == function)
            ]
            names = [record.uuid for record in found]
            if marker and marker not in names:
                raise InvalidParameterValue(f"Marker {marker} is not valid: list again from the beginning.")
            begin = names.index(marker) if marker else 0
            page = [record.configuration(self.account) for record in found[begin : begin + most]]
        following = {"NextMarker": names[begin + most]} if len(names) > begin + most else {}
        return {"EventSourceMappings": page} | following

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a mapping, after its current call, and return its configuration in the state Deleting."""
        with self._store.changing():
            record = self._found(name)
            self._require_idle(record, "delete")
            record.move("Deleting")
            self._workers[name].end("deleted")
            return record.configuration(self.account)

    def require_function(self, name: str) -> None:
        """Raise ResourceNotFound for a function that does not exist."""
        try:
            self._timeout(name)
        except KeyError:
            raise ResourceNotFound(f"Function not found: {self.account.function_arn(name)}") from None

    def metrics(self) -> dict[str, dict[str, int | None]]:
        """Return the counters of each mapping."""
        with self._store.changing() as records:
            return {name: self._workers[name].counters.shown() for name in records}

    def redeliver(self, name: str, timeout_s: float = 30.0) -> None:
        """Have a mapping deliver its last batch once more; see `Worker.redeliver`."""
        self.get(name)
        self._workers[name].redeliver(timeout_s)

    def _begin_again(self) -> None:
        with self._store.changing() as records:
            for name in [record.uuid for record in records.values() if record.state == "Deleting"]:
                del records[name]
            for record in records.values():
                self._start(record)

    def _start(self, record: MappingRecord) -> None:
        worker = MappingWorker(record, self._store, self._connect, self.invoke, self._behaviour)
        self._workers[record.uuid] = worker
        worker.start()

    def _connect(self, record: MappingRecord) -> Reader:
        """Connect to the mapping's cluster with the credentials of its secret. Raises LookupError."""
        cluster = self._clusters.get(record.arn)
        if cluster is None:
            raise LookupError(f"the cluster {record.arn} does not exist")
        return Reader(cluster, self._credentials(record.secret_arn) if cluster.with_user else None, record)

    def _credentials(self, arn: str) -> Mapping[str, str]:
        try:
            found = self._secret(arn)
        except Exception as error:
            raise LookupError(f"the secret {arn} cannot be read ({type(error).__name__})") from error
        if not {"username", "password"} <= found.keys():
            raise LookupError(f"the secret {arn} must contain username and password")
        return found

    def _found(self, name: str) -> MappingRecord:
        record = self._store.records.get(name)
        if record is None:
            raise ResourceNotFound("The resource you requested does not exist.")
        return record

    def _refuse_twins(self, new: MappingRecord) -> None:
        def key(record: MappingRecord) -> tuple[str, str, str, str | None]:
            return record.arn, record.function, record.db, record.coll

        for record in self._store.records.values():
            if key(record) == key(new):
                raise ResourceConflict(
                    f'The event source arn (" {new.arn} ") and function (" {new.function} ") provided mapping already'
                    f" exists. Please update or delete the existing mapping with UUID {record.uuid}"
                )

    @staticmethod
    def _require_idle(record: MappingRecord, what: str) -> None:
        if record.state in _BUSY:
            raise ResourceInUse(f"Cannot {what} the event source mapping because it is in use.")


def _given(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given; null means not given."""
    return {name: value for name, value in request.items() if value is not None}


def _changed(before: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request after an update; parameters that the update does not name stay."""
    after = dict(before) | {key: request[key] for key in _CHANGEABLE if key in request}
    config = request.get("DocumentDBEventSourceConfig") or {}
    if config.get("FullDocument") is not None:
        after["DocumentDBEventSourceConfig"] = before["DocumentDBEventSourceConfig"] | config
    return after


def _page_size(given: str | None) -> int:
    if not given:
        return _MOST_LISTED
    if not given.isdecimal() or not 1 <= int(given) <= 10_000:
        raise InvalidParameterValue(f"MaxItems {given} is not a number from 1 to 10000.")
    return min(int(given), _MOST_LISTED)
