"""A stand-in for a model hub on this machine, with every fault a network can have.

The hub answers the listing and small files; `.safetensors` are redirected to a second
server on another port, as a hub does with its CDN. Faults are asked for by file name.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LISTING = "listing"  # the name under which faults of the listing are asked for


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    server: str  # "hub" or "cdn"
    path: str
    range: str | None
    if_range: str | None
    authorization: str | None


@dataclass
class Faults:
    """statuses: answers to give first, in turn. cut: break off after so many bytes, in turn.
    corrupt: how often to send a wrong byte. slow: seconds before each kilobyte.
    """

    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    corrupt: int = 0
    slow: float = 0.0
    ignore_range: bool = False
    weak_etag: bool = False


@dataclass
class HubServer:
    """Serves `revisions`: name -> (commit, folder). Use as a context manager."""

    repo: str
    revisions: dict[str, tuple[str, Path]]
    token: str | None = None  # without it, 401
    redirect_to: str | None = None  # instead of the CDN
    extra_siblings: list[dict[str, object]] = field(default_factory=list)
    faults: dict[str, Faults] = field(default_factory=lambda: defaultdict(Faults))
    log: list[Request] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        self._servers = {name: self._start(name) for name in ("hub", "cdn")}
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        return self.address("hub")

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._servers[name].server_port}"

    def requests(self, name: str, server: str = "cdn") -> list[Request]:
        """The log's lines for a file."""
        return [r for r in self.log if r.server == server and r.path.endswith("/" + name)]

    def _start(self, name: str) -> ThreadingHTTPServer:
        hub = self

        class Handler(_Handler):
            server_name = name
            state = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def folder(self, commit: str) -> Path | None:
        return next((f for c, f in self.revisions.values() if c == commit), None)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server_name: str
    state: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = (self.headers.get(n) for n in ("Range", "If-Range", "Authorization"))
        self.state.log.append(Request(self.server_name, path, *headers))
        token = self.state.token
        if (
            self.server_name == "hub"
            and token
            and self.headers["Authorization"] != (f"Bearer {token}")
        ):
            self._answer(401)
            return
        listing = re.fullmatch(rf"/api/models/{self.state.repo}/revision/(.+)", path)
        file = re.fullmatch(rf"/{self.state.repo}/resolve/([0-9a-f]+)/(.+)", path)
        if listing:
            self._listing(listing[1])
        elif file:
            self._file(file[1], file[2], path)
        else:
            self._answer(404)

    def _fault(self, name: str) -> bool:
        faults = self.state.faults[name]
        if not faults.statuses:
            return False
        status, headers = faults.statuses.pop(0)
        self._answer(status, headers)
        return True

    def _listing(self, revision: str) -> None:
        if self._fault(LISTING):
            return
        if revision not in self.state.revisions:
            self._answer(404)
            return
        commit, folder = self.state.revisions[revision]
        siblings = [_sibling(path) for path in sorted(folder.iterdir())]
        body = {"sha": commit, "siblings": siblings + self.state.extra_siblings}
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _file(self, commit: str, name: str, path: str) -> None:
        folder = self.state.folder(commit)
        if folder is None or not (folder / name).is_file():
            self._answer(404)
        elif self.server_name == "hub" and name.endswith(".safetensors"):
            elsewhere = self.state.redirect_to or self.state.address("cdn")
            self._answer(302, {"Location": elsewhere + path})
        elif not self._fault(name):
            self._content(name, (folder / name).read_bytes())

    def _content(self, name: str, data: bytes) -> None:
        faults = self.state.faults[name]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        start = self._start_byte(etag, faults)
        if start > len(data):
            self._answer(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        body = bytearray(data[start:])
        if faults.corrupt and body:
            faults.corrupt -= 1
            body[-1] ^= 0xFF
        self.send_response(206 if start else 200)
        self.send_header("ETag", f"W/{etag}" if faults.weak_etag else etag)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self._send(bytes(body), faults)

    def _start_byte(self, etag: str, faults: Faults) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not found or faults.ignore_range or (condition is not None and condition != etag):
            return 0
        return int(found[1])

    def _send(self, body: bytes, faults: Faults) -> None:
        limit = faults.cut.pop(0) if faults.cut else len(body)
        try:
            for position in range(0, min(limit, len(body)), 1024):
                time.sleep(faults.slow)
                self.wfile.write(body[position : min(position + 1024, limit)])
            if limit < len(body):
                self.close_connection = True
        except ConnectionError:
            self.close_connection = True  # the other side had enough

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _sibling(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    entry: dict[str, object] = {
        "rfilename": path.name,
        "size": len(data),
        "blobId": git_blob(data),
    }
    if path.suffix == ".safetensors":
        entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return entry
