"""The example for Docker Compose, as far as it shows without Docker."""

import pytest
import yaml
from typer.main import get_command

from penstock.cli.app import app
from penstock.settings import read_settings
from testkit.helm import ROOT

FOUND = yaml.safe_load((ROOT / "examples" / "compose-kafka.yaml").read_text())
SERVICES = FOUND["services"]
BROKERS = [name for name in SERVICES if name.startswith("kafka-")]


@pytest.mark.parametrize(("service", "replicas"), [("capture", 2), ("apply", 3)])
def test_penstock_takes_command_and_settings_of_each_service(service, replicas):
    found = SERVICES[service]
    assert found["deploy"]["replicas"] == replicas
    (command,) = found["command"]
    assert command in get_command(app).commands
    settings = read_settings(environ=found["environment"], need_collections=True)
    assert settings.has_own_topic("shop.orders")
    assert [each.partition(":")[0] for each in settings.log.bootstrap_servers.split(",")] == BROKERS
    assert (ROOT / "examples" / found["build"] / "Dockerfile").exists()


def test_the_brokers_keep_what_one_of_them_loses():
    assert len(BROKERS) == 3
    for number, name in enumerate(BROKERS, start=1):
        settings = SERVICES[name]["environment"]
        assert settings["KAFKA_NODE_ID"] == str(number)
        assert settings["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
        assert f"{number}@{name}:9093" in settings["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")
        for factor in ("OFFSETS_TOPIC_REPLICATION_FACTOR", "TRANSACTION_STATE_LOG_REPLICATION_FACTOR"):
            assert settings[f"KAFKA_{factor}"] == "3"
        for least in ("MIN_INSYNC_REPLICAS", "TRANSACTION_STATE_LOG_MIN_ISR"):
            assert settings[f"KAFKA_{least}"] == "2"
        assert settings["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"


def test_what_is_waited_for_and_mounted_is_declared():
    for found in SERVICES.values():
        assert set(found.get("depends_on", {})) <= set(SERVICES)
        for name in found.get("depends_on", {}):
            assert "healthcheck" in SERVICES[name]
        assert {each.partition(":")[0] for each in found.get("volumes", ())} <= set(FOUND["volumes"])
