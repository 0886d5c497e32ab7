"""The pages of docs/ say what the declarations say."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

from penstock.cli.signals import INTERRUPTED, TERMINATED
from penstock.settings import read_settings
from penstock.settings.table import collection_table

ROOT = Path(__file__).resolve().parents[2]

_spec = importlib.util.spec_from_file_location("regenerate", Path(__file__).with_name("regenerate.py"))
regenerate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(regenerate)

PAGES = ("settings.md", "commands.md", "metrics.md", "exit-codes.md", "performance.md")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_generated_is_up_to_date(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert text == regenerate.regenerated(text), "run: python tests/docs/regenerate.py"


def test_every_part_stands_in_a_page():
    found = [match["name"] for page in PAGES for match in regenerate.PART.finditer((ROOT / "docs" / page).read_text())]
    assert sorted(found) == sorted(regenerate.PARTS)


def test_an_outdated_part_is_noticed():
    page = "<!-- generated: metrics -->\n| `penstock_old` |\n<!-- end -->\n"
    assert "penstock_old" not in regenerate.regenerated(page)
    assert "penstock_lag_seconds" in regenerate.regenerated(page)


def test_the_exit_codes_of_signals_are_in_the_page():
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert f"| {INTERRUPTED} | stopped by Ctrl-C" in page
    assert f"| {TERMINATED} | stopped by SIGTERM" in page


def test_the_example_can_be_read():
    settings = read_settings(file=ROOT / "examples" / "penstock.toml")
    assert [collection.alias for collection in settings.collections] == ["orders", "customers"]


def test_the_collection_in_the_settings_page_uses_names_that_exist():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    (table,) = tomllib.loads(page.split("```toml\n")[1].split("```")[0])["collections"]
    assert set(table) <= {row.name for row in collection_table()}
