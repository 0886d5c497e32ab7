"""What the site has and the folder docs/ has not: the pages at the top of the repository, as pages of the site.

Links from docs/ to other files of the repository (sources, examples) become plain code: a site has no such files, and
tests/docs/test_links.py knows that they exist.
"""

import re
from pathlib import Path
from posixpath import normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"ARCHITECTURE.md": "architecture.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?!https?:|#|mailto:)[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the repository's own pages, with links that lead within the site."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_LINK.sub(_from_top, text)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn the links of a page that leave docs/ into links to the site's pages, or into code."""
    folder = Path(page.file.src_uri).parent
    depth = len(folder.parts)

    def within(link: re.Match[str]) -> str:
        target = normpath(f"docs/{folder}/{link['target']}")
        if target.startswith("docs/"):
            return link[0]
        return _as(link, "../" * depth + PAGES[target]) if target in PAGES else _as_code(link)

    return _LINK.sub(within, markdown)


def _from_top(link: re.Match[str]) -> str:
    target = normpath(link["target"])
    if target in PAGES:
        return _as(link, PAGES[target])
    if target.startswith("docs/") and target.endswith(".md"):
        return _as(link, target.removeprefix("docs/"))
    return _as_code(link)


def _as(link: re.Match[str], target: str) -> str:
    return f"[{link['text']}]({target}{link['anchor'] or ''})"


def _as_code(link: re.Match[str]) -> str:
    text = link["text"]
    return text if "`" in text or " " in text else f"`{text}`"
