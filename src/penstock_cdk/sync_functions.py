"""Which sync functions there are: one for all collections, or one for each.

One for each has a name, a role with the rights on its index alone, a log, a mapping and alarms of its own, and finds
its settings in a layer beside the code that all share: so a collection that is added, changed or removed touches no
other function. The queue is shared: a parked key names its collection, one replay empties it, and one alarm says that
there is something to replay.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from penstock.settings import CollectionSettings
from penstock_cdk.collections import LAYER
from penstock_cdk.names import readable, short

SyncFunctions = Literal["one", "each"]


class SyncFunction(NamedTuple):
    """A sync function: `key` is empty, or stands for its collection in the template and in the names of its alarms."""

    key: str
    label: str
    tables: Sequence[CollectionSettings]

    @property
    def construct(self) -> str:
        """The name of its constructs."""
        return f"Sync{self.key}"

    @property
    def name(self) -> str:
        """The end of the function's name on AWS."""
        return f"sync-{self.label}" if self.label else "sync"

    @property
    def settings_folder(self) -> str:
        """The folder in which it finds its settings; empty for the one of its code."""
        return f"{LAYER}/" if self.key else ""


def sync_functions(tables: Sequence[CollectionSettings], how_many: SyncFunctions) -> list[SyncFunction]:
    """Return the sync functions of these collections."""
    if how_many == "one":
        return [SyncFunction("", "", tables)]
    return [SyncFunction(short(table.namespace), readable(table.namespace), (table,)) for table in tables]
