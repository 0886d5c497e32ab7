"""The plots of a collection: drawn from its samples, and moving while the cities change."""

from collections.abc import Callable

from testkit.browser import Tab
from testkit.city_site import NAMESPACE
from testkit.workspace import until


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
