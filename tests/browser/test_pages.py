"""Every page of the console, in both themes, on a desk and on a telephone, while the cities change."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from testkit.browser import NARROW, WIDE, Tab
from testkit.city_site import NAMESPACE, TOKYO, VIEWER, CitySite
from testkit.workspace import until

FURTHER = (
    f"/collections/{NAMESPACE}",
    f"/verify/{NAMESPACE}",
    f"/reindex/{NAMESPACE}",
    f"/collections/{NAMESPACE}",
    f"/collections/{NAMESPACE}?span=7d",
    f"/collections/{NAMESPACE}/search?q={quote('東京')}",
    f"/explain?collection={NAMESPACE}&id=n:{TOKYO}",
    f"/explain?collection={NAMESPACE}&id=n:5",
)
"""Pages that no link of the navigation leads to."""


def addresses(tab: Tab) -> list[str]:
    """All pages: those of the navigation, and what they lead to."""
    tab.open("/")
    links = tab.page.locator("nav a").evaluate_all("links => links.map(each => each.getAttribute('href'))")
    assert "/" in links
    return [*links, *FURTHER]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_page_can_be_seen_and_used(opened: Callable[..., Tab], theme: str, width: int) -> None:
    tab = opened(theme=theme, width=width)
    faults = {}
    for each in addresses(tab):
        page = tab.open(each)
        assert page.locator("main h1").count() == 1, each
        if found := tab.faults():
            faults[each] = found
        tab.wrong.clear()
    assert faults == {}


def test_what_is_wrong_with_a_page_is_found(opened: Callable[..., Tab]) -> None:
    """So that the test above can fail."""
    tab = opened(width=NARROW)
    page = tab.open("/")
    page.evaluate(
        """() => {
          const wrong = document.createElement("div");
          wrong.innerHTML = "<img src='/static/nothing.png'><p style='width: 3000px'>a</p><input>";
          document.querySelector("main").append(wrong);
          wrong.querySelector("p").style.width = "3000px";
          const script = document.createElement("script");
          script.textContent = "window.done = true";
          document.body.append(script);
        }"""
    )
    until(lambda: "nothing.png answered 404" in str(tab.faults()), tab.faults)
    found = "\n".join(tab.faults())
    for each in (
        "refused: style-src-attr",
        "refused: script-src-elem",
        "px wide, and shows 390",
        "axe: image-alt",
        "axe: label",
    ):
        assert each in found
    assert page.evaluate("() => window.done") is None


def test_the_log_in_can_be_seen_and_used(opened: Callable[..., Tab]) -> None:
    tab = opened(anonymous=True, width=NARROW)
    tab.open("/")
    assert tab.page.url.startswith(f"{tab.address}/login")
    assert tab.faults() == []
    tab.page.get_by_label("Token").fill("wrong")
    tab.click("Log in")
    tab.page.get_by_role("alert").wait_for()
    assert "penstock" in tab.page.title()


def test_a_viewer_sees_no_button_that_acts(opened: Callable[..., Tab]) -> None:
    tab = opened(anonymous=True)
    tab.open("/login")
    tab.page.get_by_label("Token").fill(VIEWER)
    tab.click("Log in")
    tab.page.wait_for_selector("nav")
    for each in addresses(tab):
        page = tab.open(each)
        acting = page.locator("main form[method=post]").count()
        assert acting == 0, each
    assert tab.faults() == []


def test_everything_can_be_read_without_javascript(opened: Callable[..., Tab], site: CitySite) -> None:
    tab = opened(java_script_enabled=False)
    for each in addresses(tab):
        assert tab.open(each).locator("main h1").count() == 1, each
    tab.open("/")
    assert tab.page.locator("table a", has_text=NAMESPACE).count() == 1
    tab.open(f"/collections/{NAMESPACE}/search?q={quote('東京')}")
    assert "Tokyo" in tab.text()


def test_a_page_keeps_itself_up_to_date_and_a_hidden_one_asks_for_nothing(
    opened: Callable[..., Tab], site: CitySite
) -> None:
    tab = opened()
    page = tab.open("/")
    cell = page.locator("#collections tr").first.locator("td.n").nth(2)
    before = cell.inner_text()
    site.cities.insert_many([{"_id": -each, "name": "new"} for each in range(1, 4)])
    until(lambda: cell.inner_text() != before, cell.inner_text)
    site.cities.delete_many({"name": "new"})
    until(lambda: cell.inner_text() == before, cell.inner_text)
    assert tab.faults() == []


def test_the_keyboard_leads_to_explain_and_a_word_filters(opened: Callable[..., Tab]) -> None:
    tab = opened()
    page = tab.open("/")
    page.get_by_label("Filter").fill("nothing that is there")
    assert page.locator("#collections > *:visible").count() == 0
    page.get_by_label("Filter").fill("cities")
    assert page.locator("#collections > *:visible").count() == 1
    page.locator("h1").first.click(force=True)
    page.keyboard.press("/")
    page.wait_for_url("**/explain*")


def test_the_plots_are_drawn_and_go_on_by_themselves(opened: Callable[..., Tab]) -> None:
    tab = opened()
    page = tab.open(f"/collections/{NAMESPACE}")
    until(lambda: page.locator(".plot canvas").count() == 4, lambda: page.locator("#plots").inner_text())
    written = page.locator("#plot-rates tr[data-column] td").nth(2)
    before = written.inner_text()
    until(lambda: written.inner_text() != before, "the rate stands still")
    page.locator("#plot-lag .u-over").hover()
    until(lambda: "UTC" in page.locator("#plot-lag thead").inner_text(), "the time under the pointer is shown")
    page.get_by_role("link", name="6h").click()
    page.wait_for_url("**span=6h")
    until(lambda: page.locator(".plot canvas").count() == 4, "the plots of six hours")
    assert tab.faults() == []
