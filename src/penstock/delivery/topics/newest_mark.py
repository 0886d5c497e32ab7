"""The newest mark of the cursor on a database: a partition that has reached it is as far as that mark, though idle."""

import threading
from dataclasses import dataclass

from penstock.errors import PositionLost
from penstock.kafka.log import Mark
from penstock.kafka.mark_reader import MarkReader
from penstock.runtime.backoff import Backoff
from penstock.settings import LogSettings

_LOOK_S = 0.2


@dataclass
class NewestMark:
    """Read by one thread, asked by others."""

    settings: LogSettings
    topic: str
    mark: Mark | None = None

    def keep_reading(self, stop: threading.Event) -> None:
        """Read the marks until `stop` is set. Raises SourceUnavailable, Stopped."""
        pause = Backoff(stop, most_s=2.0)
        with MarkReader.opened(self.settings, self.topic, f"{self.settings.group}.marks") as reader:
            while not stop.is_set():
                try:
                    found = reader.newest()
                    if found is None:
                        pause.wait()
                        continue
                    self.mark = found.mark
                    reader.go_to(found.next_offset)
                    while not stop.is_set():
                        if marks := reader.read(_LOOK_S):
                            self.mark = marks[-1].mark
                except PositionLost:  # the topic was made again, or its oldest marks are gone: look for the newest
                    pause.wait()
