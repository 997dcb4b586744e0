"""Serve moto on the loopback address: serve.py PORT PORT_FILE.

Port 0 takes a free one; the file tells it.
"""

import logging
import sys
from pathlib import Path

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def main(port: int, port_file: Path) -> None:
    """Serve until the process is ended; port_file appears once requests are accepted."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request would fill the disk
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
    fresh = port_file.with_suffix(".new")
    fresh.write_text(str(server.server_port))
    fresh.replace(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
