"""Expected values of `tests.rs` beside this file, by the documented algorithms of Prometheus' `histogram_quantile` and `rate`
(https://prometheus.io/docs/prometheus/latest/querying/functions/), written from their description: python oracle.py.

Buckets are cumulative; `rate` counts a value below its predecessor from 0; the quantile is linear within a bucket, whose lower
bound is 0 for the first bucket if its upper bound is positive; a rank in +Inf gives the second highest bound; a bucket below
its predecessor is lifted to it.
"""

import bisect
import math

state = 20240229


def uniform():
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 11) / 2**53


def histogram_quantile(q, bounds, counts):
    lifted, highest = [], 0.0
    for count in counts:
        highest = max(highest, count)
        lifted.append(highest)
    total = lifted[-1]
    if not math.isinf(bounds[-1]) or len(bounds) < 2 or total == 0:
        return None
    rank = q * total
    at = bisect.bisect_left(lifted[:-1], rank)
    if at == len(bounds) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    lower, before = (bounds[at - 1], lifted[at - 1]) if at else (0.0, 0.0)
    return lower + (bounds[at] - lower) * (rank - before) / (lifted[at] - before)


bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, math.inf]
totals, total_sum, before = [0.0] * len(bounds), 0.0, None
for step in range(12):
    if step == 7:  # the process starts over
        totals, total_sum = [0.0] * len(bounds), 0.0
    observed = 0 if step == 5 else int(3 + 40 * uniform())
    for _ in range(observed):
        # Durations whose middle is 80 ms, some above every finite bound.
        value = round(0.08 * math.exp(3 * (uniform() + uniform() + uniform() - 1.5)), 6)
        total_sum += value
        for index, bound in enumerate(bounds):
            totals[index] += value <= bound
    now = list(totals)
    if step == 10:  # an exporter that reads its buckets one by one
        now[3] -= 8
    if before is not None:
        restarted = any(a < b for a, b in zip(now, before[0])) and step == 7
        counts = [a if restarted else a - b for a, b in zip(now, before[0])]
        seconds = total_sum if restarted else total_sum - before[1]
        row = [histogram_quantile(q, bounds, counts) for q in (0.5, 0.95, 0.99)]
        row.append(seconds / counts[-1] if counts[-1] else None)
        told = ["None" if x is None else f"Some({x:.12})" for x in row]
        print(f"    ({now}, {total_sum:.6f}, [{', '.join(told)}]),")
    else:
        print(f"    ({now}, {total_sum:.6f}, [None, None, None, None]),")
    before = (now, total_sum)
