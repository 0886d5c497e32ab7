"""How far the loads are that several processes share, and who reads which range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.opensearch.state.shared_load import shares_in, unfinished

_SAID_LATELY_S = 60.0
"""Who has written nothing of its range for so long may be gone; another one takes its ranges then."""


@dataclass(frozen=True)
class LoadStatus:
    """How far a load is that several processes share; `eta_s` is about how long it still takes, None if unknown.

    `members` has who takes ranges at present, each with the number of the range that it reads, None between two.
    """

    ranges: int
    done: int
    documents: int
    eta_s: float | None
    members: dict[str, int | None]


def shared_load(
    load: Mapping[str, Any] | None, states: Mapping[str, Mapping[str, Any]], collection: str, index: str, now: float
) -> LoadStatus | None:
    """How far a load is that several processes share, None when there is none under way."""
    plan = unfinished(load)
    if plan is None or not plan.is_written:
        return None
    shares = shares_in(states, collection, index, plan)
    done = min(plan.ranges, sum(each.done for each in shares))
    lately = [each for each in shares if each.owner and now - each.at < _SAID_LATELY_S]
    members: dict[str, int | None] = {each.owner: None for each in sorted(lately, key=lambda each: each.owner)}
    members |= {each.owner: each.range for each in lately if each.range is not None}
    return LoadStatus(
        ranges=plan.ranges,
        done=done,
        documents=sum(each.documents for each in shares),
        eta_s=(now - plan.begun_at) * (plan.ranges - done) / done if done else None,
        members=members,
    )
