"""The console as such, over HTTP."""

from pathlib import Path

from penstock.settings import Settings
from testkit.console_client import served_console


def test_a_page_and_its_stream(tmp_path: Path) -> None:
    settings = Settings.model_validate({"sink": {"url": "http://127.0.0.1:1"}})
    with served_console(settings, tmp_path) as console:
        page = console.get("/")
        assert page.status == 200
        assert "No usable response from http://127.0.0.1:1" in console.text(page)
        assert console.events("/", 1)[0].startswith("event: whole\n")
