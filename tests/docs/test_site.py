"""`make docs` builds the site without a warning; every page is in the navigation and no page asks another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path, *flags: str, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(folder)]
    surroundings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([*command, *flags], capture_output=True, text=True, check=False, env=surroundings)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert (built.returncode, "WARNING" in built.stderr) == (0, False), built.stderr
    return folder


def test_every_page_of_docs_and_the_pages_at_the_top_are_built(site):
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in ROOT.glob("docs/**/*.md")}
    made = {page.relative_to(site) for page in site.rglob("*.html")}
    assert made == pages | {Path(f"{name}.html") for name in ("404", "architecture", "contributing", "changelog")}


def test_no_page_loads_anything_from_another_host(site):
    loads = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")
    assert [(page.name, loads.findall(page.read_text())) for page in site.rglob("*.html")] == [
        (page.name, []) for page in site.rglob("*.html")
    ]
    assert not [page.name for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text()]


def test_links_between_the_top_and_docs_lead_within_the_site(site):
    assert 'href="collections.html"' in (site / "changelog.html").read_text()
    for page in site.rglob("*.html"):
        for target in re.findall(r"href=\"([^\"#:]+\.md)", page.read_text()):
            pytest.fail(f"{page.name} links to {target}, which is no page of the site")


def test_a_broken_link_fails_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Here\n\n[gone](gone.md) [nowhere](#nowhere)\n")
    settings = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[0]
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"^hooks:.*$", "", settings, flags=re.MULTILINE))
    built = build(tmp_path / "site", config=tmp_path / "mkdocs.yml")
    assert built.returncode == 1
    assert "gone.md" in built.stderr
    assert "#nowhere" in built.stderr
