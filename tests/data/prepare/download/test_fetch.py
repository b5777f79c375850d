"""Downloads from a server on this machine: whole, resumed, changed meanwhile, cut off, wrong."""

import hashlib
import random

import pytest
from file_server import FileServer

from data.prepare.download.fetch import check_address, fetch

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILES = {"/a.zip": CONTENT}


def left(folder):
    return sorted(path.name for path in folder.rglob("*"))


def fetched(server, folder, sha256=SHA256, waits=(0, 0)):
    return fetch(server.address("/a.zip"), folder / "a.zip", sha256, waits=waits)


def test_a_file_comes_whole_and_nothing_is_sent_but_the_request(tmp_path):
    with FileServer(FILES) as server:
        seen = []
        result = fetch(server.address("/a.zip"), tmp_path / "a.zip", SHA256, lambda *places: seen.append(places))
        assert (result.num_bytes, result.sha256, result.verified, result.was_there) == (
            len(CONTENT),
            SHA256,
            True,
            False,
        )
        assert (tmp_path / "a.zip").read_bytes() == CONTENT
        assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
        assert left(tmp_path) == ["a.zip"]
        (request,) = server.does.requests
        assert request.pop("method") == "GET"
        assert set(request) == {"path", "Host", "User-Agent", "Accept-Encoding", "Connection"}
        assert request["User-Agent"] == "mera"
        again = fetched(server, tmp_path)
        assert (again.was_there, again.verified, len(server.does.requests)) == (True, True, 1)


def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path):
    with FileServer(FILES, break_after=[1_000_000, 500_000]) as server:
        assert fetched(server, tmp_path).verified
        assert [request.get("Range") for request in server.does.requests] == [None, "bytes=1000000-", "bytes=1500000-"]
        assert all(request.get("If-Range") == '"v1"' for request in server.does.requests[1:])
    assert left(tmp_path) == ["a.zip"]


def test_a_second_run_goes_on_where_the_first_gave_up(tmp_path):
    with FileServer(FILES, break_after=[1_000_000, 0, 0]) as server:
        with pytest.raises(
            ValueError, match=r"the connection broke each time \(2,000,000 bytes are missing\); 1,000,000"
        ):
            fetched(server, tmp_path)
        assert left(tmp_path) == [".a.zip.partial", "content", "version"]
        assert fetched(server, tmp_path).verified
        assert server.does.requests[-1]["Range"] == "bytes=1000000-"
    assert left(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("behaviour", [{"ranges": False}, {"tag": None}, {"tag": 'W/"weak"'}])
def test_where_the_server_cannot_resume_it_begins_anew(tmp_path, behaviour):
    with FileServer(FILES, break_after=[1_000_000], **behaviour) as server:
        assert fetched(server, tmp_path).sha256 == SHA256


def test_a_file_that_changed_meanwhile_is_not_joined_to_its_old_beginning(tmp_path):
    other = random.Random(1).randbytes(2_000_000)
    with FileServer({**FILES}, break_after=[1_000_000]) as server:
        with pytest.raises(ValueError, match="the connection broke each time"):
            fetched(server, tmp_path, None, waits=())
        server.does.files["/a.zip"], server.does.tag = other, '"v2"'
        assert fetched(server, tmp_path, None).sha256 == hashlib.sha256(other).hexdigest()
    assert (tmp_path / "a.zip").read_bytes() == other


def test_all_of_it_may_be_there_already(tmp_path):
    folder = tmp_path / ".a.zip.partial"
    folder.mkdir()
    (folder / "content").write_bytes(CONTENT)
    (folder / "version").write_text('"v1"')
    with FileServer(FILES) as server:
        assert fetched(server, tmp_path).verified
        assert len(server.does.requests) == 1


def test_a_wrong_hash_leaves_nothing(tmp_path):
    with FileServer({"/a.zip": CONTENT[:-1] + b"x"}) as server:
        with pytest.raises(
            ValueError, match=rf"has the sha256 [0-9a-f]{{64}}, not {SHA256} as published; it was removed"
        ):
            fetched(server, tmp_path)
        assert left(tmp_path) == []
        unchecked = fetched(server, tmp_path, None)
        assert (unchecked.verified, len(unchecked.sha256)) == (False, 64)
        with pytest.raises(ValueError, match="is there, but its sha256 is"):
            fetched(server, tmp_path)


@pytest.mark.parametrize(("status", "message"), [(404, "answers 404"), (403, "answers 403"), (401, "answers 401")])
def test_a_refusal_is_not_tried_again(tmp_path, status, message):
    with FileServer(FILES, statuses=[status]) as server:
        with pytest.raises(ValueError, match=message):
            fetched(server, tmp_path)
        assert len(server.does.requests) == 1
    assert left(tmp_path) == []


def test_a_busy_server_is_asked_again(tmp_path):
    with FileServer(FILES, statuses=[503, 429]) as server:
        assert fetched(server, tmp_path).verified
    with FileServer(FILES, statuses=[503] * 3) as server, pytest.raises(ValueError, match=r"\(HTTP 503\); 0 bytes"):
        fetched(server, tmp_path / "b")


def test_only_encrypted_addresses_are_asked_and_followed(tmp_path):
    for address in ("http://example.org/a", "ftp://example.org/a", "file:///etc/passwd"):
        with pytest.raises(ValueError, match="is not an encrypted address"):
            check_address(address)
    check_address("https://example.org/a")
    with FileServer(FILES, redirects={"/r": "/a.zip", "/x": "http://example.org/a"}) as server:
        assert fetch(server.address("/r"), tmp_path / "r", SHA256, waits=()).verified
        with pytest.raises(ValueError, match=r"http://example\.org is not an encrypted address"):
            fetch(server.address("/x"), tmp_path / "x", waits=())


def test_nobody_answers(tmp_path):
    with FileServer(FILES) as server:
        address = server.address("/a.zip")
    with pytest.raises(ValueError, match=r"the connection broke each time \(ConnectionRefusedError\)"):
        fetch(address, tmp_path / "a", waits=(0,))
