"""Helm, to render the chart: the one on the PATH, or one that is built once for this user.

python -m testkit.helm      builds it with Go, by the checksums of Go's public log: about four minutes on two cores
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

VERSION = "v4.3.2"
HOW = f"helm is not on the PATH; `python -m testkit.helm` builds {VERSION} with Go"
ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "penstock"
VALUES = ROOT / "examples" / "kubernetes-values.yaml"
EXAMPLE = ROOT / "examples" / "kubernetes.yaml"
KAFKA_VALUES = ROOT / "examples" / "kubernetes-kafka-values.yaml"
KAFKA_EXAMPLE = ROOT / "examples" / "kubernetes-kafka.yaml"
EXAMPLES = {EXAMPLE: VALUES, KAFKA_EXAMPLE: KAFKA_VALUES}
"""The plain manifests, and the values that they are made of."""

_BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock" / "helm" / VERSION / "helm"
_ONLY_HELM = re.compile(r"^ *(?:helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
_HEADS = {
    EXAMPLE: "Two workers in Kubernetes",
    KAFKA_EXAMPLE: "Capture and apply, by topics of Apache Kafka, in Kubernetes",
}


def find() -> str | None:
    """Where helm is, if it is anywhere."""
    return shutil.which("helm") or (str(_BUILT) if _BUILT.exists() else None)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm, with no folder of the user."""
    helm = find()
    assert helm, HOW
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home}
        return subprocess.run([helm, *words], capture_output=True, text=True, check=False, env=environ)


def template(values: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    """Render the chart with these values."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "values.yaml")
        file.write_text(yaml.safe_dump(values))
        return run("template", "penstock", CHART, "--values", file, *flags)


def plain_manifest(example: Path) -> str:
    """What the chart makes of an example's values, for those who have no helm."""
    values = EXAMPLES[example]
    done = run("template", "penstock", CHART, "--values", values)
    assert done.returncode == 0, done.stderr
    head = (
        f"# {_HEADS[example]}, without helm: kubectl apply -f {example.name}. What is what: docs/kubernetes.md.\n"
        f"# Made of the chart deploy/helm/penstock with examples/{values.name} by `python tests/docs/regenerate.py`.\n"
    )
    return head + re.sub(r" +\n", "\n", _ONLY_HELM.sub("", done.stdout))


def build() -> Path:
    """Build it, unless it is there."""
    if not _BUILT.exists():
        _BUILT.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_BUILT.parent) as folder:
            environ = {**os.environ, "GOBIN": folder, "GOFLAGS": ""}
            subprocess.run(["go", "install", f"helm.sh/helm/v4/cmd/helm@{VERSION}"], check=True, env=environ)
            Path(folder, "helm").rename(_BUILT)
    return _BUILT


if __name__ == "__main__":
    sys.stdout.write(f"{find() or build()}\n")
