"""The check of signatures against Amazon's published examples, in which no library that signs takes part."""

from datetime import UTC, datetime, timedelta

import pytest

from penstock_tools.aws.domain.signature import Received, SignatureRefused, Verifier

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
SCOPE = "20150830/us-east-1/service/aws4_request"
MISMATCH = "does not match the signature you provided"


@pytest.fixture
def verifier():
    return Verifier({KEY: SECRET}, region="us-east-1", service="service", session_tokens={})


def received(
    signature=VANILLA, *, method="GET", target="/", more=(), signed="host;x-amz-date", credential=f"{KEY}/{SCOPE}"
):
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"
    headers = [("Host", "example.amazonaws.com"), *more, ("X-Amz-Date", "20150830T123600Z")]
    return Received(method, target, [*headers, ("Authorization", authorization)], b"")


@pytest.mark.parametrize(
    ("method", "target", "signature"),
    [
        ("GET", "/", VANILLA),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "GET",
            "/ሴ".encode().decode("latin-1"),  # as an HTTP server sees the bytes
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        ("GET", "//example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("GET", "/example1/example2/../..", VANILLA),
        ("GET", "/./", VANILLA),
    ],
    ids=lambda value: value[:30],
)
def test_each_is_let_through_and_no_other_method(verifier, method, target, signature):
    assert verifier.check(received(signature, method=method, target=target), AT) == KEY
    with pytest.raises(SignatureRefused, match=MISMATCH):
        verifier.check(received(signature, method="PUT", target=target), AT)


def test_headers_are_trimmed_and_their_blanks_folded(verifier):
    signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
    signed = "host;my-header1;my-header2;x-amz-date"
    for second in (' "a   b   c"', '"a b c" ', '"a\r\n\tb  c"'):
        more = (("My-Header1", " value1"), ("My-Header2", second))
        assert verifier.check(received(signature, more=more, signed=signed), AT) == KEY
    more = (("My-Header1", " value1"), ("My-Header2", '"a b  d"'))
    with pytest.raises(SignatureRefused, match=MISMATCH):
        verifier.check(received(signature, more=more, signed=signed), AT)


@pytest.mark.parametrize("written", ["%ff", "%FF", "ÿ"])
def test_a_query_is_read_by_its_bytes_and_a_plus_sign_is_a_space(verifier, written):
    with pytest.raises(SignatureRefused) as refused:
        verifier.check(received(target=f"/?b={written}&a=1+1"), AT)
    assert "\na=1%201&b=%FF\n" in str(refused.value)


def test_a_signature_holds_for_five_minutes_and_its_refusal_tells_the_times(verifier):
    for offset in (-300, 0, 300):
        assert verifier.check(received(), AT + timedelta(seconds=offset)) == KEY
    with pytest.raises(SignatureRefused) as old:
        verifier.check(received(), AT + timedelta(seconds=301))
    assert str(old.value) == (
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    )
    with pytest.raises(SignatureRefused) as early:
        verifier.check(received(), AT - timedelta(seconds=301))
    assert str(early.value) == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"credential": f"{KEY}/20150830/us-east-1/service/aws5_request"}, "correct service: 'service'"),
        ({"credential": f"{KEY}/{SCOPE}/more"}, "correct service: 'service'"),
        ({"credential": KEY}, "valid region, not ''"),
        ({"signed": "host"}, "must be 'SignedHeader's in the AWS Authorization: x-amz-date"),
        ({"signed": "x-amz-date;host"}, "sorted and in lower case"),
        ({"signed": "Other;host;x-amz-date"}, "sorted and in lower case"),
        ({"more": [("Host", "example.com")]}, MISMATCH),
        ({"signature": VANILLA[:-1] + "2"}, MISMATCH),
        ({"signature": "é"}, MISMATCH),
    ],
    ids=str,
)
def test_a_header_that_is_not_quite_right_is_refused(verifier, changed, message):
    with pytest.raises(SignatureRefused) as refused:
        verifier.check(received(**changed), AT)
    assert message in str(refused.value)
    assert SECRET not in str(refused.value)
