"""Writes oracle.csv: a series of three weeks of hours, and its day season, week season and trend by statsmodels' MSTL.

Run in a throw-away environment: python3 -m venv v && v/bin/pip install numpy statsmodels && v/bin/python oracle.py

The parameters are those of `decompose`, but that nothing is skipped (jumps of 1): what the Rust side interpolates between
is computed here for every point.
"""

import numpy as np
from statsmodels.tsa.seasonal import MSTL

HOURS, DAYS = 24, 21
rng = np.random.default_rng(4)
t = np.arange(HOURS * DAYS)
hour, day = t % HOURS, t // HOURS
values = (
    100.0
    + 0.02 * t
    + 12.0 * np.sin(2 * np.pi * (hour - 7) / HOURS)
    + 4.0 * ((hour >= 2) & (hour < 4))
    - 9.0 * (day % 7 >= 5) * (hour >= 8)
    + rng.normal(0.0, 1.0, len(t))
)
# Incidents: a robust fit must not follow them.
values[200:206] += 60.0
values[333] -= 80.0
values = np.round(values, 3)

window = 35
fitted = MSTL(
    values,
    periods=(HOURS, 7 * HOURS),
    windows=(window, window),
    iterate=1,
    stl_kwargs={
        "robust": True,
        "seasonal_deg": 0,
        "trend_deg": 1,
        "low_pass_deg": 1,
        "seasonal_jump": 1,
        "trend_jump": 1,
        "low_pass_jump": 1,
        "inner_iter": 1,
        "outer_iter": 1,
    },
).fit()

with open("oracle.csv", "w") as out:
    out.write("value,day,week,trend\n")
    for row in zip(values, fitted.seasonal[:, 0], fitted.seasonal[:, 1], fitted.trend):
        out.write(",".join(f"{x:.4f}" for x in row) + "\n")
