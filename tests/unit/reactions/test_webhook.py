"""The request of a webhook: its signature, its secret, what a Retry-After asks for."""

import base64
import hashlib
import hmac
from email.utils import formatdate

import pytest

from penstock.errors import SettingsError
from penstock.reactions.event import Event
from penstock.reactions.target import Accepted, Refused, TryAgain
from penstock.reactions.targets import target_of
from penstock.reactions.targets.webhook import retry_after_s, signed
from penstock.settings import ReactionSettings
from testkit.receiver import SECRET, Said, receiver


def event(event_id="shop.orders/n:1/5"):
    return Event(event_id, "penstock.document.insert", "penstock", "shop.orders/n:1", "", "shop.orders", b'{"a": 1}')


def webhook(url="http://127.0.0.1:9", **more):
    its = {"secret": SECRET} if "secret_file" not in more else {}
    return target_of(
        ReactionSettings(name="paid", collections=("shop.orders",), target="webhook", url=url, **{**its, **more})
    )


def test_the_signature_is_that_of_standard_webhooks():
    """The example of its specification."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    example = Event("msg_p5jXN8AQM9LWM0D4loKWxJek", "", "", "", "", "", b'{"test": 2432232314}')
    headers = signed(key, example, 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_id_fits_a_header_whatever_it_holds():
    headers = signed(b"key", event("shop.orders/a\r\nb é/5"), 1)
    assert headers["webhook-id"] == "shop.orders/a%0D%0Ab%20%C3%A9/5"
    content = headers["webhook-id"].encode() + b".1." + event().body
    expected = base64.b64encode(hmac.digest(b"key", content, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_secret_file_is_read_for_each_request_and_may_be_away_for_a_moment(tmp_path):
    file = tmp_path / "secret"
    file.write_text("another\n")
    with receiver() as hook:
        target = webhook(hook.url, secret_file=file)
        assert target.send([event()]) == [Accepted()]
        file.write_text(f"{SECRET}\n")
        assert target.send([event()]) == [Accepted()]
        assert [each.is_signed for each in hook.posted] == [False, True]
        file.unlink()
        (away,) = target.send([event()])
        assert isinstance(away, TryAgain)
        assert "secret_file" in away.reason


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_?"])
def test_a_secret_that_is_none_is_refused_at_the_start(secret):
    with pytest.raises(SettingsError, match="the secret is empty, or not base64 after whsec_"):
        webhook(secret=secret)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (Said(202), Accepted()),
        (
            Said(301, {"location": "http://127.0.0.1:9/"}),
            Refused("{where} answered 301, a redirect, which is not followed"),
        ),
        (Said(410), Refused("{where} answered 410")),
        (Said(503, {"retry-after": "7"}), TryAgain("{where} answered 503", 7)),
        (Said(501), TryAgain("{where} answered 501")),
    ],
)
def test_what_an_answer_means(said, answer):
    with receiver() as hook:
        hook.plan = lambda _: said
        where = hook.url.removesuffix("/hook")
        assert webhook(hook.url).send([event()]) == [answer._replace(**_with(answer, where))]


def _with(answer, where):
    return {"reason": answer.reason.format(where=where)} if hasattr(answer, "reason") else {}


def test_an_address_without_anybody_is_tried_again_and_named_without_its_path():
    (answer,) = webhook("http://127.0.0.1:9/secret-path").send([event()])
    assert answer == TryAgain("http://127.0.0.1:9 gave no answer (NewConnectionError)")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 0), ("", 0), ("120", 120), ("-5", 0), ("soon", 0), (formatdate(1000, usegmt=True), 100)],
)
def test_a_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after_s(value, 900) == seconds
