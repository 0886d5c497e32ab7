"""Sessions: a cookie signed with a key that is made from the role's token.

So nothing is stored, a restarted console knows everybody again, and a new token ends all sessions of the old one.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData, Signer, URLSafeTimedSerializer

from penstock.console.security.tokens import Role, Tokens

LASTS_S: Final = 12 * 3600
LONGEST_NAME: Final = 40


@dataclass(frozen=True)
class Session:
    """Somebody who logged in; `name` is what they call themselves, and `csrf` what their forms must carry."""

    role: Role
    name: str
    id: str
    csrf: str


@dataclass(frozen=True)
class Sessions:
    """Opens and reads sessions."""

    tokens: Tokens

    def open(self, role: Role, name: str = "") -> str:
        """Return the cookie of a new session."""
        content = {"id": secrets.token_urlsafe(16), "name": name.strip()[:LONGEST_NAME]}
        return _serializer(role, self.tokens.current()[role]).dumps(content)

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie: none if it is not ours, too old, or of a token that is no more."""
        for role, token in self.tokens.current().items() if cookie else ():
            try:
                content = _serializer(role, token).loads(cookie or "", max_age=LASTS_S)
            except BadData:
                continue
            csrf = Signer(token, salt="penstock csrf", digest_method=hashlib.sha256).get_signature(content["id"])
            return Session(role, content["name"], content["id"], csrf.decode())
        return None


def is_csrf_of(session: Session, given: str) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(session.csrf.encode(), given.encode())


def _serializer(role: Role, token: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        token, salt=f"penstock session {role}", signer_kwargs={"digest_method": hashlib.sha256}
    )
