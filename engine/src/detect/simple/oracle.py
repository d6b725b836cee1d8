"""The numbers that `tests.rs` beside this file compares with: pip install numpy==2.4.6 pandas==3.1.1, python oracle.py."""

import numpy as np
import pandas as pd

state = 12345


def uniform():
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 11) / 2**53


# Five minutes apart; a slow wave, noise, and a heavy tail.
values = []
for i in range(2000):
    noise = sum(uniform() for _ in range(12)) - 6.0
    values.append(50.0 + i / 100.0 + 3.0 * noise + (40.0 * uniform() if uniform() < 0.03 else 0.0))
series = pd.Series(values, index=pd.to_datetime(np.arange(2000) * 300, unit="s"))
day = series.rolling("1D", closed="left")
for i in (504, 1002, 1998):
    window = np.array(values[i - 288 : i])
    assert len(window) == 288
    quantiles = [np.quantile(window, q, method="lower") for q in (0.01, 0.5, 0.99)]
    print(f"({i}, {day.mean().iloc[i]:.9f}, {day.std().iloc[i]:.9f}, {[float(round(q, 6)) for q in quantiles]}),")
