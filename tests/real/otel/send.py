"""Sends metrics, logs and traces with the SDK of OpenTelemetry, as an application would: `send.py http|grpc ENDPOINT NAME`.

NAME is the service. Metrics are sent twice, the second time with the SDK's preference for increments."""

import logging
import sys

from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

protocol, endpoint, name = sys.argv[1:]
if protocol == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    def options(signal):
        return {"endpoint": f"{endpoint}/v1/{signal}", "compression": Compression.Gzip}
else:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    def options(signal):
        return {"endpoint": endpoint, "insecure": True, "compression": Compression.Gzip}


def metrics(instance, temporality):
    resource = Resource({"service.name": name, "service.namespace": "real", "service.instance.id": instance})
    exporter = OTLPMetricExporter(**options("metrics"), preferred_temporality=temporality)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    views = [
        View(instrument_name="fine.duration", aggregation=ExponentialBucketHistogramAggregation()),
        View(instrument_name="coarse.duration", aggregation=ExplicitBucketHistogramAggregation([0.1, 1])),
    ]
    provider = MeterProvider([reader], resource, views=views)
    meter = provider.get_meter("real")
    meter.create_gauge("room.temperature", "Cel").set(21.5, {"room": "a"})
    requests = meter.create_counter("http.requests", "{request}")
    jobs = meter.create_up_down_counter("jobs.open")
    fine, coarse = (meter.create_histogram(f"{kind}.duration", "s") for kind in ("fine", "coarse"))
    for round in range(2):
        requests.add(5, {"http.route": "/pay"})
        jobs.add(-1 if round else 4)
        for value in (0.05, 0.5, 5.0):
            fine.record(value)
            coarse.record(value)
        assert provider.force_flush(), "the metrics were not taken"
    provider.shutdown()


metrics("total", {})
metrics("increments", {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA})

resource = Resource({"service.name": name})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(**options("traces"))))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(**options("logs"))))
set_logger_provider(loggers)
logger = logging.getLogger("real")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=loggers))
with tracers.get_tracer("real").start_as_current_span("POST /pay") as span:
    logger.error("card refused by %s", "the bank")
    span.set_status(Status(StatusCode.ERROR, "refused"))
    print(format(span.get_span_context().trace_id, "032x"))
# A call of another service, which asks a cache that sends nothing.
banks = TracerProvider(resource=Resource({"service.name": f"{name}-bank"}))
banks.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(**options("traces"))))
cache = {"db.system": "redis", "server.address": f"{name}-cache"}
with tracers.get_tracer("real").start_as_current_span("pay", kind=SpanKind.CLIENT):
    with banks.get_tracer("real").start_as_current_span("debit", kind=SpanKind.SERVER):
        with banks.get_tracer("real").start_as_current_span("GET", kind=SpanKind.CLIENT, attributes=cache):
            pass
banks.shutdown()
tracers.shutdown()
loggers.shutdown()
