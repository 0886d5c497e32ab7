"""The worker's task, run as far as it can be here: its image's command, its environment, its health check.

The servers are those of the deployment on this machine. Its domain lets the worker do what the role of the task may do,
and nothing else.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from penstock.lambdas import environment as variables
from penstock_tools.aws.deployment import Deployment, DeploymentSettings
from penstock_tools.aws.domain.signature import Received
from penstock_tools.aws.domain.signature_server import Said
from testkit.aws_deployment import BIN, AwsSite, eventually
from testkit.templates import LAMBDA, properties

TABLE = {"namespace": "demo-database.demo-collection", "index": "demo-index", "replicas": 0, "exclude": ["card"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSite]:
    settings = DeploymentSettings(batch_window_s=0, function_timeout_s=30, sink_timeout_s=10)
    with Deployment(tmp_path_factory.mktemp("aws"), settings) as deployment, closing(AwsSite(deployment)) as site:
        yield site


class Task:
    """A task: what its definition says, with the names of the servers here in the place of references."""

    def __init__(self, container: dict[str, Any], image: Path, deployment: Deployment, folder: Path) -> None:
        self.log, self._container = folder / "log", container
        here = deployment.worker()
        told = {each["Name"]: each["Value"] for each in container["Environment"]}
        references = {name for name, value in told.items() if not isinstance(value, str)}
        assert references == {variables.SECRET, variables.ENDPOINT, variables.DOMAIN, "AWS_REGION"}
        local = {name: value for name, value in here.items() if name.startswith("AWS_") or name.endswith("TLS_CA_FILE")}
        told |= {**local, **{name: here[name] for name in references & here.keys()}}
        told |= {"AWS_REGION": here["AWS_DEFAULT_REGION"], variables.LISTEN: "127.0.0.1:0"}
        shutil.copytree(image / "settings", folder / "etc-penstock")
        dockerfile = (image / "Dockerfile").read_text()
        (entrypoint,) = re.findall(r"^ENTRYPOINT (\[.*\])$", dockerfile, re.MULTILINE)
        program, *words = [*json.loads(entrypoint), *container["Command"]]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BIN / program, *words],
                cwd=folder / "etc-penstock",
                env={"PATH": os.environ["PATH"], **told},
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def health(self) -> int:
        """The exit code of its health check."""
        assert self.process.poll() is None, self.log.read_text()
        address = next((line["address"] for line in self.lines("serving health and metrics")), "http://127.0.0.1:1")
        kind, python, *words = self._container["HealthCheck"]["Command"]
        assert (kind, python) == ("CMD", "python")
        words = [word.replace(f"http://127.0.0.1:{variables.WORKER_PORT}", address) for word in words]
        return subprocess.run([sys.executable, *words], capture_output=True, check=False, timeout=60).returncode


def test_two_tasks_take_over_from_the_mapping_and_from_each_other(
    site: AwsSite, synthesis: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = synthesis({"door": "worker", "collections": [TABLE]})
    (container,) = properties(done.templates[LAMBDA], "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    image = done.folder / f"asset.{container['Image']['Fn::Sub'].rpartition(':')[2]}"
    refused: list[str] = []
    answer = site.deployment.domain.answer

    def watched(request: Received) -> Said:
        said = answer(request)
        if said.status == 403:
            refused.append(f"{request.method} {request.path}")
        return said

    monkeypatch.setattr(site.deployment.domain, "answer", watched)
    site.collection.insert_many([{"_id": number, "n": number} for number in range(50)])
    site.wait_in_step()
    with ExitStack() as stack:
        tasks = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            task = Task(container, image, site.deployment, tmp_path / name)
            stack.callback(task.process.communicate)
            stack.callback(task.process.kill)
            tasks.append(task)
        eventually(lambda: all(task.health() == 0 for task in tasks))
        first = eventually(lambda: next((task for task in tasks if task.lines("took the lease")), None))
        (second,) = [task for task in tasks if task is not first]
        site.collection.update_many({"_id": {"$lt": 9}}, {"$set": {"n": "by both doors"}})
        site.wait_in_step()
        site.aws("update-event-source-mapping", "--uuid", str(site.deployment.mapping_id), "--no-enabled")
        eventually(lambda: site.mapping_is("Disabled"))
        site.collection.insert_one({"_id": "by the worker", "card": "4711"})
        eventually(lambda: site.indexed().get("by the worker") == {})

        first.process.terminate()
        out, _ = first.process.communicate(timeout=container["StopTimeout"])
        assert first.process.returncode == 0, first.log.read_text()
        site.collection.delete_one({"_id": 7})
        eventually(lambda: second.lines("took the lease"))
        eventually(lambda: site.indexed().keys() == site.expected().keys())
        assert second.health() == 0
        away = {"remove": {"index": "demo-index-g1", "alias": "demo-index"}}
        site.opensearch("POST", "/_aliases", {"actions": [away]})
        eventually(lambda: site.opensearch("GET", "/_alias/demo-index"))
    measured = json.loads(out.splitlines()[-1])
    assert measured["Worker"] == "change-streams-demo-worker"
    assert {"PipelinesHeld", "Written"} <= measured.keys()
    assert refused == []
