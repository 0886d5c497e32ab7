"""The console in the system's Chromium, with the cities under a writer; skipped where there is no Chromium.

With PENSTOCK_TEST_BROWSER=required, as in continuous integration, the tests fail instead of being skipped.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testkit.browser import MISSING, REQUIRED, Tab, chromium, new_context, started_browser
from testkit.city_site import OPERATOR, CitySite, city_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """The browser, for the tests of a file: no other may have its event loop in its thread."""
    if chromium() is None:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(
    browser: "Browser",
    tmp_path_factory: pytest.TempPathFactory,
    source_uri: str,
    sink_url: str,
) -> Iterator[CitySite]:
    """The cities with a worker, a console and a writer."""
    with city_site(Path(tmp_path_factory.mktemp("console")), source_uri, sink_url) as site:
        yield site


@pytest.fixture(scope="module")
def logged_in(browser: "Browser", site: CitySite) -> Any:
    """The cookies of an operator, who has logged in by the form."""
    context = new_context(browser)
    tab = Tab(context.new_page(), site.address)
    tab.log_in(OPERATOR, "Ann")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def opened(browser: "Browser", site: CitySite, logged_in: Any) -> Iterator[Callable[..., Tab]]:
    """Open a tab of the operator, in a window of its own; `anonymous` opens one of somebody else."""
    with ExitStack() as stack:

        def opened(*, anonymous: bool = False, **window: Any) -> Tab:
            context = new_context(browser, storage_state=None if anonymous else logged_in, **window)
            stack.callback(context.close)
            return Tab(context.new_page(), site.address)

        yield opened
