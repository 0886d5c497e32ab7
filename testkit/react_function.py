"""The function of a reaction as its mapping would call it, in this process."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.lambdas import react, reaction_settings
from penstock.operations.init import toml_value


@dataclass
class ReactFunction:
    """The function as one warm container; `namespace` is the collection of the events that it is called with."""

    namespace: str
    said: list[dict[str, Any]] = field(default_factory=list)

    def call(self, *events: dict[str, Any], left_s: float = 60.0) -> dict[str, Any]:
        """Invoke it with events of the collection; returns the metrics that it published, or raises what it raised."""
        db, coll = self.namespace.split(".")
        whole = [{"event": {"ns": {"db": db, "coll": coll}, **each}} for each in events]
        ends = time.monotonic() + left_s
        context = SimpleNamespace(
            aws_request_id="request-1",
            function_name="react",
            get_remaining_time_in_millis=lambda: (ends - time.monotonic()) * 1000,
        )
        before = len(self.said)
        try:
            react.handler({"eventSourceArn": "arn", "events": whole, "eventSource": "aws:docdb"}, context)
        finally:
            assert len(self.said) == before + 1
        return self.said[-1]

    def begin_again(self) -> None:
        """Go on in a new container."""
        forget()


@contextmanager
def react_function(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, namespace: str, sink_url: str, table: dict[str, Any], **more: str
) -> Iterator[ReactFunction]:
    """A function that serves the reaction of a table; `more` are variables of its environment."""
    file = folder / "penstock.toml"
    its = {"collections": (namespace,), **table}
    file.write_text("[[reactions]]\n" + "".join(f"{name} = {toml_value(value)}\n" for name, value in its.items()))
    for name in [each for each in os.environ if each.startswith("PENSTOCK_") and not each.startswith("PENSTOCK_TEST_")]:
        monkeypatch.delenv(name)
    variables = {"PENSTOCK_SETTINGS": str(file), "PENSTOCK_SINK_URL": sink_url, "PENSTOCK_SINK_TIMEOUT_S": "2", **more}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = ReactFunction(namespace)
    monkeypatch.setattr(reaction_settings, "set_up_logs", lambda _settings: None)  # the log of the tests stays
    monkeypatch.setattr(react, "publish", lambda _function, values, **_details: made.said.append(dict(values)))
    forget()
    try:
        yield made
    finally:
        forget()


def forget() -> None:
    """As a new container begins: nothing is kept from earlier invocations."""
    if react._reacting.cache_info().currsize:
        react._reacting().close()
    for kept in (react._reacting, reaction_settings.reaction_settings, reaction_settings.secret_file):
        kept.cache_clear()
