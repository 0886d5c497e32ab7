"""A client of the local source that a module starts as `source`."""

import pytest
from pymongo import MongoClient


@pytest.fixture
def client(source):
    """A client of a server without databases."""
    with MongoClient(source.uri, serverSelectionTimeoutMS=8000, tz_aware=True) as client:
        for name in client.list_database_names():
            client.drop_database(name)
        yield client


@pytest.fixture
def things(client):
    return client.test.things
