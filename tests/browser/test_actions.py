"""What operators do by clicking, while the cities change, and what outlives their tab and the console."""

import time
from collections.abc import Callable

from testkit.browser import Tab
from testkit.city_site import NAMESPACE, OPERATOR, TOKYO, CitySite
from testkit.workspace import until

SLOWLY = "250"
"""Documents a second: so that a verify of some thousands takes a while."""


def shows(tab: Tab, text: str, *, within_s: float = 120) -> None:
    """Wait until the page says something, by itself."""
    until(lambda: text in tab.text(), lambda: f"{text!r} in:\n{tab.text()}", within_s=within_s)


def start_verify(tab: Tab, *, rate: str = "", wait: str = "1") -> None:
    page = tab.open(f"/verify/{NAMESPACE}")
    page.get_by_label("Documents a second").fill(rate)
    page.get_by_label("Seconds until").fill(wait)
    tab.click("Compare")


def until_idle(tab: Tab) -> None:
    """Wait until no verify is under way."""
    tab.open(f"/verify/{NAMESPACE}")
    until(lambda: tab.page.get_by_role("button", name="Compare").count() == 1, tab.text)


def test_a_dead_letter_is_replayed(opened: Callable[..., Tab], site: CitySite) -> None:
    key = site.refuse("Atlantis")
    tab = opened()
    tab.open("/dead-letters")
    shows(tab, f"n:{key}")
    tab.page.get_by_role("link", name=f"n:{key}").first.click()
    shows(tab, "strict_dynamic_mapping_exception")
    assert "twins" in tab.text()
    assert tab.faults() == []
    site.allow_twins()
    tab.click("Replay this document")
    until(lambda: site.held(key), tab.text)
    assert site.held(key)["twins"] == {"Toyama": True}
    tab.open("/dead-letters")
    shows(tab, "No dead letters")
    site.cities.delete_one({"_id": key})  # an index that is made by the settings would refuse it again
    tab.open("/activity")
    shows(tab, "Ann")


def test_a_difference_is_found_and_repaired(opened: Callable[..., Tab], site: CitySite) -> None:
    site.damage(TOKYO)
    assert site.held(TOKYO) is None
    tab = opened()
    start_verify(tab)
    box = tab.page.get_by_label(f"Repair n:{TOKYO}")
    until(lambda: box.count() == 1, tab.text)
    assert tab.faults() == []
    box.check()
    tab.click("Repair the ticked documents")
    until(lambda: site.held(TOKYO), tab.text)
    assert "東京" in site.held(TOKYO)["names"]
    shows(tab, "repaired")
    start_verify(tab, wait="30")
    shows(tab, "Source and index were equal")


def test_what_is_typed_and_ticked_stays_while_the_page_changes(opened: Callable[..., Tab], site: CitySite) -> None:
    site.damage(TOKYO)
    tab, other = opened(), opened()
    until_idle(tab)
    start_verify(tab)
    box = tab.page.get_by_label(f"Repair n:{TOKYO}")
    until(lambda: box.count() == 1, tab.text)
    box.check()
    rate = tab.page.get_by_label("Documents a second")
    rate.fill(SLOWLY)
    tab.page.get_by_label("Seconds until").fill("2")
    assert "Loads" not in tab.text()
    other.open(f"/verify/{NAMESPACE}")
    other.page.get_by_text("Load the collection again").click()
    other.page.locator("#load-again input[data-typed]").fill(NAMESPACE)
    other.click("Load again")
    shows(tab, "Loads")
    assert (box.is_checked(), rate.input_value()) == (True, SLOWLY)
    assert tab.page.get_by_label("Seconds until").input_value() == "2"
    tab.click("Repair the ticked documents")
    until(lambda: site.held(TOKYO), tab.text)


def test_two_tabs_see_one_verify_and_either_stops_it(opened: Callable[..., Tab]) -> None:
    one, other = opened(), opened()
    until_idle(other)
    start_verify(one, rate=SLOWLY, wait="30")
    shows(other, "being compared")
    until(lambda: other.page.get_by_role("button", name="Compare").count() == 0, other.text)
    other.click("Stop")
    shows(one, "did not come to its end")
    shows(one, "stopped")
    assert one.faults() == other.faults() == []


def test_a_verify_outlives_its_tab_and_its_console(opened: Callable[..., Tab], site: CitySite) -> None:
    tab = opened()
    until_idle(tab)
    start_verify(tab, rate=SLOWLY, wait="30")
    shows(tab, " of about ")
    tab.page.context.close()
    site.console.kill()
    site.start_console()
    tab = opened()
    tab.log_in(OPERATOR)
    tab.open(f"/verify/{NAMESPACE}")
    shows(tab, "taken up 1 time")
    shows(tab, "Source and index were equal", within_s=200)
    assert tab.faults() == []


def test_a_reindex_is_built_switched_and_finished(opened: Callable[..., Tab], site: CitySite) -> None:
    assert "timezone" in site.held(TOKYO)
    site.write_settings(exclude=["timezone"])
    site.console.terminate()
    site.start_console()
    tab = opened()
    tab.log_in(OPERATOR)
    tab.open(f"/reindex/{NAMESPACE}")
    shows(tab, "The settings have changed since")
    assert "exclude" in tab.text()
    assert tab.faults() == []
    tab.click("Build a new index and switch to it")
    shows(tab, f"{site.index}-g2 is searched")
    assert "timezone" not in site.held(TOKYO)
    assert tab.faults() == []
    tab.page.get_by_text("Finish: delete").click()
    box = tab.page.locator("details", has_text="Finish: delete").locator("input[data-typed]")
    box.fill("something else")
    tab.click("Delete the old index")
    assert f"{site.index}-g1" in tab.text(), "not without its name"
    box.fill(NAMESPACE)
    tab.click("Delete the old index")
    until(lambda: f"{site.index}-g1" not in site.site.ask("GET", f"{site.index}*"), tab.text)
    shows(tab, "there is nothing to do")
    assert tab.faults() == []


def test_the_sentence_on_top_says_that_a_worker_was_killed(opened: Callable[..., Tab], site: CitySite) -> None:
    tab = opened()
    tab.open("/")
    until(lambda: tab.page.locator(".sentence.good").count() == 1, tab.text)
    site.worker.kill()
    killed = time.monotonic()
    until(lambda: tab.page.locator(".sentence.bad, .sentence.problem").count() == 1, tab.text)
    seconds = time.monotonic() - killed
    said = tab.sentence()
    print(f"\nafter {seconds:.1f} s: {said}")
    assert seconds < 60, "5 s on an idle machine"
    assert "worker" in said or "stopped" in said, said
    tab.open("/workers")
    shows(tab, "silent")
    assert tab.faults() == []
    site.start_worker()
    tab.open("/")
    until(lambda: "has stopped" not in tab.sentence(), tab.text)  # that one is silent is still said
