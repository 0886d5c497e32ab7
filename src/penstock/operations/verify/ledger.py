"""The pages of one direction, in order: what is counted, and from where an interrupted verify goes on."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from penstock.operations.verify.findings import VerifyTally


@dataclass(slots=True)
class VerifiedPage:
    """A page that was gone through; `place` is where to go on after it, `open` how many of it are still suspects."""

    place: Any
    tally: VerifyTally
    open: int = 0


@dataclass
class Ledger:
    """`place` and `tally` belong together: the end of the longest unbroken run of pages without suspects."""

    place: Any = None
    tally: VerifyTally = field(default_factory=VerifyTally)
    _pages: deque[VerifiedPage] = field(default_factory=deque)

    def begin(self, page: VerifiedPage) -> None:
        """Put a page at the end."""
        self._pages.append(page)

    def advance(self) -> None:
        """Count the pages that are done, from the first on."""
        while self._pages and not self._pages[0].open:
            page = self._pages.popleft()
            self.tally.add(page.tally)
            self.place = page.place
