"""Writes fuzz/seeds/TARGET/NAME: a small valid message for every decoder, made without any code of ours.

python3 fuzz/seeds.py
"""

import base64
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent / "seeds"


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, str):
        return field(number, value.encode())
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3) + varint(value)


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def seed(target, name, content):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, (dict, list)):
        content = json.dumps(content).encode()
    if isinstance(content, str):
        content = content.encode()
    (folder / name).write_bytes(content)


MS = 1_760_000_000_000
NS = MS * 1_000_000

# Prometheus remote write 1.0.
label = lambda name, value: (1, message((1, name), (2, value)))
series = message(
    label("__name__", "up"), label("instance", "a:1"), label("job", "x"),
    (2, message((1, 1.5), (2, MS))), (2, message((1, 2.5), (2, MS + 1000))))
seed("remote_write_v1", "two-samples", message((1, series), (3, message((1, 2), (2, "up")))))

# Prometheus remote write 2.0: texts are places in a table.
symbols = ["", "__name__", "requests_total", "instance", "a:1", "trace_id", "ab"]
numbers = lambda *all: b"".join(varint(n) for n in all)
exemplar2 = message((1, numbers(5, 6)), (2, 1.5), (3, MS))
span2 = message((1, 1 << 1), (2, 2))
histogram2 = (message((1, 3), (3, 4.5), (4, 2 << 1), (5, 0.001), (6, 1), (11, span2), (12, numbers(2, 2)), (15, MS)))
series2 = message((1, numbers(1, 2, 3, 4)), (2, message((1, 1.5), (2, MS), (3, MS - 60000))), (2, message((1, 2.5), (2, MS + 1000))),
                  (4, exemplar2), (5, message((1, 1))))
native2 = message((1, numbers(1, 2, 3, 4)), (3, histogram2), (5, message((1, 3))))
table = b"".join(field(4, text) for text in symbols)
seed("remote_write_v2", "samples", table + field(5, series2))
seed("remote_write_v2", "histogram", table + field(5, native2))

# OTLP.
text = lambda key, value: message((1, key), (2, message((1, value))))
resource = message((1, text("service.name", "shop")), (1, text("service.instance.id", "1")))
point = message((7, text("path", "/"))) + fixed64(2, NS - 10**9) + fixed64(3, NS) + field(4, 1.5)
gauge = message((1, "load"), (5, message((1, point))))
total = message((1, "requests"), (7, message((1, point), (2, 2), (3, 1))))
histogram_point = (fixed64(2, NS - 10**9) + fixed64(3, NS) + fixed64(4, 3) + field(5, 4.5)
                   + field(6, struct.pack("<3Q", 1, 1, 1)) + field(7, struct.pack("<2d", 0.5, 1.0)))
histogram = message((1, "latency"), (9, message((1, histogram_point), (2, 1))))
buckets = field(1, 2) + field(2, b"".join(varint(n) for n in (1, 2, 3)))
exponential_point = (fixed64(2, NS - 10**9) + fixed64(3, NS) + fixed64(4, 7) + field(5, 9.5) + field(6, 2)
                     + fixed64(7, 1) + field(8, buckets) + field(9, buckets))
exponential = message((1, "size"), (10, message((1, exponential_point), (2, 2))))
quantile = message((1, 0.5), (2, 0.25))
summary_point = fixed64(3, NS) + fixed64(4, 3) + field(5, 4.5) + field(6, quantile)
summary = message((1, "wait"), (11, message((1, summary_point))))
for name, metric in [("gauge", gauge), ("sum", total), ("histogram", histogram), ("exponential", exponential), ("summary", summary)]:
    seed("otlp_metrics", name, message((1, message((1, resource), (2, message((2, metric)))))))
record = fixed64(1, NS) + message((2, 17), (3, "ERROR"), (5, message((1, "card refused"))), (6, text("order", "7"))) + field(9, bytes(16)) + field(10, bytes(8))
seed("otlp_logs", "one", message((1, message((1, resource), (2, message((2, record)))))))
span = (field(1, bytes(range(16))) + field(2, bytes(range(8))) + field(4, bytes(range(8))) + message((5, "GET /"), (6, 2))
        + fixed64(7, NS) + fixed64(8, NS + 10**6) + message((9, text("http", "500")), (15, message((2, "refused"), (3, 2)))))
seed("otlp_spans", "one", message((1, message((1, resource), (2, message((2, span)))))))
attributes = [{"key": "service.name", "value": {"stringValue": "shop"}}]
json_point = {"attributes": attributes, "startTimeUnixNano": str(NS - 10**9), "timeUnixNano": str(NS), "asDouble": 1.5}
seed("otlp_metrics_json", "gauge", {"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": [
    {"name": "load", "gauge": {"dataPoints": [json_point]}},
    {"name": "requests", "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [dict(json_point, asInt="7")]}},
    {"name": "latency", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": str(NS), "count": "3", "sum": 4.5, "bucketCounts": ["1", "1", "1"], "explicitBounds": [0.5, 1]}]}}]}]}]})
seed("otlp_logs_json", "one", {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": [
    {"timeUnixNano": str(NS), "severityNumber": 17, "body": {"stringValue": "card refused"}, "traceId": "00" * 16, "spanId": "00" * 8}]}]}]})
seed("otlp_spans_json", "one", {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [
    {"traceId": "01" * 16, "spanId": "02" * 8, "name": "GET /", "kind": 2, "startTimeUnixNano": str(NS),
     "endTimeUnixNano": str(NS + 10**6), "status": {"code": 2, "message": "refused"}}]}]}]})

# Loki, lines of JSON.
entry = message((1, message((1, MS // 1000), (2, 5))), (2, "level=error refused"), (3, message((1, "order"), (2, "7"))))
seed("loki", "one", message((1, message((1, '{app="shop", env="prod"}'), (2, entry)))))
seed("loki_json", "one", {"streams": [{"stream": {"app": "shop"}, "values": [[str(NS), "refused", {"order": "7"}], [str(NS + 1), "x"]]}]})
seed("json_lines", "lines", '{"date": 1760000000.5, "log": "refused", "level": "error"}\n{"message": "x", "kubernetes": {"labels": {"app": "shop"}}}\n')
seed(
    "log_lines",
    "mixed",
    '2026-01-31T10:00:00.5Z ERROR no\n\tat a.b(c:1)\n[2026-01-31 10:00:01+00:00] [warn] slow\r\nlevel=info x\n{"msg": "y", "level": "error"}\n{broken\n',
)
seed(
    "log_templates",
    "lines",
    "refused for ann at 10:00\nrefused for bob at 10:01\nrefused for eve at 10:02\n"
    'sent 1190 bytes (1.16 KB) to 10.0.0.7:80, took <1 sec\na=null b="x y" c=Node{d} [] /etc/app.toml a.b.c Fri Jul  1 2005\n',
)
seed("json_lines", "list", [{"date": MS, "log": "refused"}, {"log": "y"}])

# Line protocols.
seed("influx", "lines", f"cpu,host=a,core=0 usage=1.5,idle=98i,on=t {NS}\nmem\\ used,host=b used=7u,note=\"a \\\"b\\\"\"\n")
seed("statsd", "lines", "a.b:1|c\na.b:2.5|c|@0.1|#env:prod,x\ng:+3|g\nt:320|ms:44|ms\nd:1:2:3|d|#a:b\nu:joe|s\nh:0.5|h\n")

# Alerts and changes of others.
alert = {"labels": {"alertname": "Full", "instance": "a:1"}, "annotations": {"summary": "s"}, "startsAt": "2025-10-09T08:53:20Z",
         "endsAt": "2025-10-09T09:53:20.5+02:00", "generatorURL": "http://p/graph"}
seed("alerts", "posted", [alert])
seed("alerts", "webhook", {"version": "4", "groupKey": "g", "truncatedAlerts": 0, "status": "firing", "receiver": "halo", "groupLabels": {},
                           "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "alerts": [dict(alert, status="firing", fingerprint="aa")]})
seed("changes", "github", {"action": "created", "deployment_status": {"state": "success", "created_at": "2025-10-09T08:53:20Z", "environment": "prod"},
                           "deployment": {"id": 1, "ref": "main", "sha": "0123456789abcdef", "environment": "prod", "description": "d",
                                          "created_at": "2025-10-09T08:53:20Z"}, "repository": {"name": "shop", "full_name": "acme/shop"}})
seed("changes", "gitlab", {"object_kind": "deployment", "status": "success", "status_changed_at": "2025-10-09 08:53:20 +0200", "deployment_id": 5,
                           "environment": "prod", "project": {"name": "shop", "path_with_namespace": "acme/shop"}, "ref": "main", "short_sha": "0123abcd"})
seed("changes", "cdevents", {"specversion": "1.0", "id": "1", "source": "/ci", "type": "dev.cdevents.service.deployed.0.3.0", "time": "2025-10-09T08:53:20Z",
                             "data": {"context": {"version": "0.4.1", "id": "1", "source": "/ci", "timestamp": "2025-10-09T08:53:20Z", "type": "dev.cdevents.service.deployed.0.3.0"},
                                      "subject": {"id": "shop", "content": {"environment": {"id": "prod"}, "artifactId": "pkg:oci/shop@sha256%3Aab?tag=v2"}}}})
seed("changes", "grafana", {"time": MS, "timeEnd": MS + 60000, "tags": ["deploy", "service:shop"], "text": "v2 is live"})
seed("changes", "graphite", {"what": "deploy shop", "tags": "deploy shop", "when": MS // 1000, "data": "v2"})
seed("changes", "pagerduty", {"routing_key": "k" * 32, "payload": {"summary": "shop v2", "source": "shop", "timestamp": "2025-10-09T08:53:20Z", "custom_details": {"version": "v2"}},
                              "links": [{"href": "http://x", "text": "t"}]})
seed("changes", "argocd", {"app": "shop", "revision": "0123456789abcdef", "phase": "Succeeded", "finished_at": "2025-10-09T08:53:20Z"})

# CloudWatch: records of a metric stream in both formats, Firehose around them, and answers of the API.
datum = {"metric_stream_name": "s", "account_id": "1234567890", "region": "us-east-1", "namespace": "AWS/EC2", "metric_name": "DiskWriteOps",
         "dimensions": {"InstanceId": "i-1"}, "timestamp": MS, "value": {"count": 3.0, "sum": 20.0, "max": 18.0, "min": 0.0, "p99": 17.5}, "unit": "Seconds"}
record_json = (json.dumps(datum) + "\n" + json.dumps(dict(datum, dimensions={})) + "\n").encode()
value = lambda text: message((1, text))
pair = lambda key, value: message((1, key), (2, value))
dimensions = message((1, "Dimensions"), (2, field(6, message((1, pair("InstanceId", value("i-1")))))))
ends = lambda at, number: message((1, at), (2, number))
cloud_point = (fixed64(2, NS - 60 * 10**9) + fixed64(3, NS) + fixed64(4, 3) + field(5, 20.0) + field(6, ends(0.0, 0.5)) + field(6, ends(0.99, 17.5))
               + field(6, ends(1.0, 18.0)) + field(7, pair("Namespace", value("AWS/EC2"))) + field(7, pair("MetricName", value("DiskWriteOps"))) + field(7, dimensions))
cloud_metric = message((1, "amazonaws.com/AWS/EC2/DiskWriteOps"), (11, message((1, cloud_point))))
cloud_resource = message((1, text("cloud.account.id", "1234567890")), (1, text("cloud.region", "us-east-1")))
request = message((1, message((1, cloud_resource), (2, message((2, cloud_metric))))))
record_otlp = varint(len(request)) + request + varint(len(request)) + request
seed("firehose_record", "json", record_json)
seed("firehose_record", "otlp", record_otlp)
records = [{"data": base64.b64encode(record).decode()} for record in (record_json, record_otlp)]
seed("firehose", "request", {"requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", "timestamp": MS, "records": records})
seed("firehose", "attributes", {"commonAttributes": {"env": "prod"}})
listed = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}]}
seed("cloudwatch_list", "page", {"Metrics": [listed, dict(listed, Dimensions=[])], "NextToken": "t"})
seed("cloudwatch_data", "page", {"MetricDataResults": [{"Id": "q0", "Label": "l", "Timestamps": [MS // 1000, MS // 1000 + 60.0], "Values": [1.5, 2.0], "StatusCode": "Complete"},
                                                       {"Id": "q1", "Timestamps": [], "Values": []}], "NextToken": "t"})

# Kafka: the content type, a line break, the payload.
seed("kafka", "text", b"otlp_logs\ncard refused")
seed("kafka", "remote-write-1", b"application/x-protobuf;proto=prometheus.WriteRequest\n" + message((1, series)))
seed("kafka", "remote-write-2", b"application/x-protobuf;proto=io.prometheus.write.v2.Request\n" + table + field(5, series2))

# What is scraped, and what is asked.
seed("scrape", "text", '# HELP up Whether it is there.\n# TYPE up gauge\nup 1\n# TYPE wait histogram\n'
     'wait_bucket{le="0.5",path="a\\"b"} 3 1760000000000\nwait_bucket{le="+Inf"} 4\nwait_sum 1.5e0\nwait_count 4\n')
seed("scrape", "openmetrics", '# TYPE jobs counter\njobs_total{a="b"} 7 1760000000.5 # {trace_id="t"} 0.5 1760000000\n'
     'jobs_created{a="b"} 1759999000\n# EOF\n')
seed("promql", "rate", 'sum by (job) (rate(up{job=~"a|b", x!=""}[5m] offset 1m)) / on (job) group_left count(up) > bool 0.5')
seed("promql", "functions", 'histogram_quantile(0.9, sum by (le) (increase(up[1m]))) or -quantile_over_time(.5, up[90s])')
seed("promql", "others", 'topk(3, label_replace(up, "a", "$1", "b", "(.*)")) unless absent(up) @ 1760000000')

# Kubernetes: lines of a watch.
def workload(image, generation):
    template = {"metadata": {"labels": {"app": "cart"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "2025-10-09T08:53:20Z"}},
                "spec": {"containers": [{"name": "main", "image": image}]}}
    managed = [{"manager": "kubectl", "time": "2025-10-09T08:53:20Z", "fieldsV1": {"f:spec": {"f:template": {}}}}]
    metadata = {"uid": "u1", "namespace": "shop", "name": "cart", "generation": generation, "resourceVersion": str(generation), "managedFields": managed}
    return {"metadata": metadata, "spec": {"template": template}}

events = [("ADDED", workload("shop/cart:v1", 1)), ("MODIFIED", workload("reg:5000/shop/cart@sha256:ab", 2)), ("DELETED", workload("shop/cart:v1", 3)),
          ("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), ("ERROR", {"code": 410, "message": "too old"})]
seed("kubernetes", "watch", "\n".join(json.dumps({"type": kind, "object": object}) for kind, object in events))

# Files.
seed("csv_metrics", "metrics", "timestamp,web|latency|p99,db|load\n1760000000,1.5,\n1760000060,2,0.25\n2025-10-09T08:55:20Z,NaN,1e3\n")
seed("csv_metrics", "edges", "caller,callee\nweb,db\n")
seed("calendar", "weekly", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Batch\r\nDTSTART;TZID=Europe/Berlin:20251009T020000\r\n"
     "DTEND;TZID=Europe/Berlin:20251009T040000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO,TH;COUNT=10\r\nEXDATE;TZID=Europe/Berlin:20251013T020000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")

# What is on our own disk: a segment of two records (length, CRC-32, kind, source, new series as JSON, samples).
def log_record(samples):
    source, new = b"test", b"[]"
    payload = b"\x01" + struct.pack("<I", len(source)) + source + struct.pack("<I", len(new)) + new
    for identity, at, value in samples:
        payload += struct.pack("<Qqd", identity, at, value)
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload

seed("log_segment", "two", log_record([(7, MS, 1.5), (8, MS, 2.5)]) + log_record([(7, MS + 1000, 1.25)]))
