#!/usr/bin/env python3
"""Write tests/data/ranks.json: Kendall's tau-b of random lists by SciPy, for the tests.

    benches/rank_goldens.py tests/data/ranks.json

Needs scipy (recorded with 1.17). The lists have no ties, ties on one side, and ties on both.
"""
import json, sys
import numpy as np
from scipy import stats

random = np.random.default_rng(17)


def case(name, one, other):
    one, other = np.asarray(one, float).round(6), np.asarray(other, float).round(6)
    return dict(name=name, one=one.tolist(), other=other.tolist(), kendall=stats.kendalltau(one, other).statistic)


values = random.normal(0, 1, 40)
cases = [
    case("no ties", values, values + random.normal(0, 1, 40)),
    case("turned round", values, -values + random.normal(0, 0.5, 40)),
    case("ties on one side", random.integers(0, 4, 30), random.normal(0, 1, 30)),
    case("ties on both sides", random.integers(0, 4, 50), random.integers(0, 3, 50)),
    case("three systems", [0.43, 0.58, 0.72], [0.51, 0.49, 0.8]),
    case("two systems", [0.43, 0.58], [0.51, 0.49]),
    case("equal orders", [1, 2, 3, 4], [10, 20, 30, 40]),
]
with open(sys.argv[1], "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(one) for one in cases) + "\n]\n")
