"""Who may ask: the token, the server's own name, its own page; what browsers are told; what is never said."""

import hmac

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mera.commands.serve import guard
from mera.commands.serve.guard import HEADERS, Guard

TOKEN, PORT = "a-token-of-some-length", 8123
NAME = "Zyx" + "quander"
OWN = f"http://127.0.0.1:{PORT}"


async def echo(scope, receive, send):
    """An application that says which path it was asked for, and reads the whole body."""
    if scope["path"] == "/fails":
        raise RuntimeError(f"cannot read {NAME}")
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message.get("more_body"):
            break
    answer = f"{scope['path']} {len(body)}".encode()
    headers = [(b"content-type", b"text/plain"), (b"cache-control", b"public")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def client():
    return TestClient(Guard(echo, TOKEN, PORT), base_url=OWN, raise_server_exceptions=False)


def bearer(token=TOKEN):
    return {"authorization": f"Bearer {token}"}


def test_the_token_opens_in_the_path_and_as_a_header(client):
    assert client.get(f"/{TOKEN}/rank").text == "/rank 0"
    assert client.get(f"/{TOKEN}/").text == "/ 0"
    assert client.get("/rank", headers=bearer()).text == "/rank 0"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/rank", {}),
        ("/openapi.json", {}),
        (f"/{TOKEN[:-1]}/rank", {}),
        (f"/{TOKEN}x/rank", {}),
        (f"//{TOKEN}/rank", {}),
        (f"/rank/{TOKEN}", {}),
        (f"/rank?token={TOKEN}", {}),
        ("/rank", bearer(TOKEN.upper())),
        ("/rank", bearer("")),
        ("/é/rank", {}),
    ],
)
def test_without_it_nothing_is_answered(client, path, headers):
    answer = client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "the token is missing or wrong: use the address that mera serve printed"}


def test_tokens_are_compared_in_constant_time(client, monkeypatch):
    compared = []
    monkeypatch.setattr(guard.hmac, "compare_digest", lambda *pair: compared.append(pair) or hmac_equal(*pair))
    client.get("/wrong/rank", headers=bearer("other"))
    assert {first for first, _ in compared} == {b"other", b"wrong"}


hmac_equal = hmac.compare_digest


OTHER_HOSTS = ("evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80", "", f"[::1]:{PORT}")


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_another_name_is_refused_with_the_right_token(client, host):
    """A name on the internet that was made to mean 127.0.0.1."""
    answer = client.get(f"/{TOKEN}/", headers={"host": host})
    assert answer.status_code == 421
    assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.1:80"])
def test_at_port_80_browsers_name_no_port(host):
    client = TestClient(Guard(echo, TOKEN, 80), base_url="http://127.0.0.1:80")
    headers = {"host": host, "origin": f"http://{host}"}
    assert client.post(f"/{TOKEN}/rank", headers=headers).status_code == 200


def test_the_address_without_its_last_slash_leads_to_the_page(client):
    """The page's files have relative addresses: below the token, not beside it."""
    answer = client.get(f"/{TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"/{TOKEN}/")
    assert client.get(f"/{TOKEN}").text == "/ 0"


def test_localhost_is_the_same_machine(client):
    assert client.get(f"/{TOKEN}/", headers={"host": f"localhost:{PORT}"}).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("null", 403), (OWN, 200)])
def test_requests_of_other_pages_are_refused(client, origin, status):
    assert client.post(f"/{TOKEN}/rank", headers={"origin": origin}).status_code == status


def test_every_answer_has_the_headers_that_browsers_heed(client):
    for answer in (client.get(f"/{TOKEN}/"), client.get("/"), client.get(f"/{TOKEN}/fails")):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_large_body_is_refused_however_it_comes(client, monkeypatch):
    monkeypatch.setattr(guard, "LARGEST_BODY", 1000)
    assert client.post(f"/{TOKEN}/rank", content=b"x" * 1000).text == "/rank 1000"
    assert client.post(f"/{TOKEN}/rank", content=b"x" * 1001).status_code == 413
    parts = (b"x" * 300 for _ in range(10))  # without a length beforehand
    answer = client.post(f"/{TOKEN}/rank", content=parts)
    assert answer.status_code == 413
    assert "at most 1,000 bytes" in answer.json()["detail"]


def test_a_failure_is_a_sentence_and_its_message_is_said_nowhere(client, capsys):
    answer = client.get(f"/{TOKEN}/fails")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "something failed here; what was entered was not kept"}
    said = capsys.readouterr()
    assert "error: RuntimeError" in said.err
    assert NAME not in said.err + said.out


def test_a_websocket_is_closed(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"ws://127.0.0.1:{PORT}/{TOKEN}/"):
        pass
