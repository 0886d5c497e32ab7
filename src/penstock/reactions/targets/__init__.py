"""The targets of reactions, one module each; `target_of` makes the one that the settings name."""

import threading
from collections.abc import Callable

from penstock.reactions.target import Target
from penstock.reactions.targets.function import FunctionTarget
from penstock.reactions.targets.webhook import WebhookTarget
from penstock.runtime.extras import lacking
from penstock.settings import ReactionSettings


def target_of(settings: ReactionSettings, stop: threading.Event | None = None) -> Target:
    """Make the target of a reaction; close it. Nothing is sent to it yet. Raises SettingsError.

    Some seconds after `stop` it waits for no answer any more.
    """
    return _TARGETS[settings.target](settings, stop)


def _function(settings: ReactionSettings, _stop: threading.Event | None) -> Target:
    return FunctionTarget(settings)


def _eventbridge(settings: ReactionSettings, _stop: threading.Event | None) -> Target:
    try:
        from penstock.reactions.targets.eventbridge import (  # noqa: PLC0415 (botocore belongs to the extra `aws`)
            EventBridgeTarget,
        )
    except ModuleNotFoundError as error:
        raise lacking(error, f"reaction {settings.name}: eventbridge", extra="aws") from error
    return EventBridgeTarget(settings)


_TARGETS: dict[str, Callable[[ReactionSettings, threading.Event | None], Target]] = {
    "webhook": WebhookTarget,
    "function": _function,
    "eventbridge": _eventbridge,
}
