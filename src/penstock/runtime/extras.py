"""What to say where a package of an optional part of penstock is not installed."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Final

from penstock.errors import SettingsError

_OF_KAFKA: Final = ("penstock.capture", "penstock.delivery.topics", "penstock.delivery.shared_load", "penstock.kafka")


def lacking(error: ModuleNotFoundError, what: str, *, extra: str) -> SettingsError:
    """Return the error for what lacks the package that was not found, of this extra."""
    return SettingsError(f"{what} needs the package {error.name}; install it with: pip install 'penstock[{extra}]'")


def not_installed(
    error: ModuleNotFoundError, what: str, *, extra: str, packages: Container[str], parts: tuple[str, ...] = ()
) -> SettingsError:
    """Return the error for a part that lacks one of the packages of its extra, or is left out itself, as `parts` are.

    Raises what was given if something else is missing.
    """
    missing = error.name or ""
    if missing.startswith(parts):
        return SettingsError(f"{what} is not part of this installation; install penstock from its wheel")
    if missing.partition(".")[0] not in packages:
        raise error
    return lacking(error, what, extra=extra)


@contextmanager
def needs_kafka(what: str) -> Iterator[None]:
    """Say what `what` needs where the block cannot import it. Raises SettingsError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise not_installed(error, what, extra="kafka", packages=("confluent_kafka",), parts=_OF_KAFKA) from None
