"""Prints the numbers that the tests of `engine::evaluate` expect.

    pip install numpy scipy scikit-learn statsmodels TSB-AD    # TSB-AD 1.5: only its evaluation and utils are imported
    git clone https://github.com/numenta/NAB                    # for nab/sweeper.py, the scoring of NAB v1.1
    PYTHONPATH=NAB python oracle.py
"""

import numpy as np
from sklearn.metrics import average_precision_score
from TSB_AD.evaluation.basic_metrics import generate_curve
from TSB_AD.utils.slidingWindows import find_length_rank
from nab.sweeper import Sweeper


def case():
    state = 12345
    labels = np.zeros(600, dtype=int)
    for a, b in [(60, 90), (300, 304), (580, 599)]:
        labels[a : b + 1] = 1
    scores = []
    for i in range(600):
        state = (state * 1103515245 + 12345) % 2147483648
        noise = (state >> 16) / 32768.0
        near = labels[max(i - 4, 0) : i + 1].any()
        scores.append(np.floor((0.4 + 0.6 * noise if near else 0.75 * noise) * 100.0) / 100.0)
    return np.array(scores), labels


scores, labels = case()
print("average precision", repr(average_precision_score(labels, scores)))
for buffer in [0, 1, 20, 100, 300]:
    print("vus_pr", buffer, repr(generate_curve(labels, scores, buffer, "opt", 250)[-1]))
for period in [24.0, 288.0]:
    i = np.arange(1500)
    wave = np.sin(i * 2 * np.pi / period) + 0.1 * np.cos(i * 0.7)
    print("season", period, find_length_rank(wave.reshape(-1, 1)))

windows = [(150, 200), (300, 340)]
for name, fp in [("standard", 0.11), ("reward_low_FP_rate", 0.22)]:
    sweeper = Sweeper(0.15, {"tpWeight": 1.0, "fpWeight": fp, "fnWeight": 1.0})
    for threshold in [0.7, 0.9, 0.97, 1.01]:
        _, row = sweeper.scoreDataSet(range(600), scores, windows, "case", threshold)
        print("nab", name, threshold, repr(row.score) if row else None)
    points = sweeper.calcSweepScore(range(600), scores, windows, "case")
    best = max(sweeper.calcScoreByThreshold(points), key=lambda s: s.score)
    print("nab best", name, best.threshold, repr(best.score))
