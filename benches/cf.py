#!/usr/bin/env python3
"""Collaborative filtering side by side with `implicit`: time an epoch, time to an objective, quality, scale.

    python3 benches/cf.py --install               # installs implicit, numpy, scipy, safetensors into target/bench-venv
    python3 benches/cf.py                         # everything; minutes
    python3 benches/cf.py speed --rounds 5        # or some parts: speed, quality, scale
    python3 benches/cf.py quality --ratings datasets/ml-latest-small/ratings.csv

`speed`: 6,040 users x 3,416 items, about 740,000 synthetic interactions, two threads, 64 and 128 factors. Programs take
turns; of each the least time counts, as other programs only ever add some. `quality`: a fifth of each user's items held
out, full ranking, several seeds; `--ratings` takes a CSV file of MovieLens (user, item, rating, time) instead. `scale`:
0.1 to 20 million interactions, fifty a user, peak memory by GNU time.

The two programs name their hyper-parameters differently. implicit minimises, with confidence a = alpha,

    sum over observed of a (<x,y> - 1)^2 + sum over unobserved of <x,y>^2 + lambda' (|X|^2 + |Y|^2)

With a = 1 + 1/alpha0, x = w sqrt(1+alpha0), y = h sqrt(1+alpha0) and lambda' = lambda (1+alpha0) / alpha0 that is, up to
a factor and a constant, our

    sum over observed of (<w,h> - 1)^2 + alpha0 sum over all of <w,h>^2 + lambda (|W|^2 + |H|^2)        (nu = 0)

so both are run on the same problem, and the last line, computed here in f64 from either's factors, compares them.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "target" / "bench-venv"
PARTS = ["speed", "quality", "scale"]
THREADS = 2
ALPHA0 = 0.1
LAMBDA = 3.0
EPOCHS = 15
BLOCK = 16

# implicit asks for this: its own threads and those of the BLAS get in one another's way.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def synthetic(users, items, draws, seed):
    """Pairs with a skewed popularity and tastes: each user draws from two of forty rankings and from the common one."""
    rng = np.random.default_rng(seed)
    tastes = 40
    popularity = np.cumsum(1 / np.arange(1, items + 1) ** 0.9)
    activity = rng.lognormal(0, 0.9, users)
    counts = np.maximum(5, (draws * activity / activity.sum()).astype(np.int64))
    who = np.repeat(np.arange(users, dtype=np.int64), counts)
    own = rng.integers(0, tastes, (users, 2))
    kind = rng.random(len(who))
    rank = np.searchsorted(popularity, rng.random(len(who)) * popularity[-1])
    # A taste reads the common ranking from another place, within blocks: its favourites are popular, but others.
    taste = np.where(kind < 0.4, own[who, 0], np.where(kind < 0.75, own[who, 1], 0))
    span = max(1, items // tastes)
    item = (rank + taste * span) % items
    return np.unique(who * items + item), users, items


def ratings(path):
    """The pairs of a MovieLens file, whatever the rating."""
    lines = Path(path).read_text().splitlines()[1:]
    table = np.array([[int(x) for x in line.split(",")[:2]] for line in lines])
    users, who = np.unique(table[:, 0], return_inverse=True)
    items, what = np.unique(table[:, 1], return_inverse=True)
    return np.unique(who.astype(np.int64) * len(items) + what), len(users), len(items)


def split(cells, users, items, seed):
    """A fifth of each user's items, at least one of those with two or more, apart."""
    order = np.random.default_rng(seed).permutation(len(cells))
    order = order[np.argsort(cells[order] // items, kind="stable")]
    starts = np.searchsorted(cells[order] // items, np.arange(users + 1))
    held = np.zeros(len(cells), dtype=bool)
    for user in range(users):
        count = starts[user + 1] - starts[user]
        if count >= 2:
            held[order[starts[user] : starts[user] + max(1, count // 5)]] = True
    return cells[~held], cells[held]


def write_pairs(path, cells, items):
    np.stack([cells // items, cells % items], 1).astype("<u4").tofile(path)


class Ours:
    """The program: a process a fit."""

    def __init__(self, program):
        self.program = program

    def fit(self, pairs, users, items, out=None, memory=False, **options):
        words = {"pairs": pairs, "users": users, "items": items, "threads": THREADS, "alpha0": ALPHA0, "nu": 0, "regularization": LAMBDA}
        words |= options | ({"out": out} if out else {})
        command = [self.program, *(f"{name}={value}" for name, value in words.items())]
        with tempfile.NamedTemporaryFile("r") as report:
            if memory:
                command = ["/usr/bin/time", "-f", "%M", "-o", report.name, *command]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            if done.returncode != 0:
                sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr.decode()}")
            peak = float(report.read()) / 1024 if memory else None
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {
            "seconds": [row["seconds"] - rows[0]["seconds"] for row in rows[1:]],
            "cpu": rows[-1]["cpu_seconds"] - rows[0]["cpu_seconds"],
            "objective": [row["objective"] for row in rows[1:]],
            "setup": rows[0]["seconds"],
            "peak_mb": peak,
        }


def peer(cells, users, items, factors, epochs, use_cg, seed=0, keep=False):
    """implicit, in this process. `keep` remembers the objective after each iteration, outside the times."""
    matrix = sp.csr_matrix((np.ones(len(cells), np.float32), (cells // items, cells % items)), shape=(users, items))
    model = implicit.als.AlternatingLeastSquares(
        factors=factors, iterations=epochs, use_cg=use_cg, num_threads=THREADS, random_state=seed,
        alpha=1 + 1 / ALPHA0, regularization=LAMBDA * (1 + ALPHA0) / ALPHA0,
    )
    times, cpu, objectives = [], [time.process_time()], []

    def after(_iteration, seconds, _loss):
        times.append(seconds)
        spent = time.process_time()
        if keep:
            objectives.append(objective(cells, items, *peer_factors(model)))
        cpu.append(cpu[-1] + spent - start[0])
        start[0] = time.process_time()

    start = [time.process_time()]
    model.fit(matrix, show_progress=False, callback=after)
    return {"seconds": list(np.cumsum(times)), "cpu": cpu[-1] - cpu[0], "objective": objectives, "model": model}


def peer_factors(model):
    scale = math.sqrt(1 + ALPHA0)
    return model.user_factors / scale, model.item_factors / scale


def objective(cells, items, users_factors, items_factors):
    w, h = users_factors.astype(np.float64), items_factors.astype(np.float64)
    observed = 0.0
    for start in range(0, len(cells), 1 << 17):
        part = cells[start : start + (1 << 17)]
        observed += ((np.einsum("nd,nd->n", w[part // items], h[part % items]) - 1) ** 2).sum()
    return observed + ALPHA0 * ((w.T @ w) * (h.T @ h)).sum() + LAMBDA * ((w * w).sum() + (h * h).sum())


def metrics(train, test, users, items, users_factors, items_factors):
    """NDCG@10 and Recall@20 over users with held-out items; training items left out; equal scores by item index."""
    seen = sp.csr_matrix((np.ones(len(train), bool), (train // items, train % items)), shape=(users, items))
    wanted = sp.csr_matrix((np.ones(len(test), bool), (test // items, test % items)), shape=(users, items))
    discount = 1 / np.log2(np.arange(2, 12))
    ndcg, recall = [], []
    for start in range(0, users, 512):
        scores = users_factors[start : start + 512] @ items_factors.T
        scores[seen[start : start + 512].nonzero()] = -np.inf
        top = np.argsort(-scores, axis=1, kind="stable")[:, :20]
        truth = wanted[start : start + 512].toarray()
        count = truth.sum(1)
        hits = np.take_along_axis(truth, top, 1)[count > 0]
        count = count[count > 0]
        ideal = np.cumsum(discount)[np.minimum(count, 10) - 1]
        ndcg += list((hits[:, :10] * discount).sum(1) / ideal)
        recall += list(hits.sum(1) / np.minimum(count, 20))
    return float(np.mean(ndcg)), float(np.mean(recall))


def speed(ours, folder, rounds, results):
    cells, users, items = synthetic(6040, 3416, 950_000, 1)
    pairs = folder / "speed.bin"
    write_pairs(pairs, cells, items)
    print(f"\n{users:,} x {items:,}, {len(cells):,} interactions, {THREADS} threads, best of {rounds} rounds in turn\n", flush=True)
    exact, chol, blocks, cg = ({64: [], 128: []} for _ in range(4))
    for _ in range(rounds):
        for factors in (64, 128):
            exact[factors].append(ours.fit(pairs, users, items, factors=factors, epochs=6))
            chol[factors].append(peer(cells, users, items, factors, 2, False))
            blocks[factors].append(ours.fit(pairs, users, items, factors=factors, epochs=2 * EPOCHS, solver="subspace", block=BLOCK))
            cg[factors].append(peer(cells, users, items, factors, EPOCHS, True, keep=not cg[factors]))
    steps = lambda run: np.diff([0, *run["seconds"]])
    epoch = lambda runs: min(min(steps(run)) for run in runs)
    cpu = lambda runs: min(run["cpu"] / len(run["seconds"]) for run in runs)
    print("| factors | solver | ilm-pipe, s an epoch | CPU, s | implicit, s | CPU, s | ratio | of CPU |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for factors in (64, 128):
        for name, mine, theirs in [("exact / Cholesky", exact, chol), (f"iALS++ ({BLOCK}) / CG", blocks, cg)]:
            a, b, c, d = epoch(mine[factors]), cpu(mine[factors]), epoch(theirs[factors]), cpu(theirs[factors])
            results[f"{name}/{factors}"] = {"ours_s": a, "ours_cpu_s": b, "peer_s": c, "peer_cpu_s": d}
            print(f"| {factors} | {name} | {a:.3f} | {b:.3f} | {c:.3f} | {d:.3f} | {c / a:.1f} | {d / b:.1f} |")
    print("\n| factors | CG's iterations | its objective | CG, s | iALS++ epochs to it | s | ratio |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for factors in (64, 128):
        # The least time of each epoch over the rounds, added up: for both alike.
        mine = np.cumsum(np.min([steps(run) for run in blocks[factors]], 0))
        theirs = np.cumsum(np.min([steps(run) for run in cg[factors]], 0))
        reached = blocks[factors][0]["objective"]
        for iterations in (3, 5, 10, EPOCHS):
            goal = cg[factors][0]["objective"][iterations - 1]
            needed = next((i + 1 for i, value in enumerate(reached) if value <= goal), None)
            results[f"to objective/{factors}/{iterations}"] = {"goal": goal, "peer_s": theirs[iterations - 1], "epochs": needed, "ours_s": mine[needed - 1] if needed else None}
            end = f"{needed} | {mine[needed - 1]:.2f} | {theirs[iterations - 1] / mine[needed - 1]:.1f}" if needed else "not reached | – | –"
            print(f"| {factors} | {iterations} | {goal:,.0f} | {theirs[iterations - 1]:.2f} | {end} |", flush=True)


def quality(ours, folder, seeds, path, results):
    source = path or "synthetic"
    cells, users, items = ratings(path) if path else synthetic(6040, 3416, 950_000, 1)
    train, test = split(cells, users, items, 7)
    pairs = folder / "quality.bin"
    write_pairs(pairs, train, items)
    print(f"\n{source}: {users:,} x {items:,}, {len(train):,} interactions, {len(test):,} held out, 64 factors, {EPOCHS} epochs, {seeds} seeds\n")
    print("| program | NDCG@10 | ± | Recall@20 | ± | objective |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    found = {}
    for name, options in [
        ("implicit, Cholesky", False), ("implicit, CG", True),
        ("ilm-pipe, exact", {"solver": "exact"}), (f"ilm-pipe, iALS++ ({BLOCK})", {"solver": "subspace", "block": BLOCK}),
    ]:
        rows = []
        for seed in range(1, seeds + 1):
            if isinstance(options, bool):
                w, h = peer_factors(peer(train, users, items, 64, EPOCHS, options, seed)["model"])
            else:
                out = folder / "factors.safetensors"
                fit = ours.fit(pairs, users, items, out=out, factors=64, epochs=EPOCHS, seed=seed, **options)
                factors = load_file(out)
                w, h = factors["users"], factors["items"]
                again = objective(train, items, w, h)
                if abs(again - fit["objective"][-1]) > 1e-5 * again:
                    sys.exit(f"the objective is {again} here, but {fit['objective'][-1]} in the program")
            rows.append((*metrics(train, test, users, items, w, h), objective(train, items, w, h)))
        mean, std = np.mean(rows, 0), np.std(rows, 0, ddof=1)
        found[name] = {"rows": rows, "mean": mean.tolist(), "std": std.tolist()}
        print(f"| {name} | {mean[0]:.4f} | {std[0]:.4f} | {mean[1]:.4f} | {std[1]:.4f} | {mean[2]:,.0f} |", flush=True)
    results[f"quality/{source}"] = found


def scale(ours, folder, most, results):
    print("\nfifty interactions a user, a hundred an item; 64 factors, two epochs\n")
    print("| interactions | solver | s an epoch | CPU, µs an interaction | set-up, s | peak, MB |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    points = {}
    for n in [100_000, 500_000, 2_000_000, 8_000_000, 20_000_000]:
        if n > most:
            continue
        cells, users, items = synthetic(n // 50, n // 100, int(n * 1.06), 3)
        pairs = folder / "scale.bin"
        write_pairs(pairs, cells, items)
        count = len(cells)
        del cells
        for solver in ("exact", "subspace"):
            runs = [ours.fit(pairs, users, items, memory=True, factors=64, epochs=2, solver=solver, block=BLOCK) for _ in range(3)]
            seconds = min(min(np.diff([0, *run["seconds"]])) for run in runs)
            cpu = min(run["cpu"] / 2 for run in runs)
            best = {"interactions": count, "seconds": seconds, "cpu": cpu, "setup": min(run["setup"] for run in runs), "peak_mb": max(run["peak_mb"] for run in runs)}
            points.setdefault(solver, []).append(best)
            print(f"| {count:,} | {solver} | {seconds:.3f} | {1e6 * cpu / count:.3f} | {best['setup']:.2f} | {best['peak_mb']:.0f} |", flush=True)
    for solver, rows in points.items():
        if len(rows) > 2:
            slope = np.polyfit(np.log([r["interactions"] for r in rows]), np.log([r["seconds"] for r in rows]), 1)[0]
            print(f"\n{solver}: seconds grow as interactions to the power {slope:.2f}")
    results["scale"] = points


def build():
    """Builds our side and returns its path. CARGO_FLAGS adds flags, for instance another `--config`."""
    command = ["cargo", "build", "--release", "--locked", "--bench", "cf", "--message-format=json", *os.environ.get("CARGO_FLAGS", "").split()]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    made = [json.loads(line) for line in done.stdout.splitlines()]
    return next(m["executable"] for m in made if m.get("target", {}).get("name") == "cf" and m.get("executable"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--install", action="store_true", help="install implicit and what it needs first")
    parser.add_argument("--rounds", type=int, default=3, help="turns of `speed` (3)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of `quality` (5)")
    parser.add_argument("--ratings", help="a MovieLens CSV file for `quality`")
    parser.add_argument("--most", type=int, default=20_000_000, help="the most interactions of `scale`")
    parser.add_argument("--program", help="our side, if it is built already")
    parser.add_argument("--json", type=Path, help="also writes every figure")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    python = VENV / "bin" / "python"
    if args.install:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "implicit", "numpy", "scipy", "safetensors"], check=True)
    if Path(sys.prefix) != VENV:
        if not python.exists():
            sys.exit("the peer is not installed: add --install")
        os.execv(python, [python, __file__, *(word for word in sys.argv[1:] if word != "--install")])
    global np, sp, implicit, load_file
    import implicit
    import numpy as np
    import scipy.sparse as sp
    from safetensors.numpy import load_file

    ours = Ours(args.program or build())
    results = {"implicit": implicit.__version__, "numpy": np.__version__}
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    print(f"{cpu}, {os.cpu_count()} cores; implicit {implicit.__version__}, numpy {np.__version__}, Python {platform.python_version()}")
    print(f"alpha0 {ALPHA0}, lambda {LAMBDA}, nu 0; implicit: alpha {1 + 1 / ALPHA0:g}, regularization {LAMBDA * (1 + ALPHA0) / ALPHA0:g}")
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as name:
        for part in args.parts or PARTS:
            if part == "speed":
                speed(ours, Path(name), args.rounds, results)
            elif part == "quality":
                quality(ours, Path(name), args.seeds, args.ratings, results)
            else:
                scale(ours, Path(name), args.most, results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
