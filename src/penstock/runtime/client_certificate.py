"""A client's certificate and its key, looked at before a driver has them: a driver names no file, and may ask for a
password at the terminal.
"""

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

_VALIDITY = re.compile(rb"\x30[\x1e\x20\x22](?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(\d{12}Z)|\x18\x0f(\d{14}Z))")
"""The only pair of times in a certificate (DER): from when, and until when it is valid."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def problem_of(certificate: Path, key: Path | None = None, password: str | None = None) -> str:
    """Return what is wrong with a certificate and its key, the file first; empty for a pair that can be used.

    Without a file of its own the key is in the certificate's.
    """
    texts = {}
    for file in (certificate, key or certificate):
        try:
            texts[file] = file.read_text(encoding="ascii")
        except OSError as error:
            return f"{file} cannot be read ({error.strerror}); name a file that this user may read"
        except UnicodeDecodeError:
            return f"{file} is not in PEM form"
    found = _PEM.search(texts[certificate])
    if found is None:
        return f"{certificate} holds no certificate in PEM form"
    return _problem_of_pair(certificate, key, password) or _expired(certificate, found[0])


def _problem_of_pair(certificate: Path, key: Path | None, password: str | None) -> str:
    asked = []

    def answer() -> str:
        asked.append(True)
        return password or ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, answer)
    except (ssl.SSLError, ValueError) as error:
        if asked:
            return f"{key or certificate} holds an encrypted key, and {_password(password)}"
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return f"{key or certificate} holds another certificate's key"
        if "PRIVATE KEY-----" not in (key or certificate).read_text(encoding="ascii"):
            return f"{key or certificate} holds no private key in PEM form"
        return f"{certificate} cannot be used: it, or its key, is damaged"
    return ""


def _password(password: str | None) -> str:
    return "its password is another one" if password else "its password is not given"


def _expired(certificate: Path, pem: str) -> str:
    found = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(pem))
    if found is None:
        return ""
    text = (found[1] or found[2]).decode()
    until = datetime.strptime(text, "%y%m%d%H%M%SZ" if found[1] else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return f"the certificate in {certificate} expired on {until:%Y-%m-%d}" if until < datetime.now(UTC) else ""
