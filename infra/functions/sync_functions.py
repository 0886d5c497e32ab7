"""Which sync functions there are: one for all collections, or one for each.

One for each has a name, a role with the rights on its index alone, a log, a mapping and alarms of its own, and finds
its settings in a layer beside the code that all share: so a collection that is added, changed or removed touches no
other function. The queue is shared: a parked key names its collection, one replay empties it, and one alarm says that
there is something to replay.
"""

from typing import NamedTuple

from infra.collections import LAYER
from infra.configuration import Configuration
from infra.functions.names import readable, short
from penstock.lambdas.environment import function_name
from penstock.settings import CollectionSettings


class SyncFunction(NamedTuple):
    """A sync function: `key` is empty, or stands for its collection in the template and in the names of its alarms."""

    key: str
    label: str
    tables: tuple[CollectionSettings, ...]

    @property
    def construct(self) -> str:
        """The name of its constructs."""
        return f"Sync{self.key}"

    @property
    def function_name(self) -> str:
        """The name of the function on AWS."""
        return function_name("-".join(filter(None, ["sync", self.label])))

    @property
    def settings_folder(self) -> str:
        """The folder in which it finds its settings; empty for the one of its code."""
        return f"{LAYER}/" if self.key else ""


def sync_functions(configuration: Configuration) -> list[SyncFunction]:
    """Return the sync functions of a deployment."""
    if configuration.sync_functions == "one":
        return [SyncFunction("", "", configuration.tables)]
    return [SyncFunction(short(table.namespace), readable(table.namespace), (table,)) for table in configuration.tables]
