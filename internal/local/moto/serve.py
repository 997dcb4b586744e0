"""Serve moto on the loopback address: serve.py PORT PORT_FILE.

Port 0 takes a free one; the file tells it. The variable DIECAST_ACCESS_KEY_ID has the access key of
those who are served.
"""

import hmac
import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

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
    application = _Admission(DomainDispatcherApplication(create_backend_app), wanted)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
    fresh = port_file.with_suffix(".new")
    fresh.write_text(str(server.server_port))
    fresh.replace(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), os.environ.pop("DIECAST_ACCESS_KEY_ID"))
