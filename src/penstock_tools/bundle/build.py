"""What goes into which folder."""

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Set as AbstractSet
from importlib.metadata import version
from pathlib import Path
from typing import Final

from penstock_tools.bundle.drop import is_dropped
from penstock_tools.bundle.errors import AssetError
from penstock_tools.bundle.packages import FUNCTIONS_LOCK, OPERATIONS_LOCK, Target, install
from penstock_tools.bundle.stable import make_stable

ARCHITECTURES: Final = {"x86_64": "x86_64-manylinux2014", "arm64": "aarch64-manylinux2014"}
"""Lambda's name of each architecture, and the platform whose wheels run on it."""

_IN_NO_FOLDER: Final = ("capture", "console", "delivery/shared_load", "observe/otlp.py", "operations/check/log.py")
"""Parts of penstock that no function and no task uses."""

_OF_KAFKA: Final = {
    "kafka": ("__init__.py", "log.py", "partitioner.py", "passed_mark.py", "positions.py", "records.py"),
    "delivery/topics": ("__init__.py", "change_events.py", "keys.py", "texts.py", "understanding.py"),
}
"""Packages of which only these modules are used: the others need Kafka's driver."""

_ONLY_IN_OPERATIONS: Final = ("cli",)


def build_functions(folder: Path, *, architecture: str, python: str = "3.13") -> None:
    """Build the code of the four functions. The result of an earlier build in the folder is replaced.

    Needs the network for packages that uv's cache lacks. Raises AssetError.
    """
    _build(folder, FUNCTIONS_LOCK, _target(architecture, python), without=_ONLY_IN_OPERATIONS)


def build_operations(folder: Path, *, architecture: str, python: str = "3.13") -> None:
    """Build the code of the task that runs `penstock` commands; otherwise like `build_functions`."""
    _build(folder, OPERATIONS_LOCK, _target(architecture, python))


def build_local(folder: Path) -> None:
    """Build the functions' code for this interpreter on this machine; otherwise like `build_functions`."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    _build(folder, FUNCTIONS_LOCK, Target(python, platform=None), without=_ONLY_IN_OPERATIONS)


def _target(architecture: str, python: str) -> Target:
    if architecture not in ARCHITECTURES:
        raise AssetError(f"Lambda has no architecture {architecture!r}; use one of {', '.join(ARCHITECTURES)}.")
    return Target(python, ARCHITECTURES[architecture])


def _build(folder: Path, lock: Path, target: Target, *, without: tuple[str, ...] = ()) -> None:
    _require_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as staging:
        installed, built = Path(staging, "installed"), Path(staging, "built")
        install(installed, lock, target)
        _copy(installed, built, target)
        _add_penstock(built, target, without)
        make_stable(built)
        if folder.exists():
            folder.rename(Path(staging, "earlier"))
        built.rename(folder)


def _require_replaceable(folder: Path) -> None:
    """Raise AssetError if the folder contains something that is not from a build."""
    ours = any(folder.glob("penstock-*.dist-info"))
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise AssetError(f"{folder} contains something other than an earlier build; name another folder, or empty it.")


def _add_penstock(built: Path, target: Target, without: tuple[str, ...]) -> None:
    """Copy this package from where it is installed, with its version for importlib.metadata."""
    spec = importlib.util.find_spec("penstock")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0])
    left_out = {source / name for name in (*without, *_IN_NO_FOLDER)}
    for package, used in _OF_KAFKA.items():
        left_out |= {each for each in (source / package).iterdir() if each.name not in used}
    _copy(source, built / source.name, target, without=left_out)
    metadata = built / f"penstock-{version('penstock')}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: penstock\nVersion: {version('penstock')}\n", encoding="utf-8")


def _copy(source: Path, built: Path, target: Target, *, without: AbstractSet[Path] = frozenset()) -> None:
    """Copy the files that are used. uv's files may be links into its cache, which must keep its modes and times."""
    for file in source.rglob("*"):
        named = file.relative_to(source)
        if file.is_file() and without.isdisjoint((file, *file.parents)) and not is_dropped(named, target.python):
            copy = built / named
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
