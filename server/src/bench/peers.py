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


PEERS = [("scikit-learn", forest), ("statsmodels", decomposition), ("torch", autoencoder)]


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
        line = "{figure:<66} {value:>12,.1f} {unit:<12} {peer}".format(**row) if table else json.dumps(row)
        print(line, flush=True)
        measured += 1
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main())
