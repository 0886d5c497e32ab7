"""What every benchmark does around its measurements: flags, servers, the table, the file."""

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
import structlog

from benchmarks.ground import Ground, ground
from benchmarks.results import Item, Section, commit, machine, now, write
from benchmarks.rounds import ROUNDS, show
from penstock.runtime.allocation import for_many_documents
from penstock_tools.servers.java import find_java
from penstock_tools.servers.platform import Platform, terminated_like_interrupted

HEAP = "1g"

Given = argparse.Namespace
Sections = Callable[[Ground, Given], Iterable[Section]]


def main(name: str, doc: str | None, sections: Sections, *, rounds: int = ROUNDS, **sizes: int) -> None:
    """Run one benchmark by itself, on servers of its own; each of `sizes` is a flag with its default."""
    given = flags(doc, rounds=rounds, **sizes).parse_args()
    quieten()
    with stopped_quietly(), Platform(heap=HEAP) as platform, ground(platform) as at:
        tell(name, sections(at, given), given, versions(at))


@contextmanager
def stopped_quietly() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop everything in order, without a traceback."""
    with terminated_like_interrupted():
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def flags(doc: str | None, *, rounds: int, **sizes: int) -> argparse.ArgumentParser:
    """The flags that every benchmark has, and its sizes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="write the figures there as JSON")
    for flag, default in {"rounds": rounds, **sizes}.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", type=int, default=default, help=f"default: {default}")
    return parser


def quieten() -> None:
    """Only warnings are logged, and garbage is collected as in `penstock run`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for_many_documents()


def tell(name: str, sections: Iterable[Section], given: Given, taking_part: dict[str, str]) -> None:
    """Show the sections as they come; write all of them at the end, or nothing if one of them failed."""
    found = []
    for section in sections:
        show(section)
        found.append(section)
    if given.results:
        sizes = {flag: value for flag, value in vars(given).items() if flag != "results"}
        write(given.results, Item(name, sizes, machine(taking_part), now(), commit(), found))


def versions(at: Ground, heap: str = HEAP) -> dict[str, str]:
    """The versions of what takes part."""
    release = find_java().parent.parent / "release"
    java = [line.partition("=")[2].strip('"') for line in release.read_text().splitlines() if "JAVA_VERSION=" in line]
    return {
        "pymongo": pymongo.version,
        "OpenSearch": at.client.request("GET", "/").json()["version"]["number"],
        "Java": java[0] if java else "unknown",
        "heap of OpenSearch": heap,
    }
