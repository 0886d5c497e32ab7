"""The members of a consumer group can be read on a phone and on a dark page."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.opensearch.state.store import StateStore
from penstock.opensearch.state.workers import WorkerState
from penstock.settings.reading import read_settings
from testkit.browser import NARROW, WIDE, Tab, new_context
from testkit.console_client import OPERATOR, served_console
from testkit.sink_access import side
from testkit.workspace import meanwhile

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMESPACE, TOPIC = "shop_of_members.orders", "cdc.shop_of_members.orders"
PIPELINE = f"members/{NAMESPACE}"


def report(pid: int, partitions: dict[str, int]) -> dict:
    return {
        "host": "penstock-apply-6d9f7c5b4-x2x7k",
        "pid": pid,
        "version": "1",
        "started_at": time.time(),
        "pipelines": {PIPELINE: "live" if partitions else "standby"},
        "shares": {PIPELINE: {"topics": {TOPIC: partitions} if partitions else {}, "lag_s": 4.5}},
        "waiting": "",
        "memory_bytes": 100 << 20,
        "cpu": 0.25,
    }


@pytest.fixture
def address(sink_url: str, source_uri: str, tmp_path: Path):
    (tmp_path / "penstock.toml").write_text(
        f'[source]\nuri = "{source_uri}"\n[sink]\nurl = "{sink_url}"\n[pipeline]\nname = "members"\n'
        f'[[collections]]\nnamespace = "{NAMESPACE}"\n'
        f'[[topics]]\ntopic = "{TOPIC}"\ncollection = "{NAMESPACE}"\nform = "keys"\n'
    )
    settings = read_settings(file=tmp_path / "penstock.toml", environ={})
    shares = {7: {str(number): 1_234_567 * number for number in range(12)}, 8: {"12": 0}, 9: {}}
    with side(sink_url) as opened, served_console(settings, tmp_path) as console:
        store = StateStore(opened.client, opened.patience)
        members = {pid: WorkerState(store, "members", f"member/{pid}/test") for pid in shares}

        def beat(stop) -> None:
            while not stop.wait(0.3):
                for pid, each in members.items():
                    each.beat(report(pid, shares[pid]))

        with meanwhile(beat):
            yield console.address
        for each in members.values():
            each.leave()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_members_can_be_seen(browser: "Browser", address: str, theme: str, width: int, tmp_path: Path) -> None:
    context = new_context(browser, theme=theme, width=width)
    tab = Tab(context.new_page(), address)
    tab.log_in(OPERATOR, "Ann")
    for path in ("/workers", f"/collections/{NAMESPACE}"):
        page = tab.open(path)
        page.get_by_text(TOPIC).first.wait_for()
        page.get_by_text("process 9").first.wait_for()
        page.screenshot(path=tmp_path / f"{path.split('/')[1]}.png", full_page=True)
        assert tab.faults() == []
    context.close()
