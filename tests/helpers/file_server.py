"""A server on this machine that hands files out as servers do, and as broken ones do."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does."""

    files: dict[str, bytes]
    ranges: bool = True
    """Whether it answers a Range with the part."""
    tag: str | None = '"v1"'
    """ETag; None: it says nothing of versions."""
    break_after: list[int] = field(default_factory=list)
    """Of the next answers, so many bytes are sent, then the connection is cut."""
    statuses: list[int] = field(default_factory=list)
    """The next answers are these errors."""
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[dict] = field(default_factory=list)
    """Path and headers of each request."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        does = self.server.behaviour
        does.requests.append({"path": self.path, "method": self.command, **dict(self.headers.items())})
        self.close_connection = True
        if does.statuses:
            self.send_error(does.statuses.pop(0))
            return
        if self.path in does.redirects:
            self.send_response(302)
            self.send_header("Location", does.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = does.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range", "")
        same = self.headers.get("If-Range") == does.tag
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and does.ranges and same else 0
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if does.tag is not None:
            self.send_header("ETag", does.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        part = content[start:]
        if does.break_after:
            part = part[: does.break_after.pop(0)]
        self.wfile.write(part)


class FileServer:
    """`with FileServer({"/a.zip": b"..."}) as server: server.address("/a.zip")`."""

    def __init__(self, files, **behaviour):
        self.does = Behaviour(files, **behaviour)

    def __enter__(self):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.behaviour = self.does
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def address(self, path):
        return f"http://127.0.0.1:{self.http.server_port}{path}"
