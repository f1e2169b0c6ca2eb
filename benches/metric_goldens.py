#!/usr/bin/env python3
"""Write classification.json and logistic.json: measures of random scores, and logistic regressions of random rows, by
scikit-learn and SciPy, for the tests.

    benches/metric_goldens.py tests/data

Needs scikit-learn (recorded with 1.9.1) and scipy. Each case has scores with and without ties, labels, and a second
column for the correlations. The expected calibration error is not in scikit-learn: it is computed from the bins of
`calibration_curve`, which are open below and closed above.
"""
import json, sys
import numpy as np
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

random = np.random.default_rng(14)


def case(name, scores, labels, threshold):
    scores, labels = np.asarray(scores, float).round(6), np.asarray(labels, bool)
    other = (scores + random.normal(0, 0.3, len(scores))).round(3)
    called = scores >= threshold
    shares, means = calibration_curve(labels, scores, n_bins=10, strategy="uniform")
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], scores), minlength=10)
    error = float(np.sum(counts[counts > 0] * np.abs(shares - means)) / len(scores))
    values = np.unique(scores)
    best = max(metrics.balanced_accuracy_score(labels, scores >= value) for value in values[1:])
    return dict(
        name=name, scores=scores.tolist(), labels=labels.tolist(), other=other.tolist(), threshold=threshold,
        auroc=metrics.roc_auc_score(labels, scores), accuracy=metrics.accuracy_score(labels, called),
        balanced_accuracy=metrics.balanced_accuracy_score(labels, called), f1=metrics.f1_score(labels, called),
        macro_f1=metrics.f1_score(labels, called, average="macro", labels=[False, True]),
        brier=metrics.brier_score_loss(labels, scores), calibration_error=error, best_balanced_accuracy=best,
        mean_absolute_error=metrics.mean_absolute_error(scores, other), pearson=stats.pearsonr(scores, other)[0],
        spearman=stats.spearmanr(scores, other)[0])


def informative(count, share):
    labels = random.random(count) < share
    return 1 / (1 + np.exp(-(random.normal(0, 1.5, count) + np.where(labels, 1, -1)))), labels


cases = [
    case("even", *informative(200, 0.5), 0.5),
    case("skewed", *informative(300, 0.9), 0.7),
    case("few true", *informative(150, 0.05), 0.3),
    case("ties", random.integers(0, 5, 120) / 4, random.random(120) < 0.5, 0.5),
    case("edges of bins", random.integers(0, 11, 90) / 10, random.random(90) < 0.6, 0.5),
    case("two items", [0.2, 0.8], [False, True], 0.5),
    case("turned round", 1 - informative(100, 0.5)[0], random.random(100) < 0.5, 0.4),
    case("nothing called true", informative(60, 0.5)[0] * 0.4, random.random(60) < 0.5, 0.5),
]


def regression(penalty):
    rows = random.normal(0, [1, 3, 0.2], (60, 3)).round(4)
    labels = random.random(60) < 1 / (1 + np.exp(-(rows[:, 0] - 0.3 * rows[:, 1] + 0.5)))
    deviations = rows.std(0)
    fit = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10_000).fit((rows - rows.mean(0)) / deviations, labels)
    weights = fit.coef_[0] / deviations
    return dict(rows=rows.tolist(), labels=labels.tolist(), penalty=penalty,
                intercept=float(fit.intercept_[0] - weights @ rows.mean(0)), weights=weights.tolist())


regressions = [regression(penalty) for penalty in (0.5, 3.0, 30.0)]
for name, values in (("classification", cases), ("logistic", regressions)):
    with open(f"{sys.argv[1]}/{name}.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(one) for one in values) + "\n]\n")
