"""A console whose servers are away: what keeps it safe does not depend on them."""

from collections.abc import Iterator

import pytest

from penstock.settings import Settings
from testkit.console_client import ConsoleClient, served_console

SECRETS = (
    "pass-of-the-source",
    "pass-of-the-sink",
    "path-of-the-webhook",
    "secret-of-the-webhook",
    "operators-token-of-tests",
    "viewers-token-of-tests",
)
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def away() -> Settings:
    """Settings full of secrets, with a collection of a hostile name, and nothing that answers."""
    return Settings.model_validate(
        {
            "source": {
                "uri": f"mongodb://ann:{SECRETS[0]}@127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=100",
            },
            "sink": {"url": "http://127.0.0.1:1", "auth": "basic", "username": "ann", "password": SECRETS[1]},
            "collections": [
                {"namespace": "shop.orders", "index": "orders"},
                {"namespace": f"shop.{HOSTILE}", "index": "hostile"},
            ],
            "reactions": [
                {
                    "name": "mails",
                    "collections": ["shop.orders"],
                    "target": "webhook",
                    "url": f"http://127.0.0.1:1/{SECRETS[2]}",
                    "secret": SECRETS[3],
                }
            ],
        }
    )


@pytest.fixture(scope="session")
def shared(away: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleClient]:
    """A console with actions; an operator is logged in."""
    with served_console(away, tmp_path_factory.mktemp("console")) as client:
        yield client


@pytest.fixture
def nobody(shared: ConsoleClient) -> ConsoleClient:
    """Somebody at the same console who is not logged in."""
    return ConsoleClient(shared.address)
