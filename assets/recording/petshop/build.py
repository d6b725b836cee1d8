#!/usr/bin/env python3
"""Builds this recording out of the PetShop data set (see ATTRIBUTION.md).

    python3 build.py PATH/TO/petshop/high_traffic

reads noissue.csv.gz, issues.csv.gz, cases.json and edges.csv there and writes the files beside this script. Standard
library only; the same input gives the same bytes.
"""
import csv, gzip, io, json, pathlib, sys

STEP = 300  # seconds
KEEP = {"latency|Average", "latency|p95", "availability|Average", "requests|Sum"}
HISTORY = 480  # fault-free rows to learn from
LEAD = 20  # fault-free rows replayed before the first fault
BETWEEN = 35  # fault-free rows between the faults
# (case, what was changed at the cause, read off metadata.reproducibility.command of cases.json)
FAULTS = [("high_traffic-test-4", "sleep=500ms (cdk deploy)"), ("high_traffic-test-10", "/petstore/errormode1=true")]

source = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).parent
read = lambda name: list(csv.DictReader(gzip.open(source / name, "rt")))
normal, issues = read("noissue.csv.gz"), read("issues.csv.gz")
cases = {case["case"]: case for case in json.load(open(source / "cases.json"))}
names = [n for n in dict.fromkeys(list(normal[0]) + list(issues[0])) if n not in ("case", "timestamp") and n.split("|", 1)[1] in KEEP]

rows, deploys, labels = [], [], []
pending = list(normal)
start = int(normal[0]["timestamp"])
clock = lambda: start + STEP * len(rows)


def replay_normal(count):
    for row in pending[:count]:
        rows.append(row)
    del pending[:count]


replay_normal(HISTORY + LEAD)
for case, change in FAULTS:
    of_case = [row for row in issues if row["case"] == case]
    cause = cases[case]["root_cause"]
    first = clock()
    # The first two rows of a case are before the violation: the change was made between them and the third.
    deploys.append((first + STEP, cause, change))
    rows.extend(of_case)
    labels.append((first + 2 * STEP, clock() - STEP, cause))
    replay_normal(BETWEEN if case != FAULTS[-1][0] else len(pending))


def short(cell):
    return f"{float(cell):.6g}" if cell else ""


names = [n for n in names if any(row.get(n) for row in rows)]
text = io.StringIO()
out = csv.writer(text, lineterminator="\n")
out.writerow(["timestamp", *names])
for index, row in enumerate(rows):
    out.writerow([start + STEP * index, *(short(row.get(name)) for name in names)])
with open(here / "metrics.csv.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
    packed.write(text.getvalue().encode())


def write(name, header, lines):
    with open(here / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


write("deploys.csv", ["timestamp", "entity", "version"], deploys)
write("labels.csv", ["start", "end", "cause"], labels)
write("edges.csv", ["caller", "callee"], [(e["caller"], e["callee"]) for e in csv.DictReader(open(source / "edges.csv"))])
(here / "recording.toml").write_text(f"""name = "PetShop"
attribution = "PetShop root-cause data by Hardt et al. (CLeaR 2024), CC-BY-4.0; a part, re-timed"
live_from = "{start + STEP * HISTORY}"
""")
print(len(rows), "rows,", len(names), "series")
