"""Measures what others need for the work that `halo bench` measures, on one core of this machine.

`cargo xtask peers` runs it in an environment of its own. By hand, in one to be thrown away:

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install -r server/src/bench/peers.txt
    /tmp/peers/bin/python server/src/bench/peers.py --table

- scikit-learn: isolation forest, 100 trees of 256 rows, 8 features; the rows to score are uniform, as in `members.rs`.
- statsmodels: STL and MSTL of a month of five-minute samples, with a season of a day and of a week. By default every
  point is smoothed anew; R's `stl` goes by a tenth of a smoother's width and interpolates in between. MSTL, which takes half
  a minute without, does so by the tenths for the season of a day. What Halo does with such a month is the MSTL of its newest
  two weeks, and all its online steps, so that thresholds are known, too.
- torch: the autoencoder of `engine/src/detect/autoencoder.rs`, whose score decodes only the newest samples, and its training
  as in `engine/src/detect/train/gradient.rs`; both also with windows of 60 samples, all of them decoded.
- prophet, and statsforecast's MSTL with a season of a day and AutoETS for the trend: a day of forecasts of each real series of
  `forecast.rs`, found in HALO_DATA, from two of its rows; prophet learns from all rows before, MSTL from two weeks of them. This takes
  half an hour.

A figure is the median of five runs after one that is not counted, in CPU time of the whole process: neither waiting for a core
nor threads that a library starts unasked change it. Halo's own figures are in wall time, so on a busy machine the comparison
favors the peer. Without `--table` each is a JSON object on a line. A figure that Halo has, too, bears the same name. A
missing package costs its figures, not the others.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import time

# Read when the libraries are loaded.
for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]:
    os.environ[variable] = "1"

SEED = 1
RUNS = 5


def seconds(work):
    """Median CPU time of a call."""
    times = []
    for _ in range(RUNS + 1):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times[1:])


def forest():
    import numpy as np
    from sklearn.ensemble import IsolationForest

    count, features = 200_000, 8
    rng = np.random.default_rng(SEED)
    ordinary = rng.normal(size=(10_000, features)).astype(np.float32)
    model = IsolationForest(n_estimators=100, max_samples=256, random_state=SEED).fit(ordinary)
    rows = rng.uniform(-4, 4, size=(count, features)).astype(np.float32)
    yield "isolation forest", count / seconds(lambda: model.score_samples(rows)), "rows/s/core"


def decomposition():
    import numpy as np
    from statsmodels.tsa.seasonal import MSTL, STL

    count, day, week = 8640, 288, 2016
    at = np.arange(count)
    noise = np.random.default_rng(SEED).normal(size=count)
    series = 0.001 * at + 10 * np.sin(2 * np.pi * at / day) + 3 * np.sin(2 * np.pi * at / week) + noise

    stl = STL(series, period=day)
    tenths = {f"{part}_jump": -(-stl.config[part] // 10) for part in ["seasonal", "trend", "low_pass"]}
    rough = STL(series, period=day, **tenths)
    both = MSTL(series, periods=(day, week), stl_kwargs=tenths)
    for name, model in [
        (f"batch STL, {count} points, period {day}", stl),
        (f"batch STL, {count} points, period {day}, jumps as in R", rough),
        (f"decomposition, a month of {count} samples at once", both),
    ]:
        yield name, 1000 * seconds(model.fit), "ms"


def autoencoder():
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(SEED)
    # As in autoencoder.rs.
    halo_window, hidden, latent, recent = 32, 32, 8, 8
    batch = 512

    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.LSTM(1, hidden, batch_first=True)
            self.latent = nn.Linear(hidden, latent)
            self.decoder = nn.LSTM(latent, hidden, batch_first=True)
            self.output = nn.Linear(hidden, 1)
            self.forecast = nn.Linear(hidden, 1)

        def forward(self, windows, decoded):
            """The `decoded` newest samples of `[n, window]`, oldest first, and the forecast of the newest."""
            states, _ = self.encoder(windows.unsqueeze(-1))
            forecast = self.forecast(states[:, -2]).squeeze(-1)
            latent = torch.tanh(self.latent(states[:, -1]))
            states, _ = self.decoder(latent.unsqueeze(1).expand(-1, decoded, -1))
            return self.output(states).squeeze(-1).flip(1), forecast

        def errors(self, windows, decoded):
            """Squared error of each decoded sample and of the forecast."""
            samples, forecast = self(windows, decoded)
            return (samples - windows[:, -decoded:]) ** 2, (forecast - windows[:, -1]) ** 2

    def score(model, windows, decoded):
        with torch.inference_mode():
            for part in windows.split(batch):
                samples, forecast = model.errors(part, decoded)
                (forecast + samples.mean(1)).sqrt()

    def train(model, windows, optimizer):
        samples, forecast = model.errors(windows, windows.shape[1])
        optimizer.zero_grad()
        (samples.mean() + forecast.mean()).backward()
        optimizer.step()

    for window, decoded, score_name in [
        (halo_window, recent, "LSTM autoencoder, one call"),
        (60, 60, "LSTM autoencoder, window 60, all decoded"),
    ]:
        model = Autoencoder()
        windows = torch.empty(8 * batch, window).uniform_(-2, 2)
        yield score_name, len(windows) / seconds(lambda: score(model, windows, decoded)), "windows/s"

        steps = 5
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-5)
        once = seconds(lambda: [train(model, windows[:batch], optimizer) for _ in range(steps)]) / steps
        yield f"LSTM autoencoder, training, window {window}, batch {batch}", 1 / once, "steps/s"


DAY_MS = 86_400_000
HORIZONS = [(1_800_000, "30 min"), (21_600_000, "6 h"), (DAY_MS, "24 h")]


def real_series():
    """Times in milliseconds and values of each real series, as `forecast.rs` reads them."""
    import csv
    import datetime
    import gzip

    import numpy as np

    root = os.environ.get("HALO_DATA", "../shared/data")

    def rows(place):
        with gzip.open(os.path.join(root, place), "rt") as file:
            return list(csv.reader(file))

    def index(folder):
        with open(os.path.join(root, folder, "index.json")) as file:
            return json.load(file)

    for entry in index("nab"):
        if entry["file"].startswith("real"):
            found = {}
            for at, value, *_ in rows(f"nab/{entry['file']}")[1:]:
                at = datetime.datetime.fromisoformat(at).replace(tzinfo=datetime.timezone.utc)
                found.setdefault(int(at.timestamp() * 1000), float(value))
            times = sorted(found)
            yield np.array(times), np.array([found[at] for at in times])
    for entry in index("jumpstarter"):
        parts = [rows(f"jumpstarter/{entry['name']}_{part}.csv.gz") for part in ["train", "test"]]
        both = [row for part in parts for row in part[1:]]
        for column, name in enumerate(parts[0][0]):
            if name.startswith("m"):
                values = np.array([float(row[column] or "nan") for row in both])
                times = np.arange(len(values)) * entry["step_seconds"] * 1000
                known = np.isfinite(values)
                yield times[known], values[known]


def forecasts(ahead_of):
    """MASE of forecasts of a day by horizon; `ahead_of(times, values, step, targets)` makes them."""
    import numpy as np

    errors = {ahead: [] for ahead, _ in HORIZONS}
    for times, values in real_series():
        steps = np.sort(np.diff(times))
        step = int(steps[len(steps) // 2])
        split = len(times) // 2
        last = int(np.searchsorted(times, times[-1] - DAY_MS, side="right")) - 1
        rows = {at // step: value for at, value in zip(times.tolist(), values)}
        apart = [abs(values[i] - rows[b]) for i in range(split) if (b := int(times[i] - DAY_MS) // step) in rows]
        scale = np.mean(apart) if len(apart) >= 16 else 0
        if not scale > 0:
            scale = np.mean(np.abs(np.diff(values[:split])))
        if not scale > 0:
            continue
        found = {ahead: [] for ahead, _ in HORIZONS}
        for k in [0, 12]:
            origin = split + k * (last - split) // 24
            end = int(np.searchsorted(times, times[origin] + DAY_MS + step // 2, side="right"))
            targets = times[origin + 1 : end]
            means = ahead_of(times[: origin + 1], values[: origin + 1], step, targets)
            for ahead, _ in HORIZONS:
                within = targets - times[origin] <= max(ahead, step) + step // 2
                found[ahead].extend(np.abs(means - values[origin + 1 : end])[within] / scale)
        for ahead, apart in found.items():
            if apart:
                errors[ahead].append(np.mean(apart))
    for ahead, name in HORIZONS:
        count = len(errors[ahead])
        figure = f"forecast, {name} ahead, {count} real series: MASE, 2 origins"
        yield figure, float(np.mean(errors[ahead])), "seasonal naive"


def prophet():
    import logging

    import numpy as np
    import pandas as pd
    from prophet import Prophet

    logging.getLogger("cmdstanpy").disabled = True

    def ahead_of(times, values, _step, targets):
        model = Prophet(uncertainty_samples=0)
        model.fit(pd.DataFrame({"ds": pd.to_datetime(times, unit="ms"), "y": values}))
        return model.predict(pd.DataFrame({"ds": pd.to_datetime(targets, unit="ms")})).yhat.to_numpy()

    minutes = np.arange(7 * 1440)
    noise = (minutes * 7919 % 1009) / 504.5 - 1
    week = 50 + 20 * np.sin(minutes / 1440 * 2 * np.pi) + 3 * noise
    targets = np.arange(7 * 1440, 7 * 1440 + 30) * 60_000
    once = seconds(lambda: ahead_of(minutes * 60_000, week, 60_000, targets))
    yield "forecast, a week of minutes, refit", 1000 * once, "ms"
    yield from forecasts(ahead_of)


def statsforecast():
    import numpy as np
    import pandas as pd
    from statsforecast.models import MSTL, AutoETS

    def ahead_of(times, values, step, targets):
        day = DAY_MS // step
        places = np.rint((times - times[-1]) / step).astype(int)
        known = pd.Series(values, index=places)
        known = known[~known.index.duplicated(keep="last")]
        regular = known.reindex(range(max(int(places[0]), -14 * day), 1)).ffill().bfill().to_numpy()
        steps = np.maximum(np.rint((targets - times[-1]) / step).astype(int), 1)
        model = MSTL([day], trend_forecaster=AutoETS(model="ZZN"))
        return model.forecast(y=regular, h=int(steps[-1]))["mean"][steps - 1]

    yield from forecasts(ahead_of)


PEERS = [
    ("scikit-learn", forest),
    ("statsmodels", decomposition),
    ("torch", autoencoder),
    ("prophet", prophet),
    ("statsforecast", statsforecast),
]


def figures():
    """Every figure that can be measured; says on standard error which cannot."""
    for package, measure in PEERS:
        try:
            peer = f"{package} {importlib.metadata.version(package)}"
            for figure, value, unit in measure():
                yield {"peer": peer, "figure": figure, "value": value, "unit": unit}
        except (ImportError, OSError) as error:
            missing = f"{package} was not measured: {error}; by hand: {sys.executable} -m pip install {package}"
            print(missing, file=sys.stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--table", action="store_true", help="a table instead of JSON objects")
    table = arguments.parse_args().table
    measured = 0
    for row in figures():
        digits = 3 if row["value"] < 10 else 1
        line = "{figure:<66} {value:>12,.{digits}f} {unit:<14} {peer}".format(**row, digits=digits)
        line = line if table else json.dumps(row)
        print(line, flush=True)
        measured += 1
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main())
