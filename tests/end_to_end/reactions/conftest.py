"""A receiver of events, a collection, and the reaction between them."""

import pytest

from testkit.receiver import SECRET, receiver
from testkit.workspace import until


@pytest.fixture
def hook():
    with receiver() as hook:
        yield hook


@pytest.fixture
def namespace(database):
    database.create_collection("orders")
    return f"{database.name}.orders"


@pytest.fixture
def name(database):
    """The name of a reaction, which no other test has: its state stays."""
    return f"hook-{database.name}"


@pytest.fixture
def webhook(namespace, name):
    """The table of a webhook."""

    def webhook(hook, **more):
        its = {"name": name, "collections": [namespace], "target": "webhook", "url": hook.url, "secret": SECRET}
        return {**its, **more}

    return webhook


@pytest.fixture
def started(site):
    """Start a worker, and wait until these reactions have a position."""

    def started(*names):
        worker = site.start("run")
        until(lambda: all(site.reaction_state(each)["position"] for each in names), lambda: worker.errors)
        worker.until_live()
        return worker

    return started
