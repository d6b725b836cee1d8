"""Makes golden.json: texts in both formats of metrics, and what prometheus_client, another implementation, reads in them.

    pip install prometheus_client==0.26.0 && python oracle.py > golden.json
"""

import json

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

TEXT = r"""
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="0.1"} 33444
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
  	# TYPE	rpc_duration_seconds   summary
rpc_duration_seconds{quantile="0.01"} 3102
 rpc_duration_seconds{ quantile = "0.99" }	76656
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
not_a_number NaN
utf8{city="Zürich",brace="}{",comma=","} -0.5e-3
"""

OPENMETRICS = r"""# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.
acme_http_router_request_seconds_sum{path="/api/v1",method="GET"} 9036.32
acme_http_router_request_seconds_count{path="/api/v1",method="GET"} 807283.0
acme_http_router_request_seconds_created{path="/api/v1",method="GET"} 1605281325.0
# TYPE go_goroutines gauge
go_goroutines 69
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 4.20072246e+06 1605281325.25
# TYPE foo histogram
foo_bucket{le="0.01"} 0
foo_bucket{le="0.1"} 8 # {} 0.054
foo_bucket{le="1.0"} 11 # {trace_id="KOO5S4vxi0o"} 0.67
foo_bucket{le="10.0"} 17 # {trace_id="oHg5SJYRHA0"} 9.8 1520879607.789
foo_bucket{le="+Inf"} 17
foo_count 17
foo_sum 324789.3
foo_created 1520430000.123
# TYPE build info
build_info{version="1.2"} 1
# TYPE up_since unknown
up_since 5
# EOF
"""


def made():
    registry = CollectorRegistry()
    counter = Counter("jobs", "Jobs.", ["queue"], registry=registry)
    counter.labels('a"b\\c\nd').inc(3)
    Gauge("load", "Load.", registry=registry).set(0.1 + 0.2)
    histogram = Histogram("latency_seconds", "Latency.", registry=registry)
    for value in (0.004, 0.3, 12.0):
        histogram.observe(value, {"trace_id": "t1"})
    Summary("size_bytes", "Sizes.", registry=registry).observe(7)
    return registry


def read(parse, source):
    """By name and labels: value, time in milliseconds, exemplar; and the start of those that say one."""
    points, starts = [], []
    for family in parse(source):
        for s in family.samples:
            at = None if s.timestamp is None else round(float(s.timestamp) * 1000)
            point = {"name": s.name, "labels": s.labels, "value": repr(float(s.value)), "at": at}
            if s.exemplar:
                e = s.exemplar
                point["exemplar"] = {
                    "labels": e.labels,
                    "value": e.value,
                    "at": None if e.timestamp is None else round(float(e.timestamp) * 1000),
                }
            created = s.name == family.name + "_created"
            if parse is openmetrics and created and family.type in ("counter", "histogram", "summary"):
                starts.append({"family": family.name, "labels": s.labels, "start": round(s.value * 1000)})
            else:
                points.append(point)
    return {"points": points, "starts": starts}


registry = made()
cases = [
    ("text", text, TEXT),
    ("openmetrics", openmetrics, OPENMETRICS),
    ("text", text, generate_latest(registry).decode()),
    ("openmetrics", openmetrics, generate_openmetrics(registry).decode()),
]
print(json.dumps([{"format": f, "text": t, **read(p, t)} for f, p, t in cases], indent=1, ensure_ascii=False))
