"""Requests over https with the standard library, and every failure in plain words."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO
from urllib.parse import SplitResult, urlsplit

from cbflash.errors import DownloadError

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_AGAIN = "Run the same command again: it goes on where it stopped."


class TransientError(DownloadError):
    """A failure that may pass. `wait`: seconds the server asked for, or None."""

    def __init__(self, message: str, hint: str = _AGAIN, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


class UnreachableError(TransientError):
    """The server cannot be reached at all: no network, most often."""


class RangeRefusedError(DownloadError):
    """The server has nothing from that byte on (416)."""


class Web:
    """Opens addresses. The token goes to the endpoint's own host and nowhere else.

    endpoint: "https://host[:port]"; plain http only for this machine itself.
    timeout: seconds without a single byte before a connection counts as lost.
    """

    def __init__(self, endpoint: str, token: str | None = None, timeout: float = 30.0) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._timeout = timeout
        redirects = _Redirects(_origin(self.endpoint), token)
        # A proxy cannot reach this machine's own loopback.
        proxies: dict[str, str] | None = {} if _host(self.endpoint) in _LOOPBACK else None
        self._opener = urllib.request.build_opener(redirects, urllib.request.ProxyHandler(proxies))
        self._authorize = redirects.authorize

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """GET, following redirects. Raises DownloadError, TransientError, RangeRefusedError."""
        _check_scheme(url)
        request = urllib.request.Request(url, headers={"User-Agent": "cbflash", **headers})
        self._authorize(request)
        with _plain_words(url):
            response = self._opener.open(request, timeout=self._timeout)
        with response:
            yield response


def read_some(response: http.client.HTTPResponse, most: int) -> bytes:
    """What has arrived, at most `most` bytes; nothing at the end. Raises as `Web.open`."""
    with _plain_words(response.url):
        return response.read1(most)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only, and shows the token to one origin only."""

    def __init__(self, origin: tuple[str, str], token: str | None) -> None:
        self._origin = origin
        self._token = token

    def authorize(self, request: urllib.request.Request) -> None:
        """Add the token if the request goes to the endpoint; redirects do not inherit it."""
        if self._token is not None and _origin(request.full_url) == self._origin:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            self.authorize(request)
        return request


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access
    except ValueError:
        raise DownloadError(f"{url!r} is not an address.", "Check HF_ENDPOINT.") from None
    return parts


def _host(url: str) -> str:
    return _split(url).hostname or ""


def _origin(url: str) -> tuple[str, str]:
    parts = _split(url)
    return parts.scheme, parts.netloc


def _check_scheme(url: str) -> None:
    scheme = _split(url).scheme
    if scheme != "https" and not (scheme == "http" and _host(url) in _LOOPBACK):
        raise DownloadError(f"{url} is not an https address.", "Check HF_ENDPOINT.")


@contextmanager
def _plain_words(url: str) -> Iterator[None]:
    host = _host(url)
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _status_error(error, url, host) from None
    except urllib.error.URLError as error:
        raise _connection_error(error.reason, host) from None
    except (OSError, http.client.HTTPException) as error:
        raise _connection_error(error, host) from None


def _status_error(error: urllib.error.HTTPError, url: str, host: str) -> DownloadError:
    code = error.code
    if code in (401, 403):
        return DownloadError(
            f"{host} does not give {url} without a login ({code}).",
            "Log in there, accept the model's terms, and set HF_TOKEN to an access token.",
        )
    if code == 404:
        return DownloadError(f"{host} has no {url} (404).", "Check the model's name and revision.")
    if code == 407:
        return _proxy_error("407")
    if code == 416:
        return RangeRefusedError(f"{host} cannot go on with {url} (416).", _AGAIN)
    if code == 429:
        wait = error.headers.get("Retry-After", "")
        return TransientError(
            f"{host} has had too many requests (429).",
            "Wait some minutes and run the same command again, or set HF_TOKEN.",
            float(wait) if wait.isascii() and wait.isdigit() else None,
        )
    if code >= 500:
        return TransientError(f"{host} has a problem of its own ({code}).")
    return DownloadError(f"{host} answered {code} for {url}.")


def _connection_error(reason: object, host: str) -> DownloadError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DownloadError(
            f"The certificate of {host} is not trusted: {reason.verify_message}.",
            "Is a proxy in between? Does this Python have root certificates installed?",
        )
    if isinstance(reason, socket.gaierror):
        return UnreachableError(f"{host} was not found: there seems to be no network.")
    if isinstance(reason, TimeoutError):
        return TransientError(f"{host} does not answer.")
    if isinstance(reason, ConnectionResetError | BrokenPipeError | http.client.HTTPException):
        return TransientError(f"The connection to {host} was cut.")
    if "Tunnel connection failed" in str(reason):  # http.client has no class for it
        return _proxy_error(str(reason))
    return UnreachableError(f"{host} cannot be reached: {reason}.")


def _proxy_error(reason: str) -> DownloadError:
    return DownloadError(
        f"The proxy refused the connection ({reason}).", "Check HTTPS_PROXY and its password."
    )
