"""Makes the servers start in a third of the time, with what Java learned in a rehearsed run.

Java 25 and newer write the classes they loaded and linked, and the methods that were busy, into a file (an AOT cache);
a later start of exactly the same program reads it. It is made once, when a program is new on this machine.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock_tools.servers.cache import cache_folder, made_by_one
from penstock_tools.servers.child import Child
from penstock_tools.servers.java import Program, find_java, java_version
from penstock_tools.servers.progress import Steps

_FIRST_JAVA_WITH_IT = 25
_START_SECONDS = 180
_WRITE_SECONDS = 300
_KEPT_VERSIONS = 3


def learned_options(
    program: Program,
    arguments: Callable[[Path], Sequence[str | Path]],
    rehearse: Callable[[int], None],
    progress: Steps,
) -> list[str]:
    """Return the Java options that make the program start faster, after a rehearsal if this is its first start.

    `arguments` gives the program's arguments for a folder of its own; `rehearse` uses the server on the given port.
    """
    if java_version(find_java()) < _FIRST_JAVA_WITH_IT:
        return []
    learned = cache_folder() / "learned" / f"{program.name}-{_fingerprint(program)}.aot"
    if not learned.exists():
        with made_by_one(f"{program.name}.aot"):
            if not learned.exists():
                progress.step(f"Rehearsing the start of {program.name} once, so that later starts are faster")
                learned.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(prefix="rehearse-", dir=learned.parent) as folder:
                    new = _learn(program, arguments(Path(folder, "server")), rehearse, Path(folder, "new.aot"))
                    new.replace(learned)
                _drop_oldest(program, learned.parent)
    try:
        return [f"-XX:AOTCache={learned}"] if learned.stat().st_size else []
    except FileNotFoundError:  # another version of the program was started meanwhile, and took it for outdated
        return []


def _drop_oldest(program: Program, folder: Path) -> None:
    """Keep what was learned last, of a few versions: two clones may stand side by side and start in turn."""
    files = {file: file.stat().st_mtime for file in folder.glob(f"{program.name}-*.aot")}
    for outdated in sorted(files, key=files.__getitem__)[:-_KEPT_VERSIONS]:
        outdated.unlink(missing_ok=True)


def _learn(program: Program, arguments: Sequence[str | Path], rehearse: Callable[[int], None], target: Path) -> Path:
    """Run the program once; if Java cannot write the file, leave an empty one, so that this is not tried again."""
    command = program.command(*arguments, options=[f"-XX:AOTCacheOutput={target}"])
    everybodys = {"JAVA_TOOL_OPTIONS": ""}  # what is learned is for every later start, whatever this shell's options
    child = Child(program.name, command, log=target.with_suffix(".log"), env=everybodys)
    try:
        rehearse(child.wait_ready(_START_SECONDS))
        child.stop(_WRITE_SECONDS)
    finally:
        child.stop(patience=0)
    target.touch()
    return target


def _fingerprint(program: Program) -> str:
    """Return a key for the learned file: Java accepts it only for the same Java, options and unchanged jars."""
    release = (find_java().parent.parent / "release").read_text()
    jars = [f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in program.class_path]
    return hashlib.sha256("\n".join([release, *program.options, *jars]).encode()).hexdigest()[:16]
