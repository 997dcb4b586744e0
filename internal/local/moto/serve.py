"""Serve moto on the loopback address: serve.py PORT PORT_FILE.

Port 0 takes a free one; the file tells it. Variables: DIECAST_ACCESS_KEY_ID has the access key of
those who are served, DIECAST_MEMORY_LIMIT the bytes of this process from which on nothing more is
stored, DIECAST_SILENT_SECONDS how long a connection may be silent.
"""

import functools
import hmac
import json
import logging
import os
import re
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication
from xml.parsers.expat import ExpatError

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.serving import DechunkedInput, make_server
from werkzeug.wrappers import Response


class _Whole:
    """A body in chunks whose end within a chunk is an error: werkzeug would read on for ever."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionAbortedError("the body ends within a chunk")
        return data

    def readline(self, limit: int) -> bytes:
        return self._file.readline(limit)


class _Handler(MotoRequestHandler):
    # Each connection has a thread: whoever is silent for so long, within a request or between two,
    # loses it. Clients connect anew.
    timeout = float(os.environ.pop("DIECAST_SILENT_SECONDS"))

    def make_environ(self) -> dict[str, Any]:
        environ = super().make_environ()
        if environ.get("wsgi.input_terminated"):
            environ["wsgi.input"] = DechunkedInput(_Whole(self.rfile))
        return environ


class _Dispatcher(DomainDispatcherApplication):
    """Remembers which service a host is.

    moto lists the folders of its package twice for each request, half of what an object's takes.
    """

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._remembered = functools.lru_cache(maxsize=64)(super().get_backend_for_host)

    def get_backend_for_host(self, host: str | None) -> str | None:
        return self._remembered(host)


class _Contained:
    """What moto raises is the answer to one request, in the form of the API that was asked."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # moto's own API forgets everything that is stored, for whoever asks.
        if environ["PATH_INFO"].startswith("/moto-api"):
            return Response(status=404)(environ, start_response)
        if _storing(environ) and _memory() > _LIMIT:
            # As by a service that is asked for too much at once; else all that is stored would end.
            return Response("<Error><Code>SlowDown</Code></Error>", 503)(environ, start_response)
        try:
            return self._application(environ, start_response)
        except (ConnectionError, ClientDisconnected, TimeoutError):
            raise
        except HTTPException as error:
            return error(environ, start_response)
        except Exception as error:
            logging.getLogger("moto").exception("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return _refusal(error, environ)(environ, start_response)


_LIMIT = int(os.environ["DIECAST_MEMORY_LIMIT"])  # of this process, in bytes


def _memory() -> int:
    if sys.platform == "linux":  # what it takes now, in memory and swapped: what is deleted makes room
        status = Path("/proc/self/status").read_text()
        return sum(int(size) for size in re.findall(r"^Vm(?:RSS|Swap):\s*(\d+) kB$", status, re.M)) << 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _storing(environ: dict[str, Any]) -> bool:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    return environ["REQUEST_METHOD"] == "PUT" or re.search(r"\.(Put|Create)", target) is not None


def _refusal(error: Exception, environ: dict[str, Any]) -> Response:
    in_json = "HTTP_X_AMZ_TARGET" in environ
    if isinstance(error, ExpatError):
        status, code = 400, "MalformedXML"
    elif isinstance(error, json.JSONDecodeError | RecursionError | UnicodeError):
        status, code = 400, "SerializationException" if in_json else "InvalidRequest"
    elif isinstance(error, KeyError) and not in_json and "uploadId" in environ["QUERY_STRING"]:
        status, code = 404, "NoSuchUpload"
    elif isinstance(error, ValueError):  # what is no number, or no date
        status, code = 400, "ValidationException" if in_json else "InvalidArgument"
    elif in_json and isinstance(error, TypeError | AttributeError | LookupError):  # moto checks no types
        status, code = 400, "ValidationException"
    else:
        status, code = 500, "InternalFailure" if in_json else "InternalError"
    if in_json:
        return Response(json.dumps({"__type": code}), status, content_type="application/x-amz-json-1.1")
    return Response(f"<Error><Code>{code}</Code></Error>", status, content_type="application/xml")


_SIGNED = re.compile(r"AWS4-HMAC-SHA256 (?:.*[ ,])?Credential=([^/, ]*)")
# By version 2, which boto3 still uses for addresses of objects.
_SIGNED_BEFORE = re.compile(r"AWS ([^:]*):")


def _key_id(environ: dict[str, Any]) -> str:
    """Return the access key id that a request tells, in a header or in its query, or nothing."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    if found := _SIGNED.match(header) or _SIGNED_BEFORE.match(header):
        return found[1]
    query = parse_qs(environ.get("QUERY_STRING", ""))
    told = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId") or [""]
    return told[0].partition("/")[0]


class _Admission:
    """Serves who signs with the run's access key, and no page in a browser.

    Every user of this machine, and every page, reaches the port. A page tells its Origin, or asks
    for a host of another name, which a name server can make lead here.
    """

    def __init__(self, application: WSGIApplication, wanted: str) -> None:
        self._application, self._wanted = application, wanted.encode()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        own = [f"{host}:{environ['SERVER_PORT']}" for host in ("127.0.0.1", "localhost")]
        given = _key_id(environ)
        if "HTTP_ORIGIN" in environ or environ.get("HTTP_HOST") not in own:
            refused = "AccessDenied", "AccessDeniedException"
        elif not given:
            refused = "AccessDenied", "MissingAuthenticationTokenException"
        elif not hmac.compare_digest(given.encode(), self._wanted):
            refused = "InvalidAccessKeyId", "UnrecognizedClientException"
        else:
            return self._application(environ, start_response)
        # Each protocol has its own names.
        if "HTTP_X_AMZ_TARGET" in environ:
            start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"__type": refused[1]}).encode()]
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [f"<Error><Code>{refused[0]}</Code></Error>".encode()]


def main(port: int, port_file: Path, wanted: str) -> None:
    """Serve until the process is ended; port_file appears once requests are accepted."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request would fill the disk
    application = _Admission(_Contained(_Dispatcher()), wanted)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=_Handler)
    fresh = port_file.with_suffix(".new")
    fresh.write_text(str(server.server_port))
    fresh.replace(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), os.environ.pop("DIECAST_ACCESS_KEY_ID"))
