"""The check of signatures alone: against Amazon's published example, and against botocore at chosen times."""

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from penstock_tools.aws.domain.signature import Received, SignatureRefused, Verifier

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
URL = "https://127.0.0.1:9999"
SECRETS = {"AKIDWRITER": "secret of the writer", "AKIDTASK": "secret of the task"}
TOKENS = {"AKIDTASK": "the+task/token=="}


def verifier(**changed) -> Verifier:
    settings = {"region": "eu-west-1", "service": "es", "session_tokens": TOKENS, **changed}
    return Verifier(SECRETS, **settings)


@pytest.fixture
def signed(monkeypatch):
    """Sign by botocore as if it were `at`; `changed` are headers that are replaced afterwards, None takes one away."""

    def signed(
        method="GET", target="/", body=b"", *, at=NOW, key="AKIDWRITER", secret=None, token=None, region="eu-west-1",
        service="es", also=None, **changed,
    ) -> Received:  # fmt: skip
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: at.replace(tzinfo=None), raising=True)
        headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest(), **(also or {})}
        request = AWSRequest(method=method, url=URL + target, data=body, headers=headers)
        SigV4Auth(Credentials(key, secret or SECRETS[key], token), service, region).add_auth(request)
        received = {"Host": urlsplit(URL).netloc, **dict(request.headers.items())}
        for name, value in changed.items():
            received[name.replace("_", "-")] = value
        return Received(method, target, [(k, v) for k, v in received.items() if v is not None], body)

    return signed


def refusal(request: Received, *, now=NOW, **changed) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verifier(**changed).check(request, now)
    return str(refused.value)


class TestAmazonsExample:
    """The cases `get-vanilla` and `get-vanilla-query-order-key-case` of Amazon's test suite for Signature Version 4."""

    @pytest.mark.parametrize(
        ("target", "signature"),
        [
            ("/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ],
    )
    def test_its_signature_is_accepted_and_no_other(self, target, signature):
        example = Verifier(
            {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
            region="us-east-1",
            service="service",
            session_tokens={},
        )

        def asked(signature: str) -> Received:
            claim = (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
                f" SignedHeaders=host;x-amz-date, Signature={signature}"
            )
            headers = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z"), ("Authorization", claim)]
            return Received("GET", target, headers, b"")

        now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
        assert example.check(asked(signature), now) == "AKIDEXAMPLE"
        with pytest.raises(SignatureRefused, match="does not match"):
            example.check(asked(signature[::-1]), now)


class TestAccepted:
    def test_it_says_whose_request_it_is(self, signed):
        assert verifier().check(signed("POST", "/_bulk", b"{}\n"), NOW) == "AKIDWRITER"

    def test_a_request_without_a_signature_is_nobodys(self, signed):
        assert verifier().check(signed(Authorization=None), NOW) is None
        assert verifier().check(signed(Authorization="Basic dXNlcjpwYXNz"), NOW) is None

    @pytest.mark.parametrize(
        "target",
        [
            "/orders/_doc/a%2Fb%20c",
            "/orders/_doc/%C3%BC~-_.",
            "/orders/_doc/a%252Fb",
            "/orders-*,-orders-1/_search",
            "/orders/_search?size=10&from=0",
            "/orders/_search?q=a%2Bb%26c&pretty=",
            "/_cat/indices?v=true&h=index%2Chealth",
        ],
    )
    def test_paths_and_queries_of_every_kind(self, signed, target):
        assert verifier().check(signed("GET", target), NOW) == "AKIDWRITER"

    def test_the_session_token_of_the_credentials(self, signed):
        assert verifier().check(signed(key="AKIDTASK", token=TOKENS["AKIDTASK"]), NOW) == "AKIDTASK"

    def test_a_clock_that_is_five_minutes_off(self, signed):
        for minutes in (-5, 5):
            assert verifier().check(signed(at=NOW + timedelta(minutes=minutes)), NOW) == "AKIDWRITER"

    def test_a_secret_that_is_rotated_counts_at_once(self, signed):
        secrets = dict(SECRETS)
        live = Verifier(secrets, region="eu-west-1", service="es", session_tokens={})
        before = signed()
        assert live.check(before, NOW) == "AKIDWRITER"
        secrets["AKIDWRITER"] = "another"
        with pytest.raises(SignatureRefused, match="does not match"):
            live.check(before, NOW)
        assert live.check(signed(secret="another"), NOW) == "AKIDWRITER"


class TestRefused:
    def test_a_wrong_secret(self, signed):
        told = refusal(signed(secret="guessed"))
        assert told.startswith("The request signature we calculated does not match the signature you provided. Check")
        assert SECRETS["AKIDWRITER"] not in told

    def test_another_body(self, signed):
        request = signed("POST", "/_bulk", b"one")
        swapped = Received(request.method, request.target, request.headers, b"two")
        assert "x-amz-content-sha256" in refusal(swapped)

    def test_another_body_with_a_hash_of_its_own(self, signed):
        other = hashlib.sha256(b"two").hexdigest()
        request = signed("POST", "/_bulk", b"one", X_Amz_Content_SHA256=other)
        headers = [(name, value) for name, value in request.headers if name != "x-amz-content-sha256"]
        assert "does not match" in refusal(Received("POST", "/_bulk", headers, b"two"))

    @pytest.mark.parametrize(
        ("method", "target"),
        [("DELETE", "/orders"), ("GET", "/payments"), ("GET", "/orders?expand_wildcards=all"), ("GET", "/orders%2F")],
    )
    def test_another_method_path_or_query(self, signed, method, target):
        request = signed("GET", "/orders")
        assert "does not match" in refusal(Received(method, target, request.headers, b""))

    def test_another_host(self, signed):
        assert "does not match" in refusal(signed(Host="elsewhere:443"))

    def test_another_region_or_service(self, signed):
        assert "valid region, not 'us-east-1'" in refusal(signed(region="us-east-1"))
        assert "correct service: 'es'" in refusal(signed(service="s3"))

    @pytest.mark.parametrize(("late", "said"), [(1, "Signature expired: "), (-1, "Signature not yet current: ")])
    def test_a_clock_that_is_more_than_five_minutes_off(self, signed, late, said):
        at = NOW - late * timedelta(minutes=5, seconds=1)
        assert refusal(signed(at=at)).startswith(said)

    def test_a_date_that_is_changed_or_not_there(self, signed):
        assert "does not match YYYYMMDD" in refusal(signed(X_Amz_Date="20260302T120000Z"))
        assert "X-Amz-Date" in refusal(signed(X_Amz_Date=None))
        assert "does not match the signature" in refusal(signed(X_Amz_Date="20260301T120001Z"))

    @pytest.mark.parametrize("token", [None, "another"])
    def test_a_session_token_that_is_wrong_or_not_there(self, signed, token):
        assert "security token" in refusal(signed(key="AKIDTASK", token=token))

    def test_a_session_token_of_credentials_that_have_none(self, signed):
        assert "security token" in refusal(signed(token="made up"))

    def test_an_unknown_access_key(self, signed):
        assert "security token" in refusal(signed(key="AKIDNOBODY", secret="any"))

    def test_a_header_of_amazons_that_is_not_signed(self, signed):
        assert "x-amz-user" in refusal(signed(X_Amz_User="root"))

    def test_a_host_that_is_not_signed(self, signed):
        authorization = dict(signed().headers)["Authorization"].replace("host;", "")
        assert "host" in refusal(signed(Authorization=authorization))

    def test_an_authorization_that_is_cut(self, signed):
        cut = "AWS4-HMAC-SHA256 Credential=AKIDWRITER/20260301/eu-west-1/es/aws4_request"
        told = refusal(signed(Authorization=cut))
        assert told == (
            "Authorization header requires 'Signature' parameter."
            " Authorization header requires 'SignedHeaders' parameter."
        )
