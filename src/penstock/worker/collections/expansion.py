"""What the patterns of the settings stand for.

Pure: who found the collections, and when, is for others (`patterns`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from penstock.kafka.log import name_problem, topic_of
from penstock.model import Namespace
from penstock.settings import CollectionSettings, FoundCollection, Settings
from penstock.settings.checks import matches


@dataclass(frozen=True)
class Expanded:
    """Settings without patterns, and by namespace why a collection that matches cannot be served."""

    settings: Settings
    left_out: Mapping[str, str] = field(default_factory=dict)


def patterns_of(settings: Settings) -> list[CollectionSettings]:
    """The patterns, in order."""
    return [each for each in settings.collections if each.is_pattern]


def exactly(settings: Settings) -> list[CollectionSettings]:
    """The collections that are named exactly, in order."""
    return [each for each in settings.collections if not each.is_pattern]


def log_problems(settings: Settings) -> list[str]:
    """Why topics of penstock's own cannot bring the changes of patterns; nothing where they can."""
    if settings.source.cursor_per == "database":
        return []
    return [
        f'[[collections]] {each.namespace}: own topics have no patterns with cursor_per = "collection"; name the'
        " collections"
        for each in patterns_of(settings)
        if settings.has_own_topic(each.namespace)
    ]


def matching(settings: Settings, there: Iterable[Namespace]) -> dict[str, list[Namespace]]:
    """By pattern, the collections it stands for: not those that are named exactly, not those of an earlier one."""
    taken = {each.namespace for each in exactly(settings)} | {settings.source.heartbeat or ""}
    found: dict[str, list[Namespace]] = {}
    names = sorted(set(there))
    for pattern in patterns_of(settings):
        its = [each for each in names if str(each) not in taken and matches(pattern.namespace, str(each))]
        found[pattern.namespace] = its
        taken |= set(map(str, its))
    return found


def expand(settings: Settings, found: Mapping[str, Iterable[Namespace]]) -> Expanded:
    """Put in the place of each pattern what was found for it, in this order.

    One whose index would have the name of another's is left out: the one that came first keeps it.
    """
    served = {each.alias: each.namespace for each in exactly(settings)}
    expanded = exactly(settings)
    left_out: dict[str, str] = {}
    for pattern in patterns_of(settings):
        for namespace in found.get(pattern.namespace, ()):
            try:
                collection = FoundCollection.by(pattern, namespace.coll)
            except ValueError as error:
                left_out[str(namespace)] = _reason(error)
                continue
            topic = topic_of(settings.log.prefix, namespace) if settings.has_own_topic(str(namespace)) else ""
            if problem := name_problem(topic):
                left_out[str(namespace)] = f"its topic {topic} {problem}"
                continue
            first = served.setdefault(collection.alias, collection.namespace)
            if first == collection.namespace:
                expanded.append(collection)
            else:
                left_out[str(namespace)] = f"{first} and {namespace} would share the index {collection.alias}"
    return Expanded(settings.model_copy(update={"collections": tuple(expanded)}), left_out)


def _reason(error: ValueError) -> str:
    return f"its name cannot be the name of an index, which {error}"
