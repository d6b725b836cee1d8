"""Makes golden.json.gz: samples, queries, and what a real Prometheus answers.

    python oracle.py PROMETHEUS PROMTOOL > golden.json.gz

PROMETHEUS is Prometheus 3, whose ranges are open on the left; made with 3.15.
"""

import gzip
import json
import math
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

START = 1_700_000_000
STEP = 15
COUNT = 160


def series():
    rng = random.Random(7)
    found = []
    for job, instance, code in [
        ("api", "a:1", "200"), ("api", "a:1", "500"), ("api", "b:1", "200"), ("api", "b:1", "500"), ("web", "c:1", "200"),
    ]:
        total, samples = float(rng.randrange(100)), []
        for i in range(COUNT):
            total += rng.expovariate(1.0) if code == "500" else rng.randrange(40)
            if i == 70 and instance == "b:1":
                total = float(rng.randrange(5))
            # A gap, and samples that come a little early or late.
            if instance == "c:1" and 40 <= i < 75:
                continue
            at = (START + i * STEP) * 1000 + (rng.randrange(-900, 900) if instance == "b:1" else 0)
            samples.append((at, total))
        found.append(({"__name__": "requests_total", "job": job, "instance": instance, "code": code}, samples))
    for instance, level in [("a:1", 20.5), ("b:1", -3.25), ("c:1", 1e-3)]:
        samples = []
        for i in range(COUNT):
            samples.append(((START + i * STEP) * 1000, level * (1 + 0.1 * math.sin(i / 9)) + rng.gauss(0, 0.1)))
        labels = {"__name__": "temp", "job": "web" if instance == "c:1" else "api", "instance": instance, "room": "r1"}
        found.append((labels, samples))
    found.append((
        {"__name__": "level", "instance": "a:1"},
        [((START + i * 60) * 1000, [1.0, 2.0, 2.0, 5.0, 0.0][i % 5]) for i in range(40)],
    ))
    found.append(({"__name__": "short", "instance": "a:1"}, [((START + 600) * 1000, 3.0), ((START + 615) * 1000, 4.0)]))
    for instance, scale in [("a:1", 0.08), ("b:1", 0.4)]:
        bounds = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, math.inf]
        counts, rows = [0] * len(bounds), [[] for _ in bounds]
        for i in range(COUNT):
            for _ in range(rng.randrange(8)):
                value = rng.expovariate(1 / scale)
                for b, bound in enumerate(bounds):
                    counts[b] += value <= bound
            for b in range(len(bounds)):
                rows[b].append(((START + i * STEP) * 1000, float(counts[b])))
        for bound, samples in zip(bounds, rows):
            le = "+Inf" if math.isinf(bound) else repr(bound)
            found.append(({"__name__": "latency_bucket", "instance": instance, "le": le}, samples))
    return found


QUERIES = r"""
temp
temp{instance="a:1"}
temp{instance!="a:1"}
temp{instance=~"a.*|c.*"}
temp{instance!~"a.*"}
{__name__=~"temp|level"}
temp{nothing=""}
nothing_at_all
short
short offset 7m
temp offset -1m
temp @ 1700000900
temp @ end()
rate(requests_total[5m])
rate(requests_total[1m])
rate(requests_total{instance="c:1"}[4m])
rate(requests_total[20s])
increase(requests_total[10m])
increase(requests_total[7m] offset 3m)
irate(requests_total[2m])
idelta(temp[2m])
delta(temp[5m])
deriv(temp[5m])
predict_linear(temp[10m], 3600)
changes(level[20m])
resets(requests_total[1h])
resets(level[20m])
avg_over_time(temp[5m])
min_over_time(temp[5m])
max_over_time(temp[5m])
sum_over_time(temp[5m])
count_over_time(temp[5m])
last_over_time(temp[5m])
present_over_time(short[5m])
stddev_over_time(temp[5m])
stdvar_over_time(temp[5m])
quantile_over_time(0.3, temp[5m])
absent_over_time(nothing{a="b"}[5m])
sum(temp)
sum by (job) (rate(requests_total[5m]))
sum without (code) (rate(requests_total[5m]))
avg by (job) (temp)
min(temp)
max by (instance) (requests_total)
count by (code) (requests_total)
group(temp)
stddev(temp)
stdvar by (job) (temp)
quantile(0.75, temp)
quantile(1.5, temp)
topk(2, temp)
bottomk(1, requests_total)
topk by (job) (1, requests_total)
count_values("v", level)
sum(nothing)
sum by (__name__) ({__name__=~"temp|level"})
1 + 2 * 3 ^ 2 - 7 % 4
-temp
-(2 ^ 0.5)
temp * 2
2 / temp
temp ^ 2
temp % 3
temp > 0
temp > bool 0
0 < temp
1 > bool 2
temp == temp
temp != bool temp
temp + temp
requests_total / requests_total
requests_total{code="500"} / ignoring(code) requests_total{code="200"}
requests_total{code="500"} / on(instance, job) requests_total{code="200"}
sum by (instance) (rate(requests_total{code="500"}[5m])) / sum by (instance) (rate(requests_total[5m]))
requests_total / ignoring(code) group_left sum without(code) (requests_total)
requests_total * on(instance) group_left(room) temp
temp * on(instance) group_right(room) requests_total
temp / on(instance) requests_total
temp > on(instance) level
temp and on(instance) level
temp or level
temp unless on(instance) level
temp atan2 2
abs(temp)
ceil(temp)
floor(temp)
round(temp)
round(temp, 0.5)
exp(temp / 10)
ln(abs(temp))
log2(abs(temp))
log10(abs(temp))
sqrt(abs(temp))
sgn(temp)
clamp(temp, -1, 10)
clamp_min(temp, 0)
clamp_max(temp, 0)
time()
time() - timestamp(temp)
timestamp(level)
vector(3)
scalar(temp{instance="a:1"})
scalar(temp)
absent(nothing{a="b", c=~"d"})
absent(temp)
sort(temp)
sort_desc(temp)
histogram_quantile(0.5, latency_bucket)
histogram_quantile(0.95, sum by (le) (rate(latency_bucket[5m])))
histogram_quantile(0.99, rate(latency_bucket[2m]))
histogram_quantile(-1, latency_bucket)
histogram_quantile(0.5, latency_bucket{le!="+Inf"})
label_replace(temp, "host", "$1", "instance", "(.*):.*")
label_replace(temp, "job", "", "job", "web")
label_join(temp, "both", "-", "job", "instance")
sum(rate(requests_total[5m])) by (job) > 1 and on() vector(1)
(temp - avg_over_time(temp[10m])) / stddev_over_time(temp[10m])
100 * (1 - avg by (job) (temp > bool 0))
"hello"
3.5
NaN
Inf
temp[1m]
rate(temp)
sum(temp[5m])
temp{
foo(temp)
temp + on(instance) group_left level
sum by (instance) (rate(requests_total[5m]
"""

# At a sample, between two, in the gap, at the end, and long after.
INSTANTS = [START + 1200, START + 1207.5, START + 1000, START + (COUNT - 1) * STEP, START + COUNT * STEP + 200,
            START + COUNT * STEP + 400, START + 30]
RANGE = {"start": START - 60, "end": START + COUNT * STEP + 360, "step": 97}


def ask(port, path, parameters):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
    try:
        return json.load(urllib.request.urlopen(url))
    except urllib.error.HTTPError as error:
        return json.load(error)


def main():
    prometheus, promtool = sys.argv[1:]
    data = series()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for labels, samples in data:
            pairs = ",".join(f'{k}="{v}"' for k, v in labels.items() if k != "__name__")
            rows.append((labels["__name__"], [f'{labels["__name__"]}{{{pairs}}} {v!r} {at / 1000:.3f}\n' for at, v in samples]))
        with open(folder + "/om.txt", "w") as text:
            for name in sorted({name for name, _ in rows}):
                text.write(f"# TYPE {name} unknown\n")
                for row in (row for other, row in rows if other == name):
                    text.writelines(row)
            text.write("# EOF\n")
        subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", folder + "/om.txt", folder + "/data"],
                       check=True, stdout=subprocess.DEVNULL)
        open(folder + "/c.yml", "w").write("global: {}\n")
        port = 19477
        server = subprocess.Popen(
            [prometheus, f"--config.file={folder}/c.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y"],
            stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready")
                    break
                except OSError:
                    time.sleep(0.1)
            answers = []
            for query in QUERIES.strip().splitlines():
                cases = [{"at": at, "answer": ask(port, "query", {"query": query, "time": at})} for at in INSTANTS]
                cases.append({"at": None, "answer": ask(port, "query_range", {"query": query, **RANGE})})
                for case in cases:
                    case["answer"].pop("warnings", None)
                    case["answer"].pop("infos", None)
                answers.append({"query": query, "cases": cases})
        finally:
            server.terminate()
            server.wait()
    # Values as text: readers of JSON differ in the last digit.
    rows = [{"labels": l, "samples": [(at, repr(v)) for at, v in s]} for l, s in data]
    golden = {"series": rows, "range": RANGE, "answers": answers}
    sys.stdout.buffer.write(gzip.compress(json.dumps(golden, separators=(",", ":")).encode(), mtime=0))


main()
