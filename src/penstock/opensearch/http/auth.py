"""How requests are authorised: not at all, with user and password, or by a signer that the caller provides."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from penstock.errors import SettingsError
from penstock.settings import SinkSettings


class LoginAway(Exception):
    """The credentials cannot be read at this moment; the message says why."""


class Authorisation(Protocol):
    """Makes the headers that authorise a request."""

    def headers(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers to send: the given ones and those that authorise exactly this request."""

    def renew(self) -> bool:
        """Load rotated credentials after a refusal; return False if there is nothing new to try."""


class Anonymous:
    """Sends requests as they are."""

    def headers(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002
        """Return the given headers."""
        return dict(headers)

    def renew(self) -> bool:
        """Return False: there is nothing to renew."""
        return False


class Basic:
    """User and password. A password file is read again when the server refuses, so a rotated password is picked up."""

    def __init__(self, username: str, password: str, password_file: Path | None = None) -> None:
        self._username = username
        self._file = password_file
        self._header = self._made(password)

    def headers(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002
        """Return the given headers with the user and password added."""
        return {**headers, "authorization": self._header}

    def renew(self) -> bool:
        """Read the password file again, if there is one. Raises LoginAway while it is being replaced."""
        if self._file is None:
            return False
        try:
            password = _read(self._file)
        except SettingsError as error:
            raise LoginAway(str(error)) from error
        if not password:
            raise LoginAway(f"[sink] password_file {self._file} is empty.")
        self._header = self._made(password)
        return True

    def _made(self, password: str) -> str:
        return "Basic " + base64.b64encode(f"{self._username}:{password}".encode()).decode()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"[sink] password_file {file} cannot be read: {error}.") from error


def authorisation(settings: SinkSettings, signer: Authorisation | None = None) -> Authorisation:
    """Return the settings' authorisation; `sigv4` needs a signer (penstock.aws.sigv4), unknown to this adapter."""
    if settings.auth == "none":
        return Anonymous()
    if settings.auth == "basic":
        username, file = settings.username or "", settings.password_file
        password = settings.password.get_secret_value() if settings.password else ""
        return Basic(username, _read(file) if file else password, file)
    if signer is None:
        raise SettingsError("[sink] auth is `sigv4`, but the caller gave no signer.")
    return signer
