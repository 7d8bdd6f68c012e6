"""The product on a real cluster with real pods, from `helm install` to `helm uninstall`.

`make test-cluster` runs it. The tests run in this order, and each needs those before it.
"""

from __future__ import annotations

import base64
import json
import time

from cluster import cluster_images as images
from cluster import metrics_server
from cluster.cluster_tools import DELETED, NAMESPACE, until_empty
from cluster.installation import (
    BACKING,
    PREPARED,
    RESTRICTED,
    ROLES,
    TOKEN,
    in_namespace,
    install,
    install_another_operator,
    running_images,
    upgrade,
    upgrade_to,
    write,
)
from cluster.orders import AUTO, ENDS, TEN_KINDS, Load, check_ledgers, ends, read_ledgers, unfinished
from cluster.pod_programs import API, DATABASE
from cluster.versions import Versions, build, workers_images
from support.factories import order_manifest


def test_images_are_built_and_loaded(cluster, timetable):
    base = cluster.images.base()
    images.product(cluster.images, base)
    images.later_versions(cluster.images, cluster.folder / "later")
    images.bad_version(cluster.images, cluster.folder / "bad")
    images.postgres(cluster.images, base, cluster.folder / "postgres")
    programs = {"temporal": images.TEMPORAL, "metrics-server": images.METRICS_SERVER}
    for name, tag in programs.items():
        images.of_one_program(cluster.images, base, name, tag, cluster.folder / name)
    own = images.megabytes(images.PRODUCT) - images.megabytes(base)
    # Stripe's SDK is about 30 of them.
    assert own < 220
    timetable.note(f"{own:.0f} MB without the base")
    versions = (images.PRODUCT, images.NEXT, images.AFTER_NEXT, images.LAST, images.BAD)
    cluster.images.load(*versions, images.POSTGRES, *programs.values())


def test_backing_services_start_in_a_restricted_namespace(cluster):
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}}, *PREPARED
    )
    cluster.helm("install", "backing", cluster.chart("orderfleet-dev"), "-f", write(cluster, "backing", BACKING))
    cluster.wait_for_rollout("postgres", "temporal")


def test_helm_installs_the_product(cluster):
    install(cluster)


def test_helm_test_ships_an_order(cluster):
    assert "Succeeded" in cluster.helm("test", "shop", "--timeout", "6m")


def test_orders_of_ten_kinds_end_as_expected(cluster, timetable):
    cluster.apply(*TEN_KINDS)
    for name in ("reviewed", "moved", "canceled-later"):
        step = "--for=jsonpath={.status.step}=manual_review"
        cluster.kubectl("wait", step, f"orders.orderfleet.dev/{name}", "--timeout=240s")
    edits = {
        "reviewed": {"approved": True},
        "moved": {"address": {"street": "2 Side St"}, "approved": True},
        "canceled-later": {"cancel": True},
    }
    for name, spec in edits.items():
        cluster.kubectl("patch", "ofo", name, "--type=merge", "-p", json.dumps({"spec": spec}))
    until_empty(lambda: unfinished(cluster), 400, "Orders have not ended")
    assert ends(cluster.get("orders.orderfleet.dev")) == ENDS
    timetable.note(f"{check_ledgers(cluster)} Orders")


def test_api_without_a_valid_token_returns_401(cluster):
    (pod,) = cluster.pods("api")
    assert cluster.kubectl("exec", pod, "--", "python", "-c", API, TOKEN, "another").split() == ["200", "401"]


_SHOW = ("temporal", "workflow", "show", "--address", "127.0.0.1:7233", "-w", "order-reviewed")


def test_history_is_encrypted(cluster):
    (pod,) = cluster.pods("temporal")
    history = cluster.kubectl("exec", pod, "--", *_SHOW, "-o", "json")
    assert base64.b64encode(b"binary/encrypted").decode() in history
    assert "Springfield" not in history
    assert base64.b64encode(b"Springfield").decode()[:12] not in history


def test_codec_server_decrypts_history_for_a_token(cluster):
    (pod,) = cluster.pods("temporal")
    codec = ("env", "TEMPORAL_CODEC_ENDPOINT=http://orderfleet-codec", f"TEMPORAL_CODEC_AUTH=Bearer {TOKEN}")
    assert "Springfield" in cluster.kubectl("exec", pod, "--", *codec, *_SHOW)


def test_role_of_the_pods_cannot_delete_an_event(cluster):
    for role in ("api", "orders-worker"):
        printed = cluster.kubectl("exec", cluster.pods(role)[0], "--", "python", "-c", DATABASE)
        assert printed.split() == ["orderfleet_run", "InsufficientPrivilegeError"]


def test_prune_job_completes(cluster):
    cluster.kubectl("create", "job", "prune-now", "--from=cronjob/orderfleet-prune")
    cluster.kubectl("wait", "--for=condition=Complete", "job/prune-now", "--timeout=240s")
    assert "0 orders ended 2160h ago or earlier" in cluster.kubectl("logs", "job/prune-now")


def test_events_of_an_order_show_its_start_and_end(cluster):
    selector = "--field-selector=involvedObject.kind=Order,involvedObject.name=reviewed"
    reasons = [each["reason"] for each in cluster.get("events", selector)]
    assert {"Started", "Shipped"} <= set(reasons)


def test_second_order_with_an_order_id_is_rejected(cluster):
    cluster.apply(order_manifest("own-id-again", orderId="SHOP_2026.1", **AUTO))
    rejected = "--for=jsonpath={.status.conditions[?(@.type=='Accepted')].reason}=Conflict"
    cluster.kubectl("wait", rejected, "orders.orderfleet.dev/own-id-again", "--timeout=240s")
    cluster.kubectl("delete", "ofo", "own-id-again", "--timeout=240s")


def test_upgrade_of_workers_under_load_loses_no_order(cluster, timetable):
    before = set(cluster.pods("orders-worker"))
    with Load(cluster, "upgrade") as load:
        load.at_least(10)
        upgrade_to(cluster, images.NEXT)
        assert before.isdisjoint(cluster.pods("orders-worker"))
        load.at_least(load.count + 10)
    check_ledgers(cluster)
    timetable.note(f"{load.count} Orders")


def test_killed_worker_loses_no_order(cluster, timetable):
    with Load(cluster, "worker-kill") as load:
        load.at_least(10)
        for component in ("orders-worker", "shipping-worker"):
            cluster.kubectl("delete", "pod", cluster.pods(component)[0], "--force", "--grace-period=0")
        load.at_least(load.count + 10)
    cluster.wait_for_rollout(*ROLES)
    check_ledgers(cluster)
    timetable.note(f"{load.count} Orders")


def test_killed_operator_loses_no_order(cluster, timetable):
    with Load(cluster, "operator-kill") as load:
        load.at_least(10)
        (pod,) = cluster.pods("operator")
        cluster.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
        load.at_least(load.count + 10)
    check_ledgers(cluster)
    timetable.note(f"{load.count} Orders")


def test_restarted_postgres_loses_no_order(cluster, timetable):
    with Load(cluster, "postgres-restart") as load:
        load.at_least(10)
        cluster.kubectl("delete", "pod", cluster.pods("postgres")[0])
        cluster.wait_for_rollout("postgres")
        load.at_least(load.count + 10)
    check_ledgers(cluster)
    timetable.note(f"{load.count} Orders")


def test_backup_of_the_order_store_is_restored(cluster, timetable):
    (pod,) = cluster.pods("postgres")

    def postgres(script: str) -> str:
        return cluster.kubectl("exec", pod, "--", "sh", "-ec", script)

    server = "-h /var/run/postgresql -U orderfleet"
    postgres(f"pg_dump {server} --format=custom --file=/tmp/orders.dump orderfleet")
    postgres(f"createdb {server} restored && pg_restore {server} --exit-on-error -d restored /tmp/orders.dump")
    count = "select (select count(*) from orders), (select count(*) from payments), (select count(*) from events)"
    counts = [postgres(f"psql {server} -At -c '{count}' {name}") for name in ("orderfleet", "restored")]
    assert counts[0] == counts[1]
    postgres(f"dropdb {server} restored")
    timetable.note(f"orders|payments|events {counts[0].strip()}")


def test_rollback_over_two_releases_under_load_loses_no_order(cluster, timetable):
    with Load(cluster, "rollback") as load:
        upgrade_to(cluster, images.AFTER_NEXT)
        load.at_least(10)
        cluster.helm("rollback", "shop", "1")
        cluster.wait_for_rollout(*ROLES)
        load.at_least(load.count + 10)
    check_ledgers(cluster)
    assert running_images(cluster) == {images.PRODUCT}
    timetable.note(f"{load.count} Orders")


def test_older_release_is_upgraded_on_the_newer_schema(cluster):
    upgrade(cluster, "--set", "api.replicas=2")


def test_scaled_down_workers_lose_no_order(cluster, timetable):
    with Load(cluster, "scale-down") as load:
        load.at_least(10)
        upgrade(cluster, "--set", "workerDefaults.replicas=1", roles=ROLES[:2])
        load.at_least(load.count + 10)
    check_ledgers(cluster)
    timetable.note(f"{load.count} Orders")


def test_two_versions_of_the_workers_share_the_orders_under_load(cluster, timetable):
    versions = Versions(cluster)
    versions.deploy(images.PRODUCT)
    versions.promote(images.PRODUCT)
    cluster.apply(order_manifest("upgraded"))
    cluster.kubectl("wait", "--for=jsonpath={.status.step}=manual_review", "ofo/upgraded", "--timeout=240s")
    versions.deploy(images.NEXT, images.PRODUCT)
    with Load(cluster, "versions") as load:
        load.at_least(10)
        versions.promote(images.NEXT)
        cluster.kubectl("patch", "ofo", "upgraded", "--type=merge", "-p", '{"spec": {"approved": true}}')
        load.at_least(load.count + 10)
    check_ledgers(cluster)
    # An order moves to the current version; a shipment ends on the version that started it.
    old, new = build(images.PRODUCT), build(images.NEXT)
    done = versions.builds_of(["order-upgraded"])["order-upgraded"]
    assert (done[0], done[-1]) == (old, new)
    shipments = versions.builds_of([f"shipping-versions-{number}-1" for number in range(load.count)])
    assert {len(set(builds)) for builds in shipments.values()} == {1}
    assert {builds[0] for builds in shipments.values()} == {old, new}
    timetable.note(f"{load.count} Orders")


def test_drained_version_is_removed(cluster):
    versions = Versions(cluster)
    versions.drained(images.PRODUCT)
    versions.deploy(images.NEXT)
    assert workers_images(cluster) == {images.NEXT}


def test_bad_version_affects_its_share_of_orders_until_rollback(cluster, timetable):
    versions = Versions(cluster)
    versions.deploy(images.BAD, images.NEXT)
    versions.ramp(images.BAD, 50)
    names = [f"share-{number}" for number in range(12)]
    cluster.apply(*(order_manifest(name, **AUTO) for name in names))
    cluster.kubectl("wait", "--for=jsonpath={.status.workflowId}", *(f"ofo/{name}" for name in names), "--timeout=240s")
    hit: list[str] = []
    until_empty(
        lambda: [] if hit.extend(versions.failing([f"order-{name}" for name in names])) or hit else names,
        240,
        "no order failed on",
    )
    versions.roll_back(images.BAD)
    until_empty(lambda: unfinished(cluster), 400, "Orders have not ended")
    assert {end for name, end in ends(cluster.get("orders.orderfleet.dev")).items() if name in names} == {
        ("shipped", "Ready")
    }
    assert len(set(hit)) < len(names)
    check_ledgers(cluster)
    # The next tests use workers without versions.
    versions.promote_none()
    upgrade_to(cluster, images.NEXT)
    timetable.note(f"{len(set(hit))} of {len(names)} Orders were blocked")


def test_rollback_to_a_release_that_the_schema_does_not_support_is_rejected(cluster):
    upgrade_to(cluster, images.LAST)
    # Helm keeps ten revisions, and the first one no longer exists.
    assert "orderfleet-migration" in cluster.fail_helm("rollback", "shop", "--timeout", "8m")
    assert "only works with releases that have number" in cluster.kubectl("logs", "job/orderfleet-migration")
    assert running_images(cluster) == {images.LAST}
    # Helm treats the rejected release as unfinished until a rollback to the running one.
    cluster.helm("rollback", "shop", "--timeout", "8m")
    upgrade_to(cluster, images.LAST)


def test_autoscaler_adds_workers_under_load_and_removes_them(cluster, timetable):
    cluster.apply(*metrics_server.objects(images.METRICS_SERVER))
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=240s")
    scaling = {"kind": "hpa", "minReplicas": 1, "maxReplicas": 3, "cpuPercent": 60, "scaleDownSeconds": 10}
    worker = {"serves": "orders", "autoscaling": scaling}
    last = f"image.tag={images.LAST.partition(':')[2]}"
    upgrade(cluster, "--set-json", f"workers.orders={json.dumps(worker)}", "--set", last)

    def workers() -> int:
        (deployment,) = cluster.get("deployments", "-l", "app.kubernetes.io/component=orders-worker")
        return int(deployment["spec"]["replicas"])

    until_empty(lambda: [] if workers() == 1 else [workers()], 240, "an idle fleet has more than one order worker")
    with Load(cluster, "busy") as load:
        until_empty(lambda: [] if workers() > 1 else [load.count], 400, "no worker was added")
        most = workers()
    with Load(cluster, "calm", gap=10) as calm:
        until_empty(lambda: [] if workers() == 1 else [workers()], 500, "workers stay")
    check_ledgers(cluster)
    timetable.note(f"{most} order workers, then 1; {load.count + calm.count} Orders")


def test_deletion_of_a_namespace_with_its_operator_cancels_its_orders(cluster, timetable):
    # The operator of all namespaces would also reconcile these Orders.
    cluster.kubectl("scale", "deployment/orderfleet-operator", "--replicas=0")
    until_empty(lambda: cluster.pods("operator"), 120, "the first operator runs")
    install_another_operator(cluster)
    names = [f"deleted-{number}" for number in range(20)]
    cluster.apply(*(in_namespace(order_manifest(name), DELETED) for name in names))
    waiting = "--for=jsonpath={.status.step}=manual_review"
    cluster.kubectl("--namespace", DELETED, "wait", waiting, *(f"ofo/{name}" for name in names), "--timeout=240s")
    began = time.monotonic()
    cluster.kubectl("delete", "namespace", DELETED, "--timeout=120s")
    seconds = time.monotonic() - began
    (pod,) = cluster.pods("postgres")
    count = f"select count(*) from orders where owner like '{DELETED}/%' and step = 'canceled'"
    psql = ("psql", "-h", "/var/run/postgresql", "-U", "orderfleet", "-At", "-c", count, "orderfleet")

    def running() -> list[str]:
        canceled = cluster.kubectl("exec", pod, "--", *psql).strip()
        return [] if canceled == str(len(names)) else [f"{canceled} of {len(names)} are canceled"]

    until_empty(running, 120, "orders are running")
    cluster.kubectl("scale", "deployment/orderfleet-operator", "--replicas=1")
    cluster.wait_for_rollout("orderfleet-operator")
    timetable.note(f"{len(names)} Orders, the namespace was deleted after {seconds:.0f} s")


def test_uninstall_leaves_only_the_orders(cluster, timetable):
    cluster.apply(order_manifest("unfinished"))
    cluster.kubectl("wait", "--for=jsonpath={.status.step}=manual_review", "ofo/unfinished", "--timeout=240s")
    counted = read_ledgers(cluster)
    cluster.helm("uninstall", "shop", "--timeout", "8m")
    remaining = cluster.get("orders.orderfleet.dev")
    assert not [each["metadata"]["name"] for each in remaining if each["metadata"].get("finalizers")]
    until_empty(lambda: cluster.labeled("app.kubernetes.io/name=orderfleet"), 240, "objects remain")
    # As in the chart's notes: this deletes the Orders, and no finalizer blocks it.
    cluster.kubectl("delete", "crd", "orders.orderfleet.dev", "--timeout=270s")
    cluster.helm("uninstall", "backing")
    until_empty(lambda: cluster.labeled("app.kubernetes.io/name=orderfleet-dev"), 240, "objects remain")
    cluster.delete(*metrics_server.objects(images.METRICS_SERVER))
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=270s")
    twice = [order_id for order_id, charges in counted["charged"].items() if charges > 1]
    assert not twice
    timetable.note(f"{len(remaining)} Orders, {len(counted['charged'])} charges, {len(twice)} twice")
