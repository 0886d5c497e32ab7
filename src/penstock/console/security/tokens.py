"""The tokens that people log in with, read from their files each time they are needed."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog

from penstock.errors import SettingsError
from penstock.settings import ConsoleSettings

log = structlog.get_logger(__name__)

Role = Literal["operator", "viewer"]

SHORTEST_TOKEN: Final = 16
"""Characters; `openssl rand -hex 32` makes 64."""


@dataclass(frozen=True)
class Tokens:
    """The tokens by role; a role without a file has none."""

    settings: ConsoleSettings

    @property
    def needed(self) -> bool:
        """Whether people have to log in."""
        return bool(self._files())

    def require_usable(self) -> None:
        """Read every token once. Raises SettingsError."""
        for file in self._files().values():
            _read(file)

    def current(self) -> Mapping[Role, bytes]:
        """Return the tokens as they are now. A file that cannot be used gives none: nobody gets in by it."""
        tokens: dict[Role, bytes] = {}
        for role, file in self._files().items():
            try:
                tokens[role] = _read(file)
            except SettingsError as error:
                log.error("a token of the console cannot be used", role=role, reason=str(error))  # noqa: TRY400
        return tokens

    def role_of(self, typed: str) -> Role | None:
        """Return the role of a token; all are compared, each in constant time."""
        given = typed.strip().encode()
        matches = [role for role, token in self.current().items() if hmac.compare_digest(token, given)]
        return matches[0] if matches else None

    def _files(self) -> dict[Role, Path]:
        files: dict[Role, Path | None] = {
            "operator": self.settings.token_file,
            "viewer": self.settings.viewer_token_file,
        }
        return {role: file for role, file in files.items() if file}


def _read(file: Path) -> bytes:
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"the token file {file} cannot be read: {error.strerror}") from None
    if len(token) < SHORTEST_TOKEN:
        raise SettingsError(
            f"the token in {file} is shorter than {SHORTEST_TOKEN} characters; make one with: openssl rand -hex 32"
        )
    return token
