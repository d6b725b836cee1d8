"""The number that `tests.rs` beside this file compares with: pip install scikit-learn==1.9.1 numpy, python oracle.py."""

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

state = 12345


def uniform():
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return np.float32(state >> 40) / np.float32(2**24)


ordinary, odd, features = 2000, 100, 8
rows = np.zeros((ordinary + odd, features), dtype=np.float32)
for r in range(ordinary + odd):
    for f in range(features):
        x = sum(float(uniform()) for _ in range(12)) - 6.0
        rows[r, f] = x if r < ordinary else x * 1.6 + (1.5 if f < 2 else 0.0)
labels = np.arange(ordinary + odd) >= ordinary
aucs = [
    roc_auc_score(labels, -IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(rows).score_samples(rows))
    for seed in range(20)
]
print(f"{np.mean(aucs):.4f} +- {np.std(aucs):.4f}")
