"""The settings of a reaction's function: a file with the one [[reactions]] table, and the secret of a webhook.

Everyone who sees a function sees its files and variables, so the secret is in Secrets Manager. Its present text is kept
in a file of this container, which the target reads for each request, and fetched again after a minute: a rotated secret
is picked up by a container that lives on.
"""

import os
import tempfile
import time
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import structlog

from penstock.aws.secret import read_text
from penstock.errors import SettingsError, SourceUnavailable
from penstock.lambdas.environment import REACTION_SECRET
from penstock.observe.logs import set_up_logs
from penstock.settings import Settings, read_settings
from penstock.settings.checks import secret_variable
from penstock.settings.table import SETTINGS_VARIABLE

log = structlog.get_logger(__name__)

_SECRET_KEPT_S: Final = 60.0


class SecretFile:
    """The present text of a secret in Secrets Manager, in a file that nobody else may read."""

    def __init__(self, arn: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="penstock-"), "secret")
        self._arn = arn
        self._read_at: float | None = None

    def renew(self) -> str:
        """Fetch the secret, unless that was done in the last minute; one that was read before serves meanwhile.

        Raises SettingsError, SourceUnavailable.
        """
        if self._read_at is None or time.monotonic() - self._read_at > _SECRET_KEPT_S:
            try:
                text = read_text(self._arn, REACTION_SECRET)
            except SourceUnavailable as error:
                if self._read_at is None:
                    raise
                log.warning("the secret cannot be read again, the one from before serves", reason=str(error))
            else:
                self._write(text)
        return self.path.read_text(encoding="utf-8")

    def _write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)
        self._read_at = time.monotonic()


@cache
def secret_file() -> SecretFile | None:
    """Return the file of the secret; None for a reaction without one."""
    arn = os.environ.get(REACTION_SECRET)
    return SecretFile(arn) if arn else None


@cache
def reaction_settings() -> Settings:
    """Return the settings, with one reaction, and set up the log. Raises SettingsError, SourceUnavailable."""
    file, environ = Path(os.environ.get(SETTINGS_VARIABLE, "")), dict(os.environ)
    secret = secret_file()
    if secret:
        environ[secret_variable(_name_in(file))] = secret.renew()
    settings = read_settings(file=file, environ=environ)
    if len(settings.reactions) != 1:
        raise SettingsError(f"{file} has {len(settings.reactions)} [[reactions]] tables; this function serves one")
    set_up_logs(settings.observe)
    if secret is None:
        return settings
    (reaction,) = settings.reactions
    signed = reaction.model_copy(update={"secret": None, "secret_file": secret.path})
    return settings.model_copy(update={"reactions": (signed,)})


def _name_in(file: Path) -> str:
    """Return the name of the one reaction, by which its secret is given; empty if the file is wrong."""
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["reactions"][0]["name"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
