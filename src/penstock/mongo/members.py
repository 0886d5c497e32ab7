"""Which member of the replica set a change stream is read from.

A cursor lives on one member, and the driver's own read preference chooses again for each command. So a member is chosen
when a stream is opened, and every command of its cursor goes there.
"""

import random
import time
from typing import Final, TypeAlias

from pymongo.read_preferences import Primary, ReadPreference, SecondaryPreferred
from pymongo.server_selectors import Selection

from penstock.mongo.connection import SourceClient

Member: TypeAlias = "Primary | AtSecondary"
"""Where a command is sent."""

PRIMARY: Final = ReadPreference.PRIMARY

_DISCOVERY_S: Final = 1.0
"""How long a member is waited for that has not said yet what it is."""


class AtSecondary(SecondaryPreferred):
    """One secondary. While it is away, or the primary, the driver finds no server for the command."""

    def __init__(self, address: tuple[str, int | None]) -> None:
        super().__init__()
        self._address = address

    def __call__(self, selection: Selection) -> Selection:
        """Return the servers to choose from."""
        secondaries: Selection = super().__call__(selection)
        return secondaries.with_server_descriptions(
            [each for each in secondaries.server_descriptions if each.address == self._address]
        )


def a_secondary(client: SourceClient) -> Member:
    """A secondary by chance; the primary where there is none at present."""
    there = secondaries(client)
    return AtSecondary(random.choice(there)) if there else PRIMARY


def secondaries(client: SourceClient) -> list[tuple[str, int | None]]:
    """The addresses of the secondaries that answer at present."""
    patience = time.monotonic() + _DISCOVERY_S
    while not _is_discovered(client) and time.monotonic() < patience:
        time.sleep(_DISCOVERY_S / 50)
    there: list[tuple[str, int | None]] = sorted(client.secondaries)
    return there


def _is_discovered(client: SourceClient) -> bool:
    kinds = {each.server_type_name for each in client.topology_description.server_descriptions().values()}
    return "RSSecondary" in kinds or "Unknown" not in kinds
