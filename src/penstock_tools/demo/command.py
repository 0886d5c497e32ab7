"""The command: start the servers, load, edit, search; then open the console and keep running, or compare and end."""

import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console

from penstock.cli.console import console_server
from penstock.cli.progress import QuietProgress, progress_display
from penstock.documents.transform import Transform
from penstock.errors import SettingsError
from penstock.model import BsonDocument, Namespace
from penstock.mongo.collections import chunks
from penstock.mongo.connection import Connection, connect
from penstock.observe.logs import set_up_logs
from penstock.observe.metrics import Metrics
from penstock.runtime.allocation import for_many_documents
from penstock.runtime.intervals import INTERVALS
from penstock.settings import (
    CollectionSettings,
    ConsoleSettings,
    LogSettings,
    ObserveSettings,
    Settings,
    SinkSettings,
    SourceSettings,
)
from penstock.worker import worker
from penstock.worker.progress import peak_memory_bytes
from penstock_tools.compare import Comparison, compare
from penstock_tools.demo import kafka
from penstock_tools.demo.cities import CREDIT, cities
from penstock_tools.demo.edits import Cities, editing, gentle, one_of_each
from penstock_tools.demo.index import DemoIndex
from penstock_tools.demo.searches import IN_ANOTHER_SCRIPT, LARGE_IN_INDIA, table
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.platform import Platform, terminated_like_interrupted
from penstock_tools.servers.ports import require_free
from penstock_tools.servers.progress import progress_here

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)

NAMESPACE = Namespace("world", "cities")
INDEX = "cities"
CONSOLE_PORT = 9401
REFUSED = {"_id": -2, "name": "El Dorado", "names": ["Manoa"], "twins": {"Atlantis": True}}
"""A city that the index refuses: its mapping knows no twins, until the demo allows them."""
_AT_ONCE = 2000
_LOOKS = 5
_REFUSED_WITHIN_S = 30.0
_EQUAL, _DIFFERENT, _INTERRUPTED = 0, 1, 130


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="At the end, compare source and index field by field, and exit.")
    ] = False,
    edits: Annotated[int, typer.Option(min=2, help="How many edits to measure the latency with.")] = 100,
    a_second: Annotated[float, typer.Option("--rate", min=0.1, help="Edits per second.")] = 20.0,
    by_kafka: Annotated[
        bool,
        typer.Option(
            "--kafka",
            help="Let `penstock capture` write the changes into Apache Kafka and three processes of `penstock apply`"
            " bring them to the index; one of these is killed.",
        ),
    ] = False,
) -> None:
    """Load 34,006 cities into OpenSearch, watch edits arrive, and search.

    Then the console is open, and servers and edits go on until Ctrl-C.
    """
    set_up_logs(ObserveSettings(log_level="warning"))
    for_many_documents()
    begun = time.monotonic()
    try:
        with terminated_like_interrupted(), _platform(by_kafka=by_kafka) as platform, _parts(platform) as parts:
            _fill(parts.source)
            with _running_by_kafka(parts) if by_kafka else _running(parts) as is_refused:
                console.print(f"[bold]live[/] {time.monotonic() - begun:.1f} s after the start\n")
                _show(parts, edits=edits, a_second=a_second)
                if once:
                    raise typer.Exit(_EQUAL if _compared(parts).equal else _DIFFERENT)
                with _console(parts, is_refused) as lines, editing(parts.cities, a_second=a_second):
                    _stay(platform, parts.index, lines)
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(_INTERRUPTED if once else 0) from None


@dataclass(frozen=True)
class _Parts:
    """What the demo works with, apart from the servers."""

    settings: Settings
    source: Connection
    index: DemoIndex
    folder: Path
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def cities(self) -> Cities:
        return self.source.database(NAMESPACE.db)[NAMESPACE.coll]


@contextmanager
def _platform(*, by_kafka: bool = False) -> Iterator[Platform]:
    """The servers; what is downloaded and started is shown meanwhile."""
    with ExitStack() as stack:
        with progress_here() as progress:
            platform = stack.enter_context(Platform(progress=progress, kafka_port=0 if by_kafka else None))
        yield platform


@contextmanager
def _parts(platform: Platform) -> Iterator[_Parts]:
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as name:
        folder = Path(name)
        mapping = folder / "cities.json"
        mapping.write_text(json.dumps({"mappings": {"properties": {"twins": {"type": "object", "dynamic": "strict"}}}}))
        settings = Settings(
            source=SourceSettings(uri=SecretStr(platform.source.uri)),
            sink=SinkSettings(url=platform.opensearch.url),
            log=kafka.log_settings(platform.kafka.bootstrap_servers) if platform.kafka else LogSettings(),
            collections=(CollectionSettings(namespace=str(NAMESPACE), index=INDEX, replicas=0, mapping_file=mapping),),
        )
        with connect(settings.source) as source, closing(DemoIndex(settings.sink, INDEX)) as index:
            yield _Parts(settings, source, index, folder)


def _fill(source: Connection) -> None:
    """Put the cities into the source, as an application would have done."""
    collection = source.database(NAMESPACE.db)[NAMESPACE.coll]
    for some in chunks(cities(), _AT_ONCE):
        collection.insert_many(some)
    console.print(f"[bold]{collection.estimated_document_count():,}[/] cities in {NAMESPACE} of the source")
    console.print(f"[dim]{CREDIT}[/]")


@contextmanager
def _running(parts: _Parts) -> Iterator[Callable[[], bool]]:
    """Run a worker in a thread; enter the block when everything is loaded, and stop the worker at its end.

    Yields whether the index has refused a city.
    """
    labels = {"pipeline": NAMESPACE.db, "outcome": "dead_lettered"}
    stop, loaded = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            with progress_display() as display:
                running = pool.submit(
                    worker.run, parts.settings, stop=stop, metrics=parts.metrics, progress=_Until(display, loaded)
                )
                while not loaded.wait(0.1):
                    if running.done():
                        running.result()
            yield lambda: parts.metrics.value("penstock_changes_total", **labels) > 0
        finally:
            stop.set()
        running.result()


@contextmanager
def _running_by_kafka(parts: _Parts) -> Iterator[Callable[[], bool]]:
    """Run one process that captures and three that apply, and kill one of these while edits go on.

    Yields whether the index has refused a city.
    """
    begun = time.monotonic()
    with kafka.applying(parts.settings, parts.folder) as processes:
        console.print(
            f"[bold]{parts.index.documents_in_all():,}[/] documents loaded {time.monotonic() - begun:.1f} s after the"
            f" start of `penstock capture` and {len(processes.appliers)} times `penstock apply`"
        )
        _print_shares(processes.appliers)
        with editing(parts.cities, a_second=100):
            killed = processes.appliers[0]
            console.print(f"[bold]killed[/] process {killed.pid}, with edits on their way")
            seconds = processes.taken_over(killed)
            console.print(
                f"its partitions were taken over {seconds:.1f} s later (session timeout {kafka.SESSION_S:g} s)"
            )
        _print_shares(each for each in processes.appliers if each is not killed)
        yield lambda: any(each.lines("dead letter") for each in processes.appliers)


def _print_shares(appliers: Iterable[kafka.PenstockProcess]) -> None:
    for each in appliers:
        console.print(f"  process {each.pid} has {each.partitions} of {kafka.PARTITIONS} partitions")


class _Until(QuietProgress):
    """Passes on the progress of a load, and sets an event when it has finished."""

    def __init__(self, display: QuietProgress, loaded: threading.Event) -> None:
        self._display = display
        self._loaded = loaded
        self._documents = 0
        self._begun = time.monotonic()

    def started(self, namespace: str, total: int | None) -> None:
        self._begun = time.monotonic()
        self._display.started(namespace, total)

    def advanced(self, namespace: str, documents: int) -> None:
        self._documents += documents
        self._display.advanced(namespace, documents)

    def finished(self, namespace: str) -> None:
        self._display.finished(namespace)
        seconds = time.monotonic() - self._begun
        rate, memory = self._documents / seconds, peak_memory_bytes() / 2**20
        console.print(
            f"[bold]{self._documents:,}[/] documents loaded in {seconds:.1f} s, {rate:,.0f} a second,"
            f" peak memory {memory:,.0f} MiB"
        )
        self._loaded.set()


def _show(parts: _Parts, *, edits: int, a_second: float) -> None:
    console.print("[bold]live edits[/], from the source's acknowledgement until the index has them")
    for edit in one_of_each(parts.cities, parts.index):
        console.print(f"  {edit.words:32} {edit.milliseconds:8.1f} ms")
    latencies = gentle(parts.cities, parts.index, edits=edits, a_second=a_second)
    console.print(f"  {edits} updates at {a_second:g} a second: [bold]{latencies}[/]\n")
    for words, search in (
        ("a city by its name in another script: 東京", IN_ANOTHER_SCRIPT),
        ("cities of India above 3 million", LARGE_IN_INDIA),
    ):
        console.print(f"[bold]{words}[/]")
        console.print(table(parts.index, search))


@contextmanager
def _console(parts: _Parts, is_refused: Callable[[], bool]) -> Iterator[list[str]]:
    """Serve the console with a dead letter in it; yield the lines about it."""
    token = secrets.token_hex(12)
    file = parts.folder / "token"
    file.touch(mode=0o600)
    file.write_text(token)
    seen = ConsoleSettings(actions=True, show_values=True, token_file=file)
    settings = parts.settings.model_copy(update={"console": seen})
    with ExitStack() as stack:
        try:
            served = stack.enter_context(console_server(settings, f"127.0.0.1:{_console_port()}", INTERVALS))
        except SettingsError as error:
            yield [f"there is no console: {error}"]
            return
        assert served is not None
        _refuse(parts, is_refused)
        yield [
            f"console     {served.address}, with the token {token}",
            f"            dead letters: replay {REFUSED['name']}; {NAMESPACE}: search for 東京, see the lag move",
        ]


def _console_port() -> int:
    """Return the console's own port, or 0 for any where that is taken."""
    try:
        require_free(CONSOLE_PORT, "The console")
    except LocalServerError:
        return 0
    return CONSOLE_PORT


def _refuse(parts: _Parts, is_refused: Callable[[], bool]) -> None:
    """Store a city that the index refuses, and correct its mapping once there is a dead letter: a replay works then."""
    parts.cities.insert_one(dict(REFUSED))
    until = time.monotonic() + _REFUSED_WITHIN_S
    while not is_refused() and time.monotonic() < until:
        time.sleep(0.05)
    parts.index.allow("twins")


def _stay(platform: Platform, index: DemoIndex, lines: list[str]) -> None:
    """Print the addresses to try, then wait for Ctrl-C."""
    console.print("\n[bold]try it[/]: look at the console, edit the source, and search again")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False)
    console.print(f"  source      {platform.source.uri}", soft_wrap=True)
    console.print(f"  opensearch  {platform.opensearch.url}/{INDEX}", soft_wrap=True)
    console.print(f"  {index.curl(IN_ANOTHER_SCRIPT)}", soft_wrap=True, markup=False)
    console.print("Stop with Ctrl-C.")
    platform.watch()


def _compared(parts: _Parts) -> Comparison:
    """Compare everything; repeat while the last edits are still in flight."""
    transform = Transform(parts.settings.collections[0])
    for _ in range(_LOOKS):
        comparison = compare(_pages(parts.source), transform, parts.index.documents, parts.index.documents_in_all)
        if comparison.equal:
            break
    verdict = "[bold green]equal[/]" if comparison.equal else "[bold red]not equal[/]"
    console.print(
        f"\ncompared {comparison.documents:,} documents with {comparison.fields:,} fields: {verdict}"
        f" ({comparison.missing} missing, {comparison.different} different, {comparison.too_many} too many)",
        soft_wrap=True,
    )
    for difference in comparison.differences:
        console.print(f"  {difference}", markup=False)
    return comparison


def _pages(source: Connection) -> Iterator[list[BsonDocument]]:
    """Yield the documents of the source."""
    yield from chunks(source.database(NAMESPACE.db)[NAMESPACE.coll].find(batch_size=_AT_ONCE), _AT_ONCE)
