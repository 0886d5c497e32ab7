"""What a function keeps between invocations: its settings and its connections, made at the first use."""

import os
from functools import cache
from pathlib import Path

from penstock.connections import sink_client, source_connection
from penstock.mongo.connection import Connection
from penstock.observe.logs import set_up_logs
from penstock.opensearch.http.client import Client
from penstock.settings import CollectionSettings, Settings, read_settings
from penstock.settings.table import SETTINGS_VARIABLE


@cache
def settings() -> Settings:
    """Return the settings, read from the environment and from the file that it names, if it names one; sets up the log.

    Raises SettingsError.
    """
    file = os.environ.get(SETTINGS_VARIABLE)
    found = read_settings(file=Path(file) if file else None, environ=os.environ, need_collections=True)
    set_up_logs(found.observe)
    return found


def collection() -> CollectionSettings:
    """Return the collection of the writer, the reader and the config function: the first one in the settings."""
    return settings().collections[0]


@cache
def source() -> Connection:
    """Return the connection to the cluster; it connects when its client is first used. Raises SettingsError."""
    return source_connection(settings().source, lazily=True)


@cache
def sink() -> Client:
    """Return the client of the domain. Raises SettingsError."""
    return sink_client(settings())
