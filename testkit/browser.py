"""The system's Chromium, and what a test holds against a page: errors, refused content, width, what is unusable.

What starts it is imported when it is called: that takes most of a second, in each process that collects the tests.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Response

REQUIRED: Final = "PENSTOCK_TEST_BROWSER"
"""Set to `required`, the tests fail without a browser, instead of being skipped."""

MISSING: Final = "no Chromium is found; install it: apt-get install chromium"

Theme = Literal["light", "dark"]

WIDE, NARROW = 1280, 390
_HEIGHTS = {WIDE: 900, NARROW: 844}
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SERIOUS = frozenset({"serious", "critical"})

_NOTE_REFUSED = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.refused.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


def chromium() -> str | None:
    """Return the path of the system's Chromium."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def started_browser() -> Iterator["Browser"]:
    """Start the browser. It runs without its sandbox, which root and containers do not have."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path, MISSING
    environ: dict[str, str | float | bool] = {**os.environ, "LANG": "en_US.UTF-8"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], env=environ)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A tab of somebody, and what went wrong in it."""

    page: "Page"
    address: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(60_000)
        self.page.add_init_script(_NOTE_REFUSED)
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("response", self._note)

    def open(self, path: str) -> "Page":
        """Open a page of the console."""
        answer = self.page.goto(self.address + path)
        assert answer, path
        assert answer.status == 200, f"{path} answered {answer.status}: {self.text()}"
        return self.page

    def log_in(self, token: str, name: str = "") -> None:
        """Log in by the form, unless somebody is logged in."""
        self.open("/login")
        if self.page.get_by_label("Token").count():
            self.page.get_by_label("Token").fill(token)
            self.page.get_by_label("Your name").fill(name)
            self.click("Log in")
            self.page.wait_for_selector("nav")

    def click(self, name: str, *, within: str = "main") -> None:
        """Press a button by what it says."""
        self.page.locator(within).get_by_role("button", name=name, exact=True).first.click()

    def text(self) -> str:
        """What the page says."""
        return self.page.locator("body").inner_text()

    def sentence(self) -> str:
        """The sentence on top."""
        return self.page.locator(".sentence").first.inner_text()

    def faults(self) -> list[str]:
        """What is wrong with the page as it is now."""
        refused = self.page.evaluate("() => window.refused || []")
        return [*self.wrong, *(f"refused: {each}" for each in refused), *self._too_wide(), *self._unusable()]

    def _note(self, answer: "Response") -> None:
        if answer.status >= 400:
            self.wrong.append(f"{answer.url} answered {answer.status}")

    def _too_wide(self) -> list[str]:
        width, shown = self.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return [f"the page is {width} px wide, and shows {shown}"] if width > shown else []

    def _unusable(self) -> list[str]:
        """What axe-core finds that keeps somebody from using the page."""
        self.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
        found: dict[str, Any] = self.page.evaluate("() => axe.run()")
        return [
            f"axe: {each['id']} ({each['impact']}): {node['html'][:200]}: {node['failureSummary'][:300]}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]


def new_context(browser: "Browser", *, theme: Theme = "light", width: int = WIDE, **more: Any) -> "BrowserContext":
    """Return a window of its own, with cookies of its own."""
    size = {"width": width, "height": _HEIGHTS[width]}
    return browser.new_context(viewport=size, color_scheme=theme, locale="en-US", timezone_id="UTC", **more)
