"""How a connection string logs in: by password, by a client's certificate, by an AWS role."""

import re
from pathlib import Path
from urllib.parse import unquote

from penstock.runtime.client_certificate import problem_of

CERTIFICATE = "tlsCertificateKeyFile"
"""The option that names the client's certificate and key."""

_BY_PASSWORD = "Check [source] username and password, and authSource in the connection string."  # noqa: S105 (words)


def client_certificate(uri: str) -> Path | None:
    """The file with the client's certificate and key, if the connection string names one."""
    file = _option(uri, CERTIFICATE)
    return Path(file) if file else None


def certificate_problem(uri: str) -> str:
    """Return what is wrong with the client's certificate; empty without a problem, or without a certificate."""
    file = client_certificate(uri)
    if file is None:
        if _mechanism(uri) != "MONGODB-X509":
            return ""
        return f"authMechanism=MONGODB-X509 needs {CERTIFICATE}, the file with the client's certificate and its key"
    problem = problem_of(file, password=_option(uri, f"{CERTIFICATE}Password"))
    return f"{CERTIFICATE}: {problem}." if problem else ""


def login_advice(uri: str) -> str:
    """What to do where the login is refused."""
    if _mechanism(uri) == "MONGODB-X509":
        return (
            "Create a user in the database $external, with the role `read`, under the subject of the certificate:"
            f" `openssl x509 -noout -subject -nameopt RFC2253 -in {client_certificate(uri)}` prints it."
        )
    if _mechanism(uri) == "MONGODB-AWS":
        return (
            "Create a user in the database $external, with the role `read`, under the ARN of the AWS role that penstock"
            " has; `aws sts get-caller-identity` names it."
        )
    return _BY_PASSWORD


def _mechanism(uri: str) -> str:
    return (_option(uri, "authMechanism") or "").upper()


def _option(uri: str, name: str) -> str | None:
    """The value of an option, as the driver reads it; names are the same in capital letters."""
    for given in re.split("[&;]", uri.partition("?")[2]):
        option, _, value = given.partition("=")
        if option.lower() == name.lower():
            return unquote(value)
    return None
