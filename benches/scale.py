#!/usr/bin/env python3
"""A data set of MovieLens 25M's size through ingest, split, pairs and iALS; ingest beside polars and pandas.

    cargo build --release
    python3 benches/scale.py --install     # first installs numpy, polars and pandas into target/bench-venv
    python3 benches/scale.py               # 25 million ratings; 2 GB in target/scale, made once
    python3 benches/scale.py --ratings 1000000

The ratings are invented (this script's seed), in the files and the format of MovieLens 25M: 162,541 users with at least 20
ratings and a long tail, 59,047 films by a power law, half stars, no film twice by a user, sorted by user and film.
The peers do what `ingest` does: read the CSV, refuse a film rated twice by a user, repeat the 5-core until nothing changes, number
users and films, sort by user and time, write Parquet. Their rows are compared with ours, every one. Each program runs in
a process of its own; times are the least of several, taken in turns, because other load only ever adds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "target" / "bench-venv"
FOLDER = ROOT / "target" / "scale"
USERS, FILMS = 162_541, 59_047

PIPELINE = """
name = "scale"
[params]
epochs = 8
[stage.catalog]
kind = "ingest"
source = "ml-25m"
[stage.split]
kind = "split"
inputs = { catalog = "catalog" }
[stage.pairs]
kind = "pairs"
inputs = { catalog = "catalog", split = "split" }
[stage.cf]
kind = "fit-cf"
inputs = { catalog = "catalog", split = "split" }
factors = 64
epochs = "${epochs}"
"""

POLARS = """
import sys
import polars as pl
source, target = sys.argv[1:]
schema = {"userId": pl.UInt32, "movieId": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Int64}
frame = pl.read_csv(source, schema=schema)
assert frame.select(pl.struct("userId", "movieId").n_unique()).item() == len(frame)
before = -1
while len(frame) != before:
    before = len(frame)
    frame = frame.filter((pl.len().over("userId") >= 5) & (pl.len().over("movieId") >= 5))
frame = frame.with_columns(
    user=pl.col("userId").rank("dense").cast(pl.UInt32) - 1, item=pl.col("movieId").rank("dense").cast(pl.UInt32) - 1
).sort("userId", "timestamp", maintain_order=True)
frame.select("user", "item", "rating", "timestamp").write_parquet(target)
"""

PANDAS = """
import sys
import pandas as pd
source, target = sys.argv[1:]
types = {"userId": "uint32", "movieId": "uint32", "rating": "float32", "timestamp": "int64"}
frame = pd.read_csv(source, dtype=types)
assert not frame.duplicated(["userId", "movieId"]).any()
before = -1
while len(frame) != before:
    before = len(frame)
    users, films = (frame.groupby(name)[name].transform("size") for name in ("userId", "movieId"))
    frame = frame[(users >= 5) & (films >= 5)]
frame = frame.assign(user=frame.userId.rank(method="dense").astype("uint32") - 1, item=frame.movieId.rank(method="dense").astype("uint32") - 1)
frame = frame.sort_values(["userId", "timestamp"], kind="stable")
frame[["user", "item", "rating", "timestamp"]].to_parquet(target)
"""

COMPARE = """
import sys
import polars as pl
ours, theirs = (pl.read_parquet(path) for path in sys.argv[1:])
names = ["user", "item", "rating", "timestamp"]
ours.columns = names
types = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Int64}
assert ours.cast(types).equals(theirs.select(names).cast(types)), "the rows differ"
"""

GENERATE = """
import sys
import numpy as np
import polars as pl
folder, ratings, users, films = sys.argv[1], *map(int, sys.argv[2:])
random = np.random.default_rng(25)
activity = random.lognormal(0.0, 1.25, users)
share = np.maximum(20, np.minimum(activity / activity.sum() * ratings * 1.02, films / 8)).astype(np.int64)
popularity = 1.0 / (np.arange(films) + 30.0) ** 1.15
chances = np.cumsum(popularity / popularity.sum())
ids = random.permutation(np.arange(1, 3 * films))[:films].astype(np.uint32)
user = np.repeat(np.arange(1, users + 1, dtype=np.uint32), share)
film = np.searchsorted(chances, random.random(len(user))).astype(np.uint32)
pair = np.unique(user.astype(np.int64) * films + np.minimum(film, films - 1))
# What fell together is drawn again, with a flat chance.
while len(pair) < ratings:
    more = random.choice(user, ratings - len(pair)).astype(np.int64) * films + random.integers(0, films, ratings - len(pair))
    pair = np.unique(np.concatenate([pair, more]))
pair = np.sort(random.permutation(pair)[:ratings])
user, film = (pair // films).astype(np.uint32), ids[pair % films]
order = np.lexsort((film, user))
first = random.integers(789_652_009, 1_500_000_000, users + 1)
stamps = first[user] + random.integers(0, 10_000_000, ratings)
stars = np.clip(np.round(2 * random.normal(3.53, 1.06, ratings)) / 2, 0.5, 5.0)
pl.DataFrame({"userId": user[order], "movieId": film[order], "rating": stars, "timestamp": stamps[order]}).write_csv(
    folder + "/ratings.csv", float_precision=1
)
genres = np.array(["Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "Thriller", "War"])
ids = np.sort(ids)
pl.DataFrame({
    "movieId": ids,
    "title": [f"Film {i} ({1930 + i % 90})" for i in ids.tolist()],
    "genres": ["|".join(sorted(set(genres[random.integers(0, 8, 2)]))) for _ in ids],
}).write_csv(folder + "/movies.csv")
"""


def python(code, *words):
    return [VENV / "bin" / "python", "-c", code, *map(str, words)]


def timed(command, **options):
    """Wall seconds and peak memory in MB of a command that must succeed; GNU time starts it."""
    report = FOLDER / "time.txt"
    before = time.perf_counter()
    subprocess.run(["/usr/bin/time", "-f", "%M", "-o", report, *command], check=True, **options)
    return time.perf_counter() - before, int(report.read_text()) / 1024


def stages():
    """Seconds and peak memory in MB of each stage that the latest run computed."""
    log = max((FOLDER / "cache" / "v1" / "runs").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    found = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event.get("event") == "stage-ended":
            found[event["stage"]] = (event["seconds"], event["outcome"]["peak_memory"] / 1e6)
    return found


def run(program, target, fresh):
    if fresh:
        shutil.rmtree(FOLDER / "cache", ignore_errors=True)
    subprocess.run([program, "run", "p.toml", "--quiet", "--jobs", "1", "--no-gc", "--target", target], cwd=FOLDER, check=True)
    return stages()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install the peers first")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "ilm-pipe")
    parser.add_argument("--ratings", type=int, default=25_000_095)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    if args.install:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "-q", "numpy", "polars", "pandas", "pyarrow"], check=True)
    size = args.ratings / 25_000_095
    users, films = max(int(USERS * size), 100), max(int(FILMS * size**0.5), 200)
    data = FOLDER / "datasets" / "ml-25m"
    made = FOLDER / "made.txt"
    if not made.exists() or made.read_text() != str(args.ratings):
        shutil.rmtree(FOLDER, ignore_errors=True)
        data.mkdir(parents=True)
        subprocess.run(python(GENERATE, data, args.ratings, users, films), check=True)
        made.write_text(str(args.ratings))
    (FOLDER / "p.toml").write_text(PIPELINE)
    ratings = data / "ratings.csv"
    print(f"{args.ratings:,} ratings, {ratings.stat().st_size / 1e6:,.0f} MB of CSV, {os.cpu_count()} cores", flush=True)

    times = {"ilm-pipe": [], "polars": [], "pandas": []}
    for _ in range(args.repeats):
        # The worker's time and memory, with hashing and storing by the runner outside, as for the peers.
        times["ilm-pipe"].append(run(args.program, "catalog", fresh=True)["catalog"])
        for peer, code in (("polars", POLARS), ("pandas", PANDAS)):
            times[peer].append(timed(python(code, ratings, FOLDER / f"{peer}.parquet")))
    ours = next((FOLDER / "cache" / "v1" / "objects").glob("*/*/interactions.parquet"))
    for peer in ("polars", "pandas"):
        subprocess.run(python(COMPARE, ours, FOLDER / f"{peer}.parquet"), check=True)
    print("every row equals those of polars and pandas\n")
    print("| ingest by | s | ratio | peak, MB |")
    print("| --- | ---: | ---: | ---: |")
    best = {name: min(found) for name, found in times.items()}
    for name, (seconds, memory) in best.items():
        print(f"| {name} | {seconds:.1f} | {seconds / best['ilm-pipe'][0]:.1f} | {memory:,.0f} |")
    print("\n| stage | s | peak, MB |")
    print("| --- | ---: | ---: |")
    print(f"| catalog | {best['ilm-pipe'][0]:.1f} | {best['ilm-pipe'][1]:,.0f} |")
    for target in ("pairs", "cf"):
        for stage, (seconds, memory) in run(args.program, target, fresh=False).items():
            print(f"| {stage} | {seconds:.1f} | {memory:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
