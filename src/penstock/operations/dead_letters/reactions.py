"""The dead letters of a reaction: looked at, and replayed by giving the same events to its target again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from penstock.connections import sink_client
from penstock.errors import SettingsError
from penstock.model import Namespace
from penstock.observe.metrics import Metrics
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.dead_letters.search import (
    REACTION_LETTER_INDEX,
    LetterFilter,
    LetterGroup,
    LetterSearch,
    LetterTally,
)
from penstock.opensearch.http.waiting import FailFast, RetryForever
from penstock.opensearch.state.ids import reaction_id
from penstock.reactions.event import Event
from penstock.reactions.target import Accepted, Answer, Target, TryAgain
from penstock.reactions.targets import target_of
from penstock.runtime.backoff import Backoff
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings


@dataclass
class ReplayedEvents:
    """What a replay did. `refused`: the target does not take them. `left`: they were not kept whole."""

    letters: int = 0
    done: int = 0
    refused: int = 0
    left: int = 0


def of_reaction(settings: Settings, reaction: str, wanted: LetterFilter) -> LetterFilter:
    """Return the filter for the letters of a reaction, which need not be declared any more."""
    return replace(wanted, alias=reaction_id(reaction, settings.pipeline.name))


def newest(settings: Settings, wanted: LetterFilter, *, limit: int) -> tuple[list[StoredLetter], LetterTally]:
    """Return the newest letters, and how many there are. Raises SinkUnavailable."""
    with closing(sink_client(settings)) as client:
        return LetterSearch(client, FailFast(client.url), index=REACTION_LETTER_INDEX).newest(wanted, limit)


def groups(settings: Settings, wanted: LetterFilter) -> list[LetterGroup]:
    """Return how many letters there are by collection and reason. Raises SinkUnavailable."""
    with closing(sink_client(settings)) as client:
        return LetterSearch(client, FailFast(client.url), index=REACTION_LETTER_INDEX).groups(wanted)


def find_event(settings: Settings, reaction: str, namespace: Namespace, event_id: str) -> StoredLetter | None:
    """Return the letter of an event, with the event. Raises SinkUnavailable."""
    alias = reaction_id(reaction, settings.pipeline.name)
    with closing(sink_client(settings)) as client:
        kept = LetterSearch(client, FailFast(client.url), index=REACTION_LETTER_INDEX)
        return kept.find(namespace, [event_id], alias).get(event_id)


@contextmanager
def kept_events(settings: Settings, stop: threading.Event) -> Iterator[LetterSearch]:
    """The letters, for work that waits for the cluster until `stop` is set."""
    with closing(sink_client(settings, stop=stop)) as client:
        yield LetterSearch(client, RetryForever(Metrics(), stop), index=REACTION_LETTER_INDEX)


def replay_events(
    settings: Settings,
    reaction: str,
    wanted: LetterFilter,
    *,
    stop: threading.Event,
    intervals: Intervals,
    on_letter: Callable[[ReplayedEvents], None] = lambda _: None,
) -> ReplayedEvents:
    """Give the events to the target, the oldest first, until all were tried once or `stop` is set.

    A target that can take nothing is waited for. Raises SettingsError, SinkUnavailable, Stopped.
    """
    declared = next((each for each in settings.reactions if each.name == reaction), None)
    if declared is None:
        raise SettingsError(
            f"{reaction} is not a declared reaction, so its target is unknown: add a [[reactions]] table for it, or"
            " drop its dead letters"
        )
    replayed = ReplayedEvents()
    with (
        closing(target_of(declared, stop)) as target,
        kept_events(settings, stop) as kept,
        closing(kept.pages(wanted, by_version=True)) as pages,
    ):
        for page in pages:
            for letter in page:
                if stop.is_set():
                    return replayed
                _replay(letter, kept, lambda event: _offer(event, target, stop, intervals), replayed)
                on_letter(replayed)
    return replayed


def _replay(
    letter: StoredLetter, kept: LetterSearch, offer: Callable[[Event], Answer], replayed: ReplayedEvents
) -> None:
    whole = kept.find(letter.namespace, [letter.id], letter.alias).get(letter.id)
    if whole is None:  # somebody else has just replayed it
        return
    replayed.letters += 1
    body = (whole.body or "").encode()
    if len(body) < whole.body_bytes:
        replayed.left += 1
    elif isinstance(offer(Event.read(body)), Accepted):
        kept.remove([whole])
        replayed.done += 1
    else:
        replayed.refused += 1


def _offer(event: Event, target: Target, stop: threading.Event, intervals: Intervals) -> Answer:
    pause = Backoff(stop, most_s=intervals.target_pause_s)
    while isinstance(answer := target.send([event])[0], TryAgain):
        pause.wait(at_least_s=answer.after_s)
    return answer
