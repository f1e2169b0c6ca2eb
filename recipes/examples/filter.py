#!/usr/bin/env python3
"""Keeps the pairs whose completions have similar lengths, so that tuning does not learn to be brief."""
import json
import sys

pairs, longest = sys.argv[1], float(sys.argv[2])
kept = 0
with open("pairs.jsonl", "w", encoding="utf-8") as out:
    for line in open(pairs, encoding="utf-8"):
        row = json.loads(line)
        short, long = sorted(len(row[side]) for side in ("chosen", "rejected"))
        if long <= longest * short:
            out.write(line)
            kept += 1
print("kept", kept, "pairs")
