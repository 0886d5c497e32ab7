"""The mappings of an account in a JSON file, so that they resume after a restart."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from penstock.model import Position
from penstock_tools.aws.mapping.record import MappingRecord
from penstock_tools.servers.errors import LocalServerError


class Store:
    """The records by UUID, in the order of their creation. Make every change within `changing`."""

    def __init__(self, path: Path | None) -> None:
        """Read the file; without one, the records live as long as the process."""
        self._path = path
        self._lock = threading.RLock()
        self._written = b""
        self.records: dict[str, MappingRecord] = self._read()

    @contextmanager
    def changing(self) -> Iterator[dict[str, MappingRecord]]:
        """Hold the lock, and write the file afterwards if something changed."""
        with self._lock:
            yield self.records
            self._write()

    def commit(self, record: MappingRecord, position: Position) -> None:
        """Set the position at which the next batch of the mapping starts."""
        with self.changing():
            record.position = position

    def show(self, record: MappingRecord, result: str) -> None:
        """Set the last result that the API shows."""
        with self.changing():
            record.result = result

    def _read(self) -> dict[str, MappingRecord]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            kept = orjson.loads(self._path.read_bytes())
            records = [MappingRecord.from_json(each) for each in kept["mappings"]]
        except (ValueError, KeyError, TypeError) as error:
            raise LocalServerError(
                f"The event source mappings in {self._path} cannot be read ({type(error).__name__}). Delete the file"
                " to begin without mappings."
            ) from error
        return {record.uuid: record for record in records}

    def _write(self) -> None:
        if self._path is None:
            return
        kept = {"mappings": [record.to_json() for record in self.records.values()]}
        content = orjson.dumps(kept, option=orjson.OPT_INDENT_2)
        if content != self._written:
            aside = self._path.with_suffix(".new")
            aside.write_bytes(content)
            aside.replace(self._path)
            self._written = content
