"""TLS for the local source: a certificate of its own, made on demand."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from penstock_tools.servers.errors import LocalServerError


@dataclass(frozen=True)
class Certificate:
    """The PEM files of a server, and of the CA that its clients must trust."""

    certificate: Path
    key: Path
    authority: Path


def new_certificate(folder: Path) -> Certificate:
    """Create a CA and a certificate for localhost and 127.0.0.1 in the folder."""
    if find_spec("trustme") is None:
        raise LocalServerError("A certificate for the local source needs the package trustme: pip install trustme")
    import trustme  # noqa: PLC0415 (optional)
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 (comes with trustme)

    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(folder / "source.pem", folder / "source-key.pem", folder / "authority.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    made.key.touch(mode=0o600)
    made.key.chmod(0o600)  # also where it is there already
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(str(made.authority))
    return made
