"""How quick the console is with many collections, and what its viewers cost.

    .venv/bin/python -m benchmarks.console --collections=500 --viewers=50

The state is written as workers write it; the indexes are real, but empty. The console is a process of its own.
The page is opened in the system's Chromium, if there is one.
"""

import argparse
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import urllib3

from benchmarks.item import quieten
from benchmarks.status import prepare, settings_of
from penstock.operations.init import toml_value
from penstock.settings import Settings
from penstock_tools.servers.opensearch import local_opensearch
from testkit.browser import MISSING, chromium, new_context, started_browser
from testkit.workspace import until

_ROUNDS = 10


def settings_file(settings: Settings) -> str:
    """Return these settings as the console reads them: without tokens, so that everybody on this machine sees it."""
    tables = (each.model_dump(exclude_unset=True) for each in settings.collections)
    lines = [
        "[source]",
        f"uri = {toml_value(settings.source.uri)}",
        f"cursor_per = {toml_value(settings.source.cursor_per)}",
        "[sink]",
        f"url = {toml_value(settings.sink.url)}",
    ]
    for table in tables:
        lines += ["[[collections]]", *(f"{name} = {toml_value(value)}" for name, value in table.items())]
    return "\n".join([*lines, ""])


@contextmanager
def console(folder: Path, settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """Run `penstock console`; yield its address and its process."""
    (folder / "penstock.toml").write_text(settings_file(settings))
    program = Path(sys.executable).with_name("penstock")
    command = [program, "console", "--console-listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            address = process.stdout.readline().rpartition(" ")[2].strip()
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


def at_server(address: str) -> tuple[float, list[float]]:
    """Return the ms of the first answer with the overview, and of later ones, each after a new look."""
    with urllib3.PoolManager(retries=False, timeout=120) as http:

        def once() -> float:
            began = time.perf_counter()
            answer = http.request("GET", address + "/")
            assert answer.status == 200, answer.data
            return 1000 * (time.perf_counter() - began)

        first, later = once(), []
        for _ in range(_ROUNDS):
            time.sleep(1.1)  # what was looked at is shared for a second
            later.append(once())
        return first, later


def in_browser(address: str, collections: int) -> list[float]:
    """Return the ms until the page shows each collection, in a new tab with nothing kept."""
    found = []
    with started_browser() as browser:
        for _ in range(_ROUNDS):
            with closing(new_context(browser)) as context:
                page = context.new_page()
                began = time.perf_counter()
                page.goto(address + "/")
                assert page.locator("#collections > tr").count() == collections
                page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                found.append(1000 * (time.perf_counter() - began))
    return found


def watched(address: str, process: psutil.Process, viewers: int, seconds: float) -> float:
    """Return the share of a core that the console uses, in percent, while viewers have the overview open."""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        where = urlsplit(address)
        received = dict.fromkeys(range(viewers), 0)
        for number in range(viewers):
            viewer = stack.enter_context(socket.create_connection((where.hostname, where.port)))
            viewer.sendall(f"GET / HTTP/1.1\r\nHost: {where.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode())
            viewer.setblocking(False)
            selector.register(viewer, selectors.EVENT_READ, number)

        def read(for_s: float) -> None:
            ends = time.monotonic() + for_s
            while time.monotonic() < ends:
                for key, _ in selector.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    received[key.data] += len(key.fileobj.recv(1 << 20))

        read(3)
        before = process.cpu_times()
        began = time.monotonic()
        read(seconds)
        used = process.cpu_times()
        assert all(received.values()), "a viewer got nothing"
        return 100 * (used.user + used.system - before.user - before.system) / (time.monotonic() - began)


def run(url: str, folder: Path, given: argparse.Namespace) -> None:
    """Measure, and print it."""
    settings = settings_of(url, given.collections)
    prepare(settings)
    with console(folder, settings) as (address, process):
        with urllib3.PoolManager(retries=False) as http:
            until(lambda: http.request("GET", address + "/healthz").status == 200, "the console")
        first, later = at_server(address)
        print(
            f"{given.collections} collections: the overview comes after {first:.0f} ms at first, then after"
            f" {statistics.median(later):.0f} ms at the median and {max(later):.0f} ms at most"
        )
        if chromium():
            shown = in_browser(address, given.collections)
            print(f"in the browser: {statistics.median(shown):.0f} ms at the median, {max(shown):.0f} ms at most")
        else:
            print(MISSING)
        idle = watched(address, process, 1, given.seconds)
        all_of_them = watched(address, process, given.viewers, given.seconds)
        each = (all_of_them - idle) / max(1, given.viewers - 1)
        print(
            f"one viewer: {idle:.1f} % of a core; {given.viewers} viewers: {all_of_them:.1f} %;"
            f" each further one: {each:.2f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", type=int, default=500)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    quieten()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with local_opensearch(folder) as server:
            run(server.url, folder, given)


if __name__ == "__main__":
    main()
