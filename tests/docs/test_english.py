"""The pages use plain words."""

from pathlib import Path

import pytest

from testkit.banned_words import BANNED, offences

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_uses_a_banned_word(page):
    assert offences(page.read_text(encoding="utf-8")) == []


def test_each_banned_word_is_found_with_its_line():
    for word in BANNED:
        (found,) = offences(f"A line.\nThe rows are {word.capitalize()} here.")
        assert found == f"line 2: {word.capitalize()!r}: {BANNED[word]}"


def test_words_are_found_across_lines_and_in_other_forms():
    assert [found.split(":")[0] for found in offences("By\nnow it is\nmended.")] == ["line 1", "line 3"]


def test_longer_words_and_code_are_no_offence():
    assert offences("It recommends an amendment, besides.\n```\ntold\n```\nRun `mend anew`.\n") == []
