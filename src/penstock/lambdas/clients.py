"""What a function keeps from one invocation to the next: its settings and its connections, made at the first use."""

import os
from functools import cache

from penstock.connections import sink_client, source_connection
from penstock.mongo.connection import Connection
from penstock.observe.logs import set_up_logs
from penstock.opensearch.http.client import Client
from penstock.settings import CollectionSettings, Settings, read_settings


@cache
def settings() -> Settings:
    """The settings, from the environment alone; sets up the log. Raises SettingsError."""
    found = read_settings(environ=os.environ, need_collections=True)
    set_up_logs(found.observe)
    return found


def collection() -> CollectionSettings:
    """The collection that the writer, the reader and the config function serve: the first of the settings."""
    return settings().collections[0]


@cache
def source() -> Connection:
    """The way to the cluster; nothing is asked before its client is used. Raises SettingsError."""
    return source_connection(settings().source, lazily=True)


@cache
def sink() -> Client:
    """The client of the domain. Raises SettingsError."""
    return sink_client(settings())
