"""How requests are authorised: not at all, with a password or an API key, or by a signer that the caller provides."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from penstock.errors import SettingsError
from penstock.settings import SinkSettings
from penstock.settings.checks import is_api_key


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


class Secret:
    """A header made of a secret. Its file is read again when the server refuses, so a rotated secret is picked up."""

    def __init__(self, header: Callable[[str], str], setting: str, secret: SecretStr | None, file: Path | None) -> None:
        """Raises SettingsError when the file of the `setting` cannot be read, or holds nothing that can be sent."""
        self._made, self._setting, self._file = header, setting, file
        self._header = header(self._read(file) if file else secret.get_secret_value() if secret else "")

    def headers(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002
        """Return the given headers with the secret's added."""
        return {**headers, "authorization": self._header}

    def renew(self) -> bool:
        """Read the file again, if there is one. Raises LoginAway while it is being replaced."""
        if self._file is None:
            return False
        try:
            secret = self._read(self._file)
            if not secret:
                raise LoginAway(f"[sink] {self._setting} {self._file} is empty.")
            self._header = self._made(secret)
        except SettingsError as error:
            raise LoginAway(str(error)) from error
        return True

    def _read(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"[sink] {self._setting} {file} cannot be read: {error}.") from error


def _by_password(settings: SinkSettings) -> Secret:
    def header(password: str) -> str:
        return "Basic " + base64.b64encode(f"{settings.username}:{password}".encode()).decode()

    return Secret(header, "password_file", settings.password, settings.password_file)


def _by_api_key(settings: SinkSettings) -> Secret:
    def header(key: str) -> str:
        if not is_api_key(key):
            raise SettingsError(
                f"[sink] api_key_file {settings.api_key_file} does not hold an API key: one word of printable ASCII"
                " characters."
            )
        return f"ApiKey {key}"

    return Secret(header, "api_key_file", settings.api_key, settings.api_key_file)


def authorisation(settings: SinkSettings, signer: Authorisation | None = None) -> Authorisation:
    """Return the settings' authorisation; `sigv4` needs a signer (penstock.aws.sigv4), unknown to this adapter."""
    if settings.auth == "none":
        return Anonymous()
    if settings.auth == "basic":
        return _by_password(settings)
    if settings.auth == "api-key":
        return _by_api_key(settings)
    if signer is None:
        raise SettingsError("[sink] auth is `sigv4`, but the caller gave no signer.")
    return signer
