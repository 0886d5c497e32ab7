"""Certificates of clients, of every kind that a user may have."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

PASSWORD = "the password of the key"


class Clients:
    """An authority of clients, and the files that its clients have."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA(organization_name="clients")
        self.authority = folder / "clients.pem"
        self._authority.cert_pem.write_to_path(str(self.authority))

    def certificate(self, name: str = "penstock", *, expired: bool = False, encrypted: bool = False) -> Path:
        """One file with certificate and key."""
        made = self._issued(name, expired=expired)
        file = f"{name}-encrypted.pem" if encrypted else f"{name}.pem"
        return self._file(file, self._key(made, encrypted=encrypted), made.cert_chain_pems[0].bytes())

    def pair(self, name: str = "penstock", *, encrypted: bool = False) -> tuple[Path, Path]:
        """A certificate and its key, in two files."""
        made = self._issued(name)
        certificate = self._file(f"{name}.pem", made.cert_chain_pems[0].bytes())
        return certificate, self._file(f"{name}-key.pem", self._key(made, encrypted=encrypted))

    def _issued(self, name: str, *, expired: bool = False) -> trustme.LeafCert:
        until = datetime.now(UTC) + timedelta(days=-2 if expired else 2)
        return self._authority.issue_cert(
            f"{name}.example",
            common_name=name,
            organization_name="example",
            organization_unit_name="tests",
            not_before=until - timedelta(days=9),
            not_after=until,
        )

    def _key(self, made: trustme.LeafCert, *, encrypted: bool) -> bytes:
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), password=None)
        way = serialization.BestAvailableEncryption(PASSWORD.encode()) if encrypted else serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, way)

    def _file(self, name: str, *parts: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(b"".join(parts))
        return path


def subject_of(certificate: Path) -> str:
    """The subject, as `openssl x509 -nameopt RFC2253` prints it."""
    pem = certificate.read_bytes()
    return x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERT") :]).subject.rfc4514_string()
