"""What a command does first, once its settings are read: set up its process, and find what its patterns match."""

from typing import Literal

from penstock.settings import Settings


def set_up_process(settings: Settings, *, process: int | None = None) -> None:
    """Set up the log, and the memory for many documents. Log lines have the number of the process, if it has one."""
    from penstock.observe.logs import set_up_logs
    from penstock.runtime.allocation import for_many_documents

    set_up_logs(settings.observe, process=process)
    for_many_documents()


def prepare_to_work(settings: Settings, *, note: bool = True) -> Settings:
    """Set up the process and return the settings with collections in the place of patterns; `note` keeps new ones.

    Raises SettingsError, SourceUnavailable, SinkUnavailable.
    """
    from penstock.worker.collections.patterns import expanded

    set_up_process(settings)
    return expanded(settings, note=note)


def prepare_to_look(settings: Settings, *, log_level: Literal["warning", "error"] = "error") -> Settings:
    """The same for a command that changes nothing: it logs little, and keeps no new collection on record."""
    from penstock.worker.collections.patterns import expanded

    log_little(settings, log_level)
    return expanded(settings, note=False)


def log_little(settings: Settings, log_level: Literal["warning", "error"] = "error") -> None:
    """Set up the log of a command whose output says itself what is wrong."""
    from penstock.observe.logs import set_up_logs

    set_up_logs(settings.observe.model_copy(update={"log_level": log_level}))
