"""Checks AWS Signature Version 4 as OpenSearch Service does, from the request as it was received.

The canonical request is built here from Amazon's description, not with the library that signs, so that a mistake of the
signer is noticed.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_DATE_FORM: Final = "%Y%m%dT%H%M%SZ"
_SKEW: Final = timedelta(minutes=5)
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_UNKNOWN: Final = "The security token included in the request is invalid."


@dataclass(frozen=True, slots=True)
class Received:
    """A request as received, one character for each byte; `target` is the quoted path with its query."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return all values of a header, joined, or None if it is absent. `name` is in lower case."""
        values = [_BLANKS.sub(" ", value).strip(" ") for key, value in self.headers if key.lower() == name]
        return ",".join(values) if values else None

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.target.partition("?")[0]


class SignatureRefused(Exception):
    """The request is refused; the message is Amazon's."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the Authorization header says."""

    access_key: str
    scope: str
    signed: str
    signature: str


class Verifier:
    """Knows the accepted credentials. It reads both mappings at every request, so they may change."""

    def __init__(
        self,
        credentials: Mapping[str, str],
        *,
        region: str,
        service: str,
        session_tokens: Mapping[str, str],
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._session_tokens = session_tokens

    def check(self, request: Received, now: datetime) -> str | None:
        """Return the access key of the request's signer, or None if it is not signed. Raises SignatureRefused."""
        authorization = request.header("authorization") or ""
        if not authorization.startswith(ALGORITHM):
            return None
        claim = _read(authorization)
        date = self._checked_date(request, claim, now)
        secret = self._credentials.get(claim.access_key)
        if secret is None or request.header("x-amz-security-token") != self._session_tokens.get(claim.access_key):
            raise SignatureRefused(_UNKNOWN)
        _check_signed_headers(request, claim)
        body_hash = hashlib.sha256(request.body).hexdigest()
        _check_hash(request, body_hash)
        _check_signature(canonical_request(request, claim.signed, body_hash), claim, secret, date)
        return claim.access_key

    def _checked_date(self, request: Received, claim: _Claim, now: datetime) -> str:
        date = request.header("x-amz-date") or ""
        try:
            at = datetime.strptime(date, _DATE_FORM).replace(tzinfo=UTC)
        except ValueError:
            raise SignatureRefused(
                f"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ({date!r})"
            ) from None
        day, region, service, ending = (claim.scope.split("/") + [""] * 4)[:4]
        if region != self._region:
            raise SignatureRefused(f"Credential should be scoped to a valid region, not '{region}'. ")
        if service != self._service or ending != "aws4_request" or claim.scope.count("/") != 3:
            raise SignatureRefused(f"Credential should be scoped to correct service: '{self._service}'. ")
        if day != date[:8]:
            raise SignatureRefused(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
                f" '{day}' != '{date[:8]}', from '{date}'."
            )
        if at < now - _SKEW:
            limit = f"{now - _SKEW:{_DATE_FORM}} ({now:{_DATE_FORM}} - 5 min.)"
            raise SignatureRefused(f"Signature expired: {date} is now earlier than {limit}")
        if at > now + _SKEW:
            limit = f"{now + _SKEW:{_DATE_FORM}} ({now:{_DATE_FORM}} + 5 min.)"
            raise SignatureRefused(f"Signature not yet current: {date} is still later than {limit}")
        return date


def canonical_request(request: Received, signed: str, body_hash: str) -> str:
    """Return the request in the form that is signed; `signed` names the headers, separated by semicolons."""
    path, _, query = request.target.partition("?")
    headers = "".join(f"{name}:{request.header(name) or ''}\n" for name in signed.split(";"))
    return "\n".join((request.method, _canonical_path(path), _canonical_query(query), headers, signed, body_hash))


def _canonical_path(path: str) -> str:
    """Return the path without dot segments and doubled slashes, quoted once more than on the wire."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    closed = "/" if kept and segments[-1] in ("", ".", "..") else ""
    return quote("/" + "/".join(kept) + closed, safe="/-_.~", encoding="latin-1")


def _canonical_query(query: str) -> str:
    """Return the parameters sorted by quoted name, then by quoted value; a plus sign is a space."""
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    return "&".join(
        f"{name}={value}" for name, value in sorted((_quoted(name), _quoted(value)) for name, value in pairs)
    )


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~", encoding="latin-1")


def _read(authorization: str) -> _Claim:
    fields = dict(re.findall(r"(\w+)=([^,\s]+)", authorization))
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in fields]
    if missing:
        raise SignatureRefused(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    access_key, _, scope = fields["Credential"].partition("/")
    return _Claim(access_key, scope, fields["SignedHeaders"], fields["Signature"])


def _check_signed_headers(request: Received, claim: _Claim) -> None:
    """Raise SignatureRefused if the host or one of Amazon's headers is not covered by the signature."""
    signed = claim.signed.split(";")
    must = {"host"} | {name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")}
    unsigned = sorted(must - set(signed))
    if unsigned:
        names = ", ".join(unsigned)
        raise SignatureRefused(
            f"'Host' and 'X-Amz-' headers must be 'SignedHeader's in the AWS Authorization: {names}."
        )
    if signed != sorted(map(str.lower, signed)):
        raise SignatureRefused("SignedHeaders must be sorted and in lower case.")


def _check_hash(request: Received, body_hash: str) -> None:
    said = request.header("x-amz-content-sha256")
    if said is not None and not hmac.compare_digest(said.encode(), body_hash.encode()):
        raise SignatureRefused(f"{_MISMATCH} (x-amz-content-sha256 is not the SHA-256 of the body.)")


def _check_signature(canonical: str, claim: _Claim, secret: str, date: str) -> None:
    to_sign = "\n".join((ALGORITHM, date, claim.scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex().encode(), claim.signature.encode()):
        raise SignatureRefused(
            f"{_MISMATCH}\n\nThe Canonical String for this request should have been\n'{canonical}'\n\n"
            f"The String-to-Sign should have been\n'{to_sign}'\n"
        )
