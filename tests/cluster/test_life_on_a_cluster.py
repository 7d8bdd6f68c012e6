"""The product on a real cluster with real pods, from `helm install` to `helm uninstall`, in this order.

Run it by `make test-cluster`; each test is a step on those before it.
"""

from __future__ import annotations

import base64
import json
import time

import metrics_server
import pictures
from asked import API, DATABASE
from disposable import DELETED, NAMESPACE, until
from installation import (
    BACKING,
    PREPARED,
    RESTRICTED,
    ROLES,
    TOKEN,
    images_that_run,
    in_namespace,
    install,
    install_another_operator,
    upgrade,
    upgrade_to,
    write,
)
from orders import AUTO, ENDS, TEN_KINDS, Load, books, ends, order, settle_up, unfinished
from versions import Versions, build, workers_images


def test_images_are_built_and_loaded(cluster, timetable):
    base = cluster.images.base()
    pictures.product(cluster.images, base)
    pictures.later_versions(cluster.images, cluster.folder / "later")
    pictures.bad_version(cluster.images, cluster.folder / "bad")
    pictures.postgres(cluster.images, base, cluster.folder / "postgres")
    programs = {"temporal": pictures.TEMPORAL, "metrics-server": pictures.METRICS_SERVER}
    for name, tag in programs.items():
        pictures.of_one_program(cluster.images, base, name, tag, cluster.folder / name)
    own = pictures.megabytes(pictures.PRODUCT) - pictures.megabytes(base)
    assert own < 180
    timetable.note(f"{own:.0f} MB of our own")
    versions = (pictures.PRODUCT, pictures.NEXT, pictures.AFTER_NEXT, pictures.LAST, pictures.BAD)
    cluster.images.load(*versions, pictures.POSTGRES, *programs.values())


def test_backing_services_come_up_in_a_restricted_namespace(cluster):
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}}, *PREPARED
    )
    cluster.helm("install", "backing", cluster.chart("orderfleet-dev"), "-f", write(cluster, "backing", BACKING))
    cluster.settled("postgres", "temporal")


def test_helm_installs_the_product(cluster):
    install(cluster)


def test_helm_test_runs_an_order_through(cluster):
    assert "Succeeded" in cluster.helm("test", "shop", "--timeout", "6m")


def test_ten_orders_of_different_kinds_reach_their_right_ends(cluster, timetable):
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
    until(lambda: unfinished(cluster), 400, "Orders haven't ended")
    assert ends(cluster.get("orders.orderfleet.dev")) == ENDS
    timetable.note(f"{settle_up(cluster)} Orders")


def test_callers_of_the_api_show_a_token(cluster):
    (pod,) = cluster.pods("api")
    assert cluster.kubectl("exec", pod, "--", "python", "-c", API, TOKEN, "another").split() == ["200", "401"]


_SHOW = ("temporal", "workflow", "show", "--address", "127.0.0.1:7233", "-w", "order-reviewed")


def test_history_is_encrypted(cluster):
    (pod,) = cluster.pods("temporal")
    history = cluster.kubectl("exec", pod, "--", *_SHOW, "-o", "json")
    assert base64.b64encode(b"binary/encrypted").decode() in history
    assert "Springfield" not in history
    assert base64.b64encode(b"Springfield").decode()[:12] not in history


def test_the_codec_server_opens_it_for_whoever_shows_a_token(cluster):
    (pod,) = cluster.pods("temporal")
    codec = ("env", "TEMPORAL_CODEC_ENDPOINT=http://orderfleet-codec", f"TEMPORAL_CODEC_AUTH=Bearer {TOKEN}")
    assert "Springfield" in cluster.kubectl("exec", pod, "--", *codec, *_SHOW)


def test_pods_log_in_to_postgres_as_a_role_that_changes_no_event(cluster):
    for role in ("api", "orders-worker"):
        told = cluster.kubectl("exec", cluster.pods(role)[0], "--", "python", "-c", DATABASE)
        assert told.split() == ["orderfleet_run", "InsufficientPrivilegeError"]


def test_old_trails_are_pruned(cluster):
    cluster.kubectl("create", "job", "prune-now", "--from=cronjob/orderfleet-prune")
    cluster.kubectl("wait", "--for=condition=Complete", "job/prune-now", "--timeout=240s")
    assert "0 orders ended 2160h ago or earlier" in cluster.kubectl("logs", "job/prune-now")


def test_events_tell_the_story(cluster):
    selector = "--field-selector=involvedObject.kind=Order,involvedObject.name=reviewed"
    reasons = [each["reason"] for each in cluster.get("events", selector)]
    assert {"Started", "Shipped"} <= set(reasons)


def test_an_order_id_is_used_once(cluster):
    cluster.apply(order("own-id-again", orderId="SHOP_2026.1", **AUTO))
    refused = "--for=jsonpath={.status.conditions[?(@.type=='Accepted')].reason}=Conflict"
    cluster.kubectl("wait", refused, "orders.orderfleet.dev/own-id-again", "--timeout=240s")
    cluster.kubectl("delete", "ofo", "own-id-again", "--timeout=240s")


def test_workers_are_upgraded_under_load(cluster, timetable):
    before = set(cluster.pods("orders-worker"))
    with Load(cluster, "upgrade") as load:
        load.at_least(10)
        upgrade_to(cluster, pictures.NEXT)
        assert before.isdisjoint(cluster.pods("orders-worker"))
        load.at_least(load.count + 10)
    settle_up(cluster)
    timetable.note(f"{load.count} Orders meanwhile")


def test_a_killed_worker_loses_nothing(cluster, timetable):
    with Load(cluster, "worker-kill") as load:
        load.at_least(10)
        for component in ("orders-worker", "shipping-worker"):
            cluster.kubectl("delete", "pod", cluster.pods(component)[0], "--force", "--grace-period=0")
        load.at_least(load.count + 10)
    cluster.settled(*ROLES)
    settle_up(cluster)
    timetable.note(f"{load.count} Orders meanwhile")


def test_a_killed_operator_loses_nothing(cluster, timetable):
    with Load(cluster, "operator-kill") as load:
        load.at_least(10)
        (pod,) = cluster.pods("operator")
        cluster.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
        load.at_least(load.count + 10)
    settle_up(cluster)
    timetable.note(f"{load.count} Orders meanwhile")


def test_a_restarted_postgres_loses_nothing(cluster, timetable):
    with Load(cluster, "postgres-restart") as load:
        load.at_least(10)
        cluster.kubectl("delete", "pod", cluster.pods("postgres")[0])
        cluster.settled("postgres")
        load.at_least(load.count + 10)
    settle_up(cluster)
    timetable.note(f"{load.count} Orders meanwhile")


def test_the_record_is_backed_up_and_restored(cluster, timetable):
    (pod,) = cluster.pods("postgres")

    def postgres(script: str) -> str:
        return cluster.kubectl("exec", pod, "--", "sh", "-ec", script)

    server = "-h /var/run/postgresql -U orderfleet"
    postgres(f"pg_dump {server} --format=custom --file=/tmp/record.dump orderfleet")
    postgres(f"createdb {server} restored && pg_restore {server} --exit-on-error -d restored /tmp/record.dump")
    count = "select (select count(*) from orders), (select count(*) from payments), (select count(*) from events)"
    counts = [postgres(f"psql {server} -At -c '{count}' {name}") for name in ("orderfleet", "restored")]
    assert counts[0] == counts[1]
    postgres(f"dropdb {server} restored")
    timetable.note(f"orders|payments|events {counts[0].strip()}")


def test_a_rollback_over_two_releases_under_load_loses_nothing(cluster, timetable):
    with Load(cluster, "rollback") as load:
        upgrade_to(cluster, pictures.AFTER_NEXT)
        load.at_least(10)
        cluster.helm("rollback", "shop", "1")
        cluster.settled(*ROLES)
        load.at_least(load.count + 10)
    settle_up(cluster)
    assert images_that_run(cluster) == {pictures.PRODUCT}
    timetable.note(f"{load.count} Orders meanwhile")


def test_the_older_release_is_upgraded_on_the_newer_schema(cluster):
    upgrade(cluster, "--set", "api.replicas=2")


def test_scaled_down_workers_lose_nothing(cluster, timetable):
    with Load(cluster, "scale-down") as load:
        load.at_least(10)
        upgrade(cluster, "--set", "workerDefaults.replicas=1", roles=ROLES[:2])
        load.at_least(load.count + 10)
    settle_up(cluster)
    timetable.note(f"{load.count} Orders meanwhile")


def test_two_versions_of_the_workers_side_by_side_under_load(cluster, timetable):
    versions = Versions(cluster)
    versions.deploy(pictures.PRODUCT)
    versions.promote(pictures.PRODUCT)
    cluster.apply(order("goes-over"))
    cluster.kubectl("wait", "--for=jsonpath={.status.step}=manual_review", "ofo/goes-over", "--timeout=240s")
    versions.deploy(pictures.NEXT, pictures.PRODUCT)
    with Load(cluster, "versions") as load:
        load.at_least(10)
        versions.promote(pictures.NEXT)
        cluster.kubectl("patch", "ofo", "goes-over", "--type=merge", "-p", '{"spec": {"approved": true}}')
        load.at_least(load.count + 10)
    settle_up(cluster)
    # An order goes with the version; a shipment ends on the one that it began with.
    old, new = build(pictures.PRODUCT), build(pictures.NEXT)
    done = versions.builds_of(["order-goes-over"])["order-goes-over"]
    assert (done[0], done[-1]) == (old, new)
    shipments = versions.builds_of([f"shipping-versions-{number}-1" for number in range(load.count)])
    assert {len(set(builds)) for builds in shipments.values()} == {1}
    assert {builds[0] for builds in shipments.values()} == {old, new}
    timetable.note(f"{load.count} Orders meanwhile")


def test_a_version_that_is_drained_goes(cluster):
    versions = Versions(cluster)
    versions.drained(pictures.PRODUCT)
    versions.deploy(pictures.NEXT)
    assert workers_images(cluster) == {pictures.NEXT}


def test_a_bad_version_is_rolled_back_with_its_share_only(cluster, timetable):
    versions = Versions(cluster)
    versions.deploy(pictures.BAD, pictures.NEXT)
    versions.ramp(pictures.BAD, 50)
    names = [f"share-{number}" for number in range(12)]
    cluster.apply(*(order(name, **AUTO) for name in names))
    cluster.kubectl("wait", "--for=jsonpath={.status.workflowId}", *(f"ofo/{name}" for name in names), "--timeout=240s")
    hit: list[str] = []
    until(
        lambda: [] if hit.extend(versions.failing([f"order-{name}" for name in names])) or hit else names, 240, "unhurt"
    )
    versions.roll_back(pictures.BAD)
    until(lambda: unfinished(cluster), 400, "Orders haven't ended")
    assert {end for name, end in ends(cluster.get("orders.orderfleet.dev")).items() if name in names} == {
        ("shipped", "Ready")
    }
    assert len(set(hit)) < len(names)
    settle_up(cluster)
    # Without versions again, as the steps that follow are.
    versions.promote_none()
    upgrade_to(cluster, pictures.NEXT)
    timetable.note(f"{len(set(hit))} of {len(names)} Orders stood still meanwhile")


def test_a_rollback_to_a_release_that_was_left_behind_is_refused(cluster):
    upgrade_to(cluster, pictures.LAST)
    # To the version before: Helm keeps ten revisions, and the first one is gone.
    assert "orderfleet-migration" in cluster.refused_by_helm("rollback", "shop", "--timeout", "8m")
    assert "only works with releases that have number" in cluster.kubectl("logs", "job/orderfleet-migration")
    assert images_that_run(cluster) == {pictures.LAST}
    # Helm holds the refused one for unfinished until it goes back to what runs.
    cluster.helm("rollback", "shop", "--timeout", "8m")
    upgrade_to(cluster, pictures.LAST)


def test_an_autoscaler_adds_workers_under_load_and_takes_them_away(cluster, timetable):
    cluster.apply(*metrics_server.objects(pictures.METRICS_SERVER))
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=240s")
    scaling = {"kind": "hpa", "minReplicas": 1, "maxReplicas": 3, "cpuPercent": 60, "scaleDownSeconds": 10}
    worker = {"serves": "orders", "autoscaling": scaling}
    last = f"image.tag={pictures.LAST.partition(':')[2]}"
    upgrade(cluster, "--set-json", f"workers.orders={json.dumps(worker)}", "--set", last)

    def workers() -> int:
        (there,) = cluster.get("deployments", "-l", "app.kubernetes.io/component=orders-worker")
        return int(there["spec"]["replicas"])

    until(lambda: [] if workers() == 1 else [workers()], 240, "an idle fleet has more than one order worker")
    with Load(cluster, "busy") as load:
        until(lambda: [] if workers() > 1 else [load.count], 400, "no worker was added")
        most = workers()
    with Load(cluster, "calm", gap=10) as calm:
        until(lambda: [] if workers() == 1 else [workers()], 500, "workers stay")
    settle_up(cluster)
    timetable.note(f"{most} order workers, then 1; {load.count + calm.count} Orders meanwhile")


def test_a_namespace_deleted_with_its_operator_goes_and_its_orders_are_canceled(cluster, timetable):
    # The operator of all namespaces would take these Orders too.
    cluster.kubectl("scale", "deployment/orderfleet-operator", "--replicas=0")
    until(lambda: cluster.pods("operator"), 120, "the first operator runs")
    install_another_operator(cluster)
    names = [f"deleted-{number}" for number in range(20)]
    cluster.apply(*(in_namespace(order(name), DELETED) for name in names))
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

    until(running, 120, "orders run on")
    cluster.kubectl("scale", "deployment/orderfleet-operator", "--replicas=1")
    cluster.settled("orderfleet-operator")
    timetable.note(f"{len(names)} Orders, the namespace was gone after {seconds:.0f} s")


def test_uninstall_leaves_nothing_but_the_orders(cluster, timetable):
    cluster.apply(order("unfinished"))
    cluster.kubectl("wait", "--for=jsonpath={.status.step}=manual_review", "ofo/unfinished", "--timeout=240s")
    counted = books(cluster)
    cluster.helm("uninstall", "shop", "--timeout", "8m")
    there = cluster.get("orders.orderfleet.dev")
    assert not [each["metadata"]["name"] for each in there if each["metadata"].get("finalizers")]
    until(lambda: cluster.labelled("app.kubernetes.io/name=orderfleet"), 240, "objects stay")
    # As the chart's notes say: it takes the Orders with it, and nothing hangs.
    cluster.kubectl("delete", "crd", "orders.orderfleet.dev", "--timeout=270s")
    cluster.helm("uninstall", "backing")
    until(lambda: cluster.labelled("app.kubernetes.io/name=orderfleet-dev"), 240, "objects stay")
    cluster.delete(*metrics_server.objects(pictures.METRICS_SERVER))
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=270s")
    twice = [order_id for order_id, charges in counted["charged"].items() if charges > 1]
    assert not twice
    timetable.note(f"{len(there)} Orders, {len(counted['charged'])} charges, {len(twice)} twice")
