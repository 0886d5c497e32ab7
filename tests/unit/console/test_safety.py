"""The rules that keep the console safe, over real HTTP: each on every route that there is."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import urllib3
from pydantic import ValidationError
from starlette.routing import Route

from penstock.console.app import console_app
from penstock.console.security.attempts import WRONG_TOKENS
from penstock.console.security.headers import HEADERS
from penstock.console.security.sessions import Sessions
from penstock.console.security.tokens import Tokens
from penstock.errors import SettingsError
from penstock.settings import ConsoleSettings, Settings
from testkit.console_client import OPERATOR, VIEWER, ConsoleClient, served_console
from testkit.workspace import until
from tests.unit.console.conftest import HOSTILE, SECRETS

OPEN = ("/login", "/healthz")


def every(method: str) -> list[str]:
    """The paths of all routes with this method, with something in the place of each parameter."""
    app = console_app(Settings())
    routes = [each for each in app.app.routes if isinstance(each, Route)]
    paths = {re.sub(r"\{[^}]*\}", "shop.orders", each.path) for each in routes if method in (each.methods or ())}
    return sorted(paths)


PAGES = [*every("GET"), "/nowhere", "/static/console.css"]
FORMS = sorted({*every("POST"), "/nowhere"} - {"/login"})


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_the_headers_whether_one_may_see_it_or_not(path, shared, nobody):
    for answer in (shared.get(path), nobody.get(path), nobody.get(path, Host="evil.example")):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        if not path.startswith("/static/"):
            assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [*FORMS, "/login"])
def test_every_answer_to_a_form_has_the_headers(path, nobody):
    answer = nobody.post(path, {"token": OPERATOR[:-1]} if path == "/login" else {})
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_the_policy_allows_nothing_inline_and_no_frame():
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert HEADERS["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", [path for path in PAGES if path not in OPEN and not path.startswith("/static/")])
def test_no_page_is_shown_before_log_in(path, nobody):
    answer = nobody.get(path)
    assert (answer.status, answer.headers["location"].partition("?")[0]) == (303, "/login")
    assert nobody.get(path, Accept="text/event-stream").status == 401
    fragment = nobody.get(path, HX_Request="true")
    assert (fragment.status, fragment.headers["hx-redirect"]) == (401, "/login")


STRANGE = (
    "127.0.0.1/login?",
    "127.0.0.1#",
    "evil.example@127.0.0.1",
    "127.0.0.1:9401/static/",
    "[::1]/login",
    "127.0.0.1:",
)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9401", "127.0.0.1.evil.example", "[::2]", "", "a b", *STRANGE]
)
@pytest.mark.parametrize("path", ["/", "/login", "/settings", "/static/console.css"])
def test_a_name_that_is_not_expected_is_refused(host, path, shared):
    """DNS rebinding: the name of another site points to this machine, and its page reads the answers."""
    answer = shared.get(path, Host=host)
    assert answer.status == 421
    assert "does not go by that name" in shared.text(answer)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9401", "127.0.0.1:1", "[::1]:9401"])
def test_this_machine_may_be_called_by_each_of_its_names(host, shared):
    assert shared.get("/login", Host=host).status == 200


def test_a_name_of_the_settings_is_expected(away, tmp_path):
    with served_console(away, tmp_path, allowed_hosts="penstock.example.com, other.example.com") as console:
        assert console.get("/login", Host="Penstock.example.com:443").status == 200
        assert console.get("/login", Host="example.com").status == 421


FOREIGN = {
    "no word of where it comes from": {"Origin": None, "Sec_Fetch_Site": None},
    "another site": {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
    "another site, of an old browser": {"Origin": "https://evil.example", "Sec_Fetch_Site": None},
    "a page without an origin": {"Origin": "null", "Sec_Fetch_Site": None},
    "another port of this host": {"Origin": "http://127.0.0.1:1", "Sec_Fetch_Site": "same-site"},
    "a bookmark": {"Origin": None, "Sec_Fetch_Site": "none"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=list(FOREIGN))
@pytest.mark.parametrize("path", [*FORMS, "/login"])
def test_a_form_that_is_not_from_here_is_refused(path, headers, shared):
    answer = shared.post(path, {"token": OPERATOR}, **headers)
    assert answer.status == 403
    assert "does not come from a page of this console" in shared.text(answer)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_the_token_of_its_session_is_refused(path, shared):
    other = ConsoleClient(shared.address).log_in(OPERATOR).csrf
    assert len(other) > 20
    assert other != shared.csrf
    for csrf in ("", "wrong", other):
        answer = shared.post(path, csrf=csrf)
        assert answer.status == 403
        assert "was not made for your session" in shared.text(answer)


@pytest.mark.parametrize("path", [path for path in FORMS if path != "/logout"])
def test_a_viewer_cannot_act(path, shared):
    viewer = ConsoleClient(shared.address).log_in(VIEWER)
    answer = viewer.post(path)
    assert answer.status == 403
    assert "logged in as a viewer" in viewer.text(answer)


@pytest.mark.parametrize("path", FORMS)
def test_nobody_acts_without_a_session(path, nobody):
    assert nobody.post(path, csrf="x").status == 303 or nobody.post(path, csrf="x").status == 401


def test_an_operator_reaches_what_a_form_is_for(shared):
    assert shared.post("/nowhere").status == 404


@pytest.mark.parametrize("path", [path for path in FORMS if path != "/logout"])
def test_without_actions_nobody_acts(path, read_only):
    answer = read_only.post(path)
    assert answer.status == 403
    assert "only shows" in read_only.text(answer)


@pytest.fixture(scope="module")
def read_only(away: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleClient]:
    with served_console(away, tmp_path_factory.mktemp("read-only"), actions=False) as console:
        yield console


def test_without_tokens_everybody_looks_and_nobody_acts(away, tmp_path):
    nothing = {"actions": False, "token_file": None, "viewer_token_file": None}
    with served_console(away, tmp_path, **nothing) as console:
        assert console.get("/settings").status == 200
        assert console.post("/nowhere", csrf="x").status == 403


def test_another_site_can_neither_embed_nor_fetch_a_page(shared):
    for site in ("cross-site", "same-site"):
        assert shared.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert shared.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200


def test_a_link_on_another_site_starts_no_check(shared):
    followed = shared.get("/settings?check=1", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert followed.status == 200
    assert 'id="findings"' not in shared.text(followed)
    assert 'id="findings"' in shared.text(shared.get("/settings?check=1", Sec_Fetch_Site="same-origin"))


def test_a_link_from_another_site_is_followed_with_the_session(nobody):
    """Browsers do not send the cookie then: the page asks for itself once more, and only then for the log-in."""
    answer = nobody.get("/explain?id=n:1", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert (answer.status, answer.headers["refresh"]) == (200, "0")
    assert nobody.get("/explain?id=n:1", Sec_Fetch_Site="same-origin").headers["location"] == (
        "/login?next=%2Fexplain%3Fid%3Dn%3A1"
    )


def test_the_cookie_is_kept_from_scripts_and_other_sites(nobody):
    answer = nobody.post("/login", {"token": OPERATOR}, csrf="")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= {part.strip() for part in cookie.split(";")}


def test_behind_https_the_cookie_is_for_https_and_this_host_alone(away, tmp_path):
    with served_console(away, tmp_path, behind_proxy=True) as console:
        answer = ConsoleClient(console.address).post("/login", {"token": OPERATOR}, csrf="")
        assert answer.headers["set-cookie"].startswith("__Host-penstock-")
        assert "Secure" in answer.headers["set-cookie"]
        assert "Domain" not in answer.headers["set-cookie"]
        assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", ""])
def test_log_in_leads_to_our_own_pages_only(target, nobody):
    assert nobody.post("/login", {"token": VIEWER, "next": target}, csrf="").headers["location"] == "/"


def test_log_in_leads_to_the_page_that_was_asked_for(nobody):
    answer = nobody.post("/login", {"token": VIEWER, "next": "/explain?id=n:1"}, csrf="")
    assert answer.headers["location"] == "/explain?id=n:1"


def test_too_many_wrong_tokens_are_not_looked_at(away, tmp_path):
    with served_console(away, tmp_path, log_in=False) as console:
        wrong = [console.post("/login", {"token": f"wrong-token-number-{number}"}, csrf="") for number in range(9)]
        assert [answer.status for answer in wrong] == [403] * WRONG_TOKENS + [429] * (9 - WRONG_TOKENS)
        right = console.post("/login", {"token": OPERATOR}, csrf="")
        assert right.status == 429
        assert 1 <= int(right.headers["retry-after"]) <= 60


def test_behind_a_proxy_one_address_does_not_keep_others_out(away, tmp_path):
    with served_console(away, tmp_path, log_in=False, behind_proxy=True) as console:
        for _ in range(WRONG_TOKENS + 1):
            last = console.post("/login", {"token": "x"}, csrf="", X_Forwarded_For="10.0.0.9, 10.0.0.1")
        assert last.status == 429
        spoofed = console.post("/login", {"token": OPERATOR}, csrf="", X_Forwarded_For="10.0.0.2, 10.0.0.1")
        assert spoofed.status == 429
        assert console.post("/login", {"token": OPERATOR}, csrf="", X_Forwarded_For="10.0.0.2").status == 303


def test_a_proxy_that_adds_a_line_of_its_own_says_who_asks(away, tmp_path):
    """HAProxy does; the line before it is whatever the sender wanted."""
    with served_console(away, tmp_path, log_in=False, behind_proxy=True) as console:
        for number in range(WRONG_TOKENS + 1):
            last = console.post("/login", {"token": "x"}, csrf="", X_Forwarded_For=[f"10.0.0.{number}", "10.0.1.1"])
        assert last.status == 429
        other = console.post("/login", {"token": OPERATOR}, csrf="", X_Forwarded_For=["10.0.0.0", "10.0.1.2"])
        assert other.status == 303


def test_a_new_token_counts_at_once_and_ends_the_sessions_of_the_old_one(away, tmp_path):
    with served_console(away, tmp_path) as console:
        viewer = ConsoleClient(console.address).log_in(VIEWER)
        (tmp_path / "token_file").write_text("another-token-of-operators\n")
        assert console.get("/settings").status == 303
        assert viewer.get("/settings").status == 200
        assert console.post("/login", {"token": OPERATOR}, csrf="").status == 403
        console.log_in("another-token-of-operators")
        (tmp_path / "token_file").write_text("")
        assert console.get("/settings").status == 303
        assert console.post("/login", {"token": ""}, csrf="").status == 403


def test_a_stream_ends_with_its_session(away, tmp_path):
    with served_console(away, tmp_path) as console, console.stream("/") as stream:
        assert stream.next().startswith("event: whole")
        (tmp_path / "token_file").write_text("another-token-of-operators")
        until(stream.has_ended, "the stream goes on")


def test_a_cookie_that_is_not_ours_opens_nothing(shared, nobody):
    (name, value) = next(iter(shared.cookies.items()))
    payload, rest = value.split(".", 1)
    for forged in (f"{payload}x.{rest}", f"{payload}.{rest[:-2]}", "", "x.y.z"):
        nobody.cookies = {name: forged}
        assert nobody.get("/settings").status == 303


def test_a_viewers_session_is_none_of_an_operators(tmp_path):
    for name, token in (("operator", OPERATOR), ("viewer", VIEWER)):
        (tmp_path / name).write_text(token)
    files = {"token_file": tmp_path / "operator", "viewer_token_file": tmp_path / "viewer"}
    sessions = Sessions(Tokens(ConsoleSettings(**files)))
    session = sessions.read(sessions.open("viewer", "  Ann  " + "x" * 100))
    assert session is not None
    assert (session.role, session.name) == ("viewer", ("Ann  " + "x" * 100)[:40])


def test_a_form_that_is_too_large_or_none_is_refused(shared):
    assert shared.post("/logout", {"x": "y" * 300_000}).status == 413
    assert shared.post("/logout", Content_Type="text/plain").status == 415
    assert shared.post("/logout", {f"x{number}": "" for number in range(2100)}).status == 400


def test_log_out_ends_the_session_in_the_browser(away, tmp_path):
    with served_console(away, tmp_path) as console:
        assert console.post("/logout").status == 303
        assert console.get("/settings").status == 303


def pages_with_values(shared: ConsoleClient) -> Iterator[tuple[str, str]]:
    for path in [*PAGES, "/settings?check=1", "/explain?collection=shop.orders&id=n:1", "/explain?q=%3Cscript%3E"]:
        yield path, shared.text(shared.get(path))


def test_no_secret_is_on_any_page(shared):
    for path, text in pages_with_values(shared):
        assert [secret for secret in SECRETS if secret in text] == [], path


def test_no_page_has_script_or_style_of_its_own(shared):
    inline = re.compile(r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=|javascript:|hx-on|<iframe|<object", re.I)
    for path, text in pages_with_values(shared):
        if not path.startswith("/static/"):
            assert inline.findall(text) == [], path


def test_a_hostile_name_is_text(shared):
    pages = list(pages_with_values(shared))
    assert [path for path, text in pages if HOSTILE in text] == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in dict(pages)["/settings"]


REFUSED = {
    "without a token": ({"tls_certificate": True}, "needs a token_file or a viewer_token_file"),
    "without HTTPS": ({"viewer_token_file": True}, "needs HTTPS: set tls_certificate, or behind_proxy = true"),
}


@pytest.mark.parametrize(("given", "why"), REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("listen", ["0.0.0.0:9401", ":9401", "[::]:9401", "10.0.0.1:9401", "console.example.com:9401"])
def test_others_do_not_reach_it(given, why, listen, tmp_path):
    (tmp_path / "file").write_text(OPERATOR)
    with pytest.raises(ValidationError, match=re.escape(why)):
        ConsoleSettings(listen=listen, **dict.fromkeys(given, tmp_path / "file"), allowed_hosts="a.example")


@pytest.mark.parametrize("listen", ["0.0.0.0:9401", ":9401", "[::]:9401"])
def test_on_every_interface_the_names_must_be_known(listen, tmp_path):
    (tmp_path / "file").write_text(OPERATOR)
    with pytest.raises(ValidationError, match="needs allowed_hosts"):
        ConsoleSettings(listen=listen, token_file=tmp_path / "file", behind_proxy=True)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:9401", "[::1]:9401", "127.8.8.8:9401", None])
def test_this_machine_alone_needs_nothing(listen):
    assert ConsoleSettings(listen=listen).listen == listen


def test_actions_need_the_operators_token(tmp_path):
    (tmp_path / "file").write_text(VIEWER)
    with pytest.raises(ValidationError, match="actions = true needs a token_file"):
        ConsoleSettings(actions=True, viewer_token_file=tmp_path / "file")


def test_a_token_that_is_short_is_refused_at_the_start(away, tmp_path):
    (tmp_path / "short").write_text("short")
    console = ConsoleSettings(token_file=tmp_path / "short")
    with pytest.raises(SettingsError, match="is shorter than 16 characters; make one with: openssl rand -hex 32"):
        console_app(away.model_copy(update={"console": console}))


def test_it_offers_https_by_a_certificate_of_ones_own(away, tmp_path):
    files = https_files(tmp_path)
    with (
        served_console(away, tmp_path, log_in=False, **files) as console,
        urllib3.PoolManager(ca_certs=str(tmp_path / "ca.pem")) as http,
    ):
        assert console.address.startswith("https://")
        answer = http.request("POST", f"{console.address}/login", redirect=False, **log_in_form(console))
        assert (answer.status, answer.headers["set-cookie"][:16]) == (303, "__Host-penstock-")


def log_in_form(console: ConsoleClient) -> dict[str, object]:
    headers = {"Origin": console.address, "Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
    return {"body": f"token={OPERATOR}", "headers": headers}


def test_a_certificate_that_cannot_be_used_is_named(away, tmp_path):
    files = https_files(tmp_path)
    files["tls_key"].write_text("no key")
    with (
        pytest.raises(SettingsError, match=r"HTTPS \(\[console\] tls_certificate\): .*key\.pem holds no private key"),
        served_console(away, tmp_path, **files),
    ):
        pass


def test_a_renewed_certificate_is_used_without_a_restart(away, tmp_path):
    files = https_files(tmp_path)

    with served_console(away, tmp_path, log_in=False, **files) as console:
        host, port = console.address.removeprefix("https://").split(":")
        first = ssl.get_server_certificate((host, int(port)))
        files["tls_key"].write_text("half written")
        https_files(tmp_path)
        until(lambda: ssl.get_server_certificate((host, int(port))) != first, "the new one")


def https_files(folder: Path) -> dict[str, Path]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = {"tls_certificate": folder / "certificate.pem", "tls_key": folder / "key.pem"}
    certificate.cert_chain_pems[0].write_to_path(files["tls_certificate"])
    certificate.private_key_pem.write_to_path(files["tls_key"])
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return files


def test_a_port_that_is_taken_is_named(away, tmp_path: Path, shared: ConsoleClient):
    with (
        pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(\[console\] listen\)"),
        served_console(away, tmp_path, listen=shared.host),
    ):
        pass
