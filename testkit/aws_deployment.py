"""A local deployment as a user sees it: the API over HTTP, the mapping by the AWS CLI, `penstock` commands."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pymongo
import urllib3
from pymongo.collection import Collection

from penstock.documents.document_id import document_id
from penstock.documents.transform import Transform
from penstock.lambdas.environment import function_name
from penstock.mongo.codec import CODEC
from penstock.settings import CollectionSettings
from penstock_tools.aws.deployment import REGION, Deployment

BIN = Path(sys.executable).parent


class Answered(NamedTuple):
    status: int
    body: Any


class AwsSite:
    """What a test does with a deployment, and what it looks at."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.settings = deployment.settings
        self.http = urllib3.PoolManager(retries=False)
        self.client: pymongo.MongoClient = pymongo.MongoClient(deployment.platform.source.uri)
        named = CollectionSettings(namespace=self.settings.namespace, index=self.settings.index)
        self._transform = Transform(named)

    @property
    def folder(self) -> Path:
        """Where commands run that find no settings file."""
        return self.deployment.folder

    @property
    def collection(self) -> Collection:
        database = self.client.get_database(self.settings.database, codec_options=CODEC)
        return database.get_collection(self.settings.collection)

    def close(self) -> None:
        self.client.close()
        self.http.clear()

    def api(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answered:
        given = key if key is not None else self.deployment.api_key
        headers = {"content-type": "application/json"} | ({"x-api-key": given} if given else {})
        answer = self.http.request(
            method, self.deployment.gateway.url + path, body=None if body is None else json.dumps(body), headers=headers
        )
        return Answered(answer.status, answer.json())

    def aws(self, *words: str) -> Any:
        """A call of the AWS CLI to Lambda's API."""
        command = [str(BIN / "aws"), "--region", REGION, "--endpoint-url", self.deployment.lambda_url, "lambda", *words]
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_PAGER": ""}
        done = subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def penstock(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command with the environment of operations.env."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "AWS_"))}
        return subprocess.run(
            [str(BIN / "penstock"), *words],
            env={**clean, **self.deployment.operations()},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def mapping_is(self, state: str) -> bool:
        return self.deployment.mappings.get(str(self.deployment.mapping_id))["State"] == state

    def opensearch(self, method: str, path: str, body: Any = None) -> Any:
        """Straight to the cluster behind the domain."""
        url = self.deployment.platform.opensearch.url + path
        headers = {"content-type": "application/json"}
        answer = self.http.request(method, url, body=None if body is None else json.dumps(body), headers=headers)
        assert answer.status in (200, 404), answer.data
        return orjson.loads(answer.data) if answer.status == 200 else None

    def indexed(self) -> dict[str, Any]:
        """The documents of the index, by document id."""
        alias = self.settings.index
        if self.opensearch("POST", f"/{alias}/_refresh") is None:
            return {}
        hits = self.opensearch("POST", f"/{alias}/_search", {"size": 10_000})["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}

    def expected(self, *, without: Mapping[str, Any] | frozenset[str] = frozenset()) -> dict[str, Any]:
        """What the index must hold, by the collection."""
        bodies = {document_id(each["_id"]): self._transform(each) for each in self.collection.find()}
        return {text_id: orjson.loads(body or b"") for text_id, body in bodies.items() if text_id not in without}

    def wait_in_step(self, *, without: frozenset[str] = frozenset(), within_s: float = 120) -> None:
        """Wait until the index holds exactly what the collection holds."""
        until = time.monotonic() + within_s
        while (found := self.indexed()) != (expected := self.expected(without=without)):
            missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
            differing = {key for key in found.keys() & expected.keys() if found[key] != expected[key]}
            assert time.monotonic() < until, (
                f"missing {sorted(missing)[:5]}, extra {sorted(extra)[:5]}, different {sorted(differing)[:5]}\n"
                + self.deployment.log_of("sync").read_text()[-3000:]
            )
            time.sleep(0.05)

    def dead_letters(self) -> set[str]:
        """The document ids of the collection's dead letters."""
        if self.opensearch("POST", "/penstock-dead-letters/_refresh") is None:
            return set()
        query = {"query": {"term": {"namespace": self.settings.namespace}}, "size": 1000}
        hits = self.opensearch("POST", "/penstock-dead-letters/_search", query)["hits"]["hits"]
        return {hit["_source"]["id"] for hit in hits}

    def kill_sync(self) -> None:
        """End the function's process at once, as a crash would."""
        self.deployment.functions[function_name("sync")].crash()


def eventually(condition: Callable[[], Any], within_s: float = 120) -> Any:
    """Wait for a condition and answer what it answered; fails when it does not come true."""
    until = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < until, f"{condition} did not come true within {within_s} s"
        time.sleep(0.1)  # most ask a server
    return answer


__all__ = ["Answered", "AwsSite", "closing", "eventually"]
