"""The jars of the local servers: pinned by SHA-256, fetched once, kept in the user's cache.

Every jar is checked against jars.lock before each use. jgo, which knows where jars are published, is only imported if
one is missing.
"""

import hashlib
import logging
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from penstock_tools.servers.cache import cache_folder
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.progress import Steps

LOCK_FILE = Path(__file__).with_name("jars.lock")
JAR_SETS = ("opensearch", "source", "compiler")
_DOWNLOADS_AT_ONCE = 8


@dataclass(frozen=True)
class Jar:
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def pinned(name: str, lock_file: Path = LOCK_FILE) -> list[Jar]:
    """Return the jars of one of JAR_SETS."""
    section: dict[str, str] = tomllib.loads(lock_file.read_text())[name]
    split = ((*coordinates.split(":", 2), sha256) for coordinates, sha256 in section.items())
    return [Jar(group, artifact, version, sha256) for group, artifact, version, sha256 in split]


def jar_paths(jars: Iterable[Jar], progress: Steps | None = None) -> list[Path]:
    """Return the checked files of the jars; those missing from the cache are fetched."""
    wanted = list(jars)
    folder = fetch_missing(wanted, progress or Steps())
    paths = [folder / jar.file_name for jar in wanted]
    for jar, path in zip(wanted, paths, strict=True):
        _check(jar, path)
    return paths


def fetch_missing(jars: Iterable[Jar], progress: Steps) -> Path:
    """Fetch the jars that are missing from the cache; return its folder."""
    folder = cache_folder() / "jars"
    missing = [jar for jar in jars if not (folder / jar.file_name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(missing, folder, progress)
    return folder


def _check(jar: Jar, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise LocalServerError(
            f"The jar {jar} is not the pinned one: {path} has SHA-256 {found}, expected {jar.sha256}. "
            "Delete the file and start again; if it happens twice, do not trust the repository it comes from."
        )


def _fetch(jars: list[Jar], folder: Path, progress: Steps) -> None:
    progress.step(f"Downloading {len(jars)} jars, once, into {folder}")
    with (
        tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as staging,
        ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool,
    ):
        maven = _maven(Path(staging))
        futures = [pool.submit(_fetch_one, jar, maven, folder) for jar in jars]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress.tick(f"Downloaded {done} of {len(jars)} jars")
        finally:
            pool.shutdown(cancel_futures=True)
    progress.step(f"Downloaded {len(jars)} jars")


def _maven(staging: Path) -> Any:
    """Return jgo's view of the repositories, with the user's settings for it."""
    if find_spec("jgo") is None:
        raise LocalServerError(
            "The local servers need the package jgo, which is not installed: pip install 'penstock[local]'"
        )
    from jgo.config import GlobalSettings  # noqa: PLC0415 (optional, and slow to import)
    from jgo.maven import MavenContext  # noqa: PLC0415

    settings = GlobalSettings.load()
    known = MavenContext(repo_cache=staging, local_repos=[settings.repo_cache], timeout=60)
    known.remote_repos.update(settings.repositories)
    logging.getLogger("jgo").setLevel(logging.ERROR)
    return known


def _fetch_one(jar: Jar, maven: Any, folder: Path) -> None:
    from requests import RequestException  # noqa: PLC0415 (comes with jgo)

    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact("", "jar")
    try:
        fetched: Path = artifact.resolve()
    except (RequestException, RuntimeError, OSError) as error:
        raise LocalServerError(
            f"The jar {jar} cannot be downloaded: {error}. The local servers need the network once. Check the network"
            " (and HTTPS_PROXY, REQUESTS_CA_BUNDLE or a repository in jgo's settings, if you need them), then start"
            " again."
        ) from error
    _check(jar, fetched)
    staged = Path(maven.repo_cache) / f"{jar.sha256}.jar"
    staged.write_bytes(fetched.read_bytes())
    staged.replace(folder / jar.file_name)
