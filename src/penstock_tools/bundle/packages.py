"""Installs the packages of a lock file, as wheels, for any architecture."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from penstock_tools.bundle.errors import AssetError

FUNCTIONS_LOCK: Final = Path(__file__).with_name("functions.lock")
OPERATIONS_LOCK: Final = Path(__file__).with_name("operations.lock")
IMAGE_LOCK: Final = Path(__file__).with_name("image.lock")
"""Of the Dockerfile: with the console, OpenTelemetry and the client of Kafka."""
_LAST_LINES = 15


@dataclass(frozen=True)
class Target:
    """Where the packages will run; `platform` None means this machine."""

    python: str
    platform: str | None


def install(folder: Path, lock: Path, target: Target) -> None:
    """Install the packages of the lock file into the folder and check their hashes. Raises AssetError."""
    words: list[str | Path] = [
        "pip",
        "install",
        "--target",
        folder,
        "--python",
        sys.executable,
        "--python-version",
        target.python,
    ]
    if target.platform is not None:
        words += ["--python-platform", target.platform]
    words += ["--only-binary", ":all:", "--require-hashes", "--requirement", lock, "--no-compile-bytecode"]
    if _run("--offline", *words).returncode != 0:  # uv's cache lacks some of them: ask the index
        uv(f"The packages of {lock.name} cannot be installed for Python {target.python}", *words)


def uv(failure: str, *words: str | Path) -> None:
    """Run uv; if it fails, raise AssetError with `failure` and the end of uv's output."""
    done = _run(*words)
    if done.returncode != 0:
        said = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise AssetError(f"{failure}. uv said:\n{said}")


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if find_spec("uv") is None:
        raise AssetError("Building the functions' folder needs the package uv: pip install uv")
    command = [sys.executable, "-m", "uv", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
