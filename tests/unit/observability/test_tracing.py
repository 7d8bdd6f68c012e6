"""Trace ids of orders, sampling, and the export without a receiver."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import uuid
from uuid import UUID

import pytest
from opentelemetry import context as ambient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision

from orderfleet.observability.span_export import QUEUE, OncePerMinute, OrderIds, RatioSampler, make_provider, resource
from orderfleet.observability.tracing import root_of, trace_id_of
from orderfleet_local.stack import ports


def test_trace_id_of_an_order_with_a_uid_is_the_uid():
    uid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert f"{trace_id_of('ord-1', uid):032x}" == uid.replace("-", "")


def test_trace_id_of_an_order_without_a_uid_is_derived_from_its_id():
    # printf 'orderfleet order ord-1' | sha256sum | cut -c1-32
    assert f"{trace_id_of('ord-1'):032x}" == "30251d7be007ed38f8ff5dbc1cc53c65"
    assert trace_id_of("ord-1") != trace_id_of("ord-2")


def test_root_span_id_is_derived_from_the_trace_id():
    trace_id = trace_id_of("ord-1")
    assert root_of(trace_id).span_id == root_of(trace_id).span_id != root_of(trace_id + 1).span_id
    assert root_of(trace_id).trace_id == trace_id


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
def test_sampler_keeps_the_configured_share_of_uids(ratio: float):
    sampler, count = RatioSampler(ratio), 2000
    decisions = [sampler.should_sample(ambient.Context(), uuid.uuid4().int, "order").decision for _ in range(count)]
    sampled = sum(decision is Decision.RECORD_AND_SAMPLE for decision in decisions)
    assert abs(sampled / count - ratio) < 0.06


def test_sampler_decides_the_same_in_every_process():
    ids = [uuid.uuid4().int for _ in range(50)]
    decisions = [
        [sampler.should_sample(None, trace_id, "x").decision for trace_id in ids]
        for sampler in (RatioSampler(0.5), RatioSampler(0.5))
    ]
    assert decisions[0] == decisions[1]


def test_span_that_is_no_root_of_an_order_has_random_ids():
    provider = TracerProvider(id_generator=OrderIds(), shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    contexts = [tracer.start_span("x").get_span_context() for _ in range(2)]
    assert contexts[0].trace_id != contexts[1].trace_id
    provider.shutdown()


def test_spans_without_a_receiver_are_queued_up_to_a_bound_without_blocking():
    endpoint = f"127.0.0.1:{ports.choose(0)}"
    provider = make_provider(endpoint, "test", environment="local", ratio=1)
    tracer = provider.get_tracer("test")
    started = time.monotonic()
    for _ in range(3 * QUEUE):
        tracer.start_span("x").end()
    assert time.monotonic() - started < 60  # a blocking export would wait 10 s for each of many batches
    (processor,) = provider._active_span_processor._span_processors
    assert len(processor._batch_processor._queue) <= QUEUE
    processor._batch_processor._queue.clear()
    provider.shutdown()


def test_make_provider_before_the_first_span_does_not_import_grpc():
    code = """
import sys
from orderfleet.observability.span_export import make_provider
make_provider("127.0.0.1:1", "test", environment="local", ratio=1)
assert "grpc" not in sys.modules
"""
    subprocess.run((sys.executable, "-c", code), check=True, timeout=60)


def test_once_per_minute_drops_a_repeated_message():
    once = OncePerMinute()
    records = [
        logging.LogRecord("exporter", logging.ERROR, "f", 1, text, (), None) for text in ("a", "a", "b", "a", "b")
    ]
    assert [once.filter(record) for record in records] == [True, False, True, False, False]


def test_resource_has_the_attributes_of_the_process(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-1")
    attributes = resource("api", "production").attributes
    assert attributes["service.name"] == "orderfleet-api"
    assert attributes["service.namespace"] == "orderfleet"
    assert attributes["deployment.environment.name"] == "production"
    assert attributes["k8s.pod.name"] == "pod-1"
    assert UUID(str(attributes["service.instance.id"]))
