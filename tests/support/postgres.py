"""A real PostgreSQL server for tests: made in a folder of its own, on a free port of this machine, thrown away after.

    server = PostgresServer.start()
    url = server.database()          # a new, empty database; `cleared` takes one up again, which is faster
    server.restart()                 # every connection is cut
    server.crash()                   # as when the machine dies; `begin` starts it again
    server.stop()

PostgreSQL refuses to run as root, so there it runs as an unprivileged user. `fsync` stays on: what it says is stored is
stored. Tests that use it share one pytest-xdist group, so that one worker starts one server.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from router.stores import open_database
from router.stores.schema import metadata, schema_version

GROUP = pytest.mark.xdist_group("postgresql")
"""Marks what needs the server."""

WITHIN_S = 100
"""For the server to start or stop; writing out what it holds may take long on a busy disk."""

OTHERS = ("postgres", "nobody")
"""Users that may run the server where the tests run as root."""


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest version; None where there are none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: float(found.parent.name), reverse=True)
    on_path = [Path(shutil.which("initdb") or "absent").resolve().parent]
    return next((found for found in [*debian, *on_path] if (found / "pg_ctl").is_file()), None)


@dataclass
class PostgresServer:
    """A server that was started. `prefix` is how its user is taken on, `used` a database that may be taken up again."""

    programs: Path
    folder: Path
    port: int
    prefix: tuple[str, ...]
    names: Iterator[int] = field(default_factory=lambda: count(1))
    used: str = ""

    @classmethod
    def start(cls) -> PostgresServer:
        """Make a server and start it. Skips the test where PostgreSQL is not installed."""
        found = programs()
        if found is None:
            pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        prefix: tuple[str, ...] = ()
        folder = Path(tempfile.mkdtemp(prefix="router-postgres-"))  # not below a folder that only root may enter
        if os.geteuid() == 0:
            user = next((name for name in OTHERS if _knows(name)), None)
            if user is None or shutil.which("setpriv") is None:
                pytest.skip("PostgreSQL does not run as root, and there is no other user to run it as")
            prefix = ("setpriv", f"--reuid={user}", "--regid=" + _group(user), "--clear-groups")
            shutil.chown(folder, user, _group(user))
        server = cls(found, folder, _free_port(), prefix)
        try:
            server._make()
            server.begin()
        except BaseException:
            server.remove()
            raise
        return server

    @property
    def address(self) -> str:
        """Where the server is, without the name of a database."""
        return f"postgresql://router@127.0.0.1:{self.port}"

    def database(self) -> str:
        """Return the address of a new, empty database."""
        name = f"test{next(self.names)}"
        made = self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "router", name)
        assert made.returncode == 0, made.stdout
        return f"{self.address}/{name}"

    def cleared(self, url: str) -> bool:
        """Remove all rows from a database that was used; say whether it is as good as new then."""
        clear = [f"DELETE FROM {table.name}" for table in metadata.sorted_tables if table is not schema_version]
        clear.append(f"DELETE FROM {schema_version.name} WHERE part <> 'traces'")
        return self._psql(url, "; ".join(clear)).returncode == 0

    def execute(self, url: str, statement: str) -> str:
        """Run SQL beside the program that is tested, and return what psql prints."""
        done = self._psql(url, statement)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def _psql(self, url: str, statement: str) -> subprocess.CompletedProcess[str]:
        return self._run("psql", url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement)

    def begin(self) -> None:
        """Start the server, again if need be, and wait until it takes connections."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c shared_buffers=64MB -c log_min_messages=fatal"
        done = self._ctl("start", "-w", "-t", str(WITHIN_S), "-o", options, "-l", str(self.folder / "log"))
        assert done.returncode == 0, done.stdout + (self.folder / "log").read_text()

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` cuts connections, `immediate` is a crash."""
        self._ctl("stop", "-w", "-t", str(WITHIN_S), "-m", mode)

    def crash(self) -> None:
        """Stop it as a crash does: nothing is written out, the log is replayed when it begins again."""
        self.stop("immediate")

    def restart(self) -> None:
        """Stop it, cutting every connection, and start it again."""
        self.stop()
        self.begin()

    def freeze(self) -> None:
        """Let no process of the server run on: it neither answers nor hangs up."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and remove all that it wrote."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        data = str(self.folder / "data")
        made = self._run("initdb", "-D", data, "-U", "router", "-A", "trust", "-E", "UTF8", "--no-sync")
        assert made.returncode == 0, made.stdout

    def _signal(self, number: signal.Signals) -> None:
        head = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{head}/task/{head}/children").read_text().split()
        for process in (head, *map(int, children)):
            os.kill(process, number)

    def _ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", *words, "-D", str(self.folder / "data"))

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        # Not through a pipe: the server would keep it open for as long as it runs.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [*self.prefix, str(self.programs / program), *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                check=False,
            )
            said.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, said.read())


def _knows(user: str) -> bool:
    return subprocess.run(["id", "-u", user], capture_output=True, check=False).returncode == 0


def _group(user: str) -> str:
    return subprocess.run(["id", "-gn", user], capture_output=True, text=True, check=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start a server that all tests of a worker share."""
    server = PostgresServer.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Return the address of a database with the newest schema and no rows."""
    if not postgres.used or not postgres.cleared(postgres.used):
        postgres.used = postgres.database()
        open_database(postgres.used).close()
    return postgres.used
