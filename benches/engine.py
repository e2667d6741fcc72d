#!/usr/bin/env python3
"""Cost of the runner itself, side by side with Make, Ninja, Snakemake and DVC.

    cargo build --release
    python3 benches/engine.py                     # ilm-pipe, and the peers that are installed
    python3 benches/engine.py --install           # first installs the Python peers into target/bench-venv
    python3 benches/engine.py --sizes 300 1000 --peers make ninja

The workload: N one-line shell stages in chains of ten; all read one shared file and one parameter, each writes one
small file. For each tool: the first run of everything with two jobs, then runs with nothing to do (the least of
several, as other programs only ever add time), each in a fresh process, with the peak memory of that process.
The hashing rows: one warm 1 GiB file, hashed by the runner and by `b3sum`-like peers of the standard library.
Prints a Markdown table; `--json FILE` also writes every figure.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "target" / "bench-venv"
CHAIN = 10
PEER_LIMIT_S = 900


def measure(command, folder, env=None):
    """Wall seconds, CPU seconds and peak memory in MB of a command that must succeed.

    GNU time starts it: a child of this interpreter would inherit the interpreter's peak memory as its own.
    """
    with tempfile.NamedTemporaryFile("r") as report:
        words = ["/usr/bin/time", "-f", "%U %S %M", "-o", report.name, *map(str, command)]
        before = time.perf_counter()
        done = subprocess.run(words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        wall = time.perf_counter() - before
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr.decode()[-3000:]}")
        user, system, kilobytes = report.read().split()
    return {"wall_s": wall, "cpu_s": float(user) + float(system), "peak_mb": float(kilobytes) / 1024}


def before_stage(i):
    """The stage that stage i reads: none at the start of a chain."""
    return None if i % CHAIN == 0 else i - 1


def ilm_pipe(folder, n):
    lines = ['name = "bench"', "[params]", "p = 1"]
    for i in range(n):
        prior = before_stage(i)
        read = "cat shared.txt" if prior is None else "cat $ILM_INPUT_0/out"
        lines += [
            f"[stage.s{i}]",
            'kind = "command"',
            f"command = [\"sh\", \"-c\", '{read} > $ILM_OUTPUT/out; echo {i} $P >> $ILM_OUTPUT/out']",
            'files = ["shared.txt"]',
            'env = { P = "${p}" }'.replace('"${p}"', '"p${p}"'),
        ]
        if prior is not None:
            lines.append(f'inputs = {{ from = "s{prior}" }}')
    (folder / "p.toml").write_text("\n".join(lines) + "\n")
    program = ROOT / "target" / "release" / "ilm-pipe"
    return [program, "run", "p.toml", "--quiet", "--jobs", "2"]


def make(folder, n):
    lines = ["P = p1", "all: " + " ".join(f"s{i}" for i in range(n))]
    for i in range(n):
        prior = before_stage(i)
        source = "shared.txt" if prior is None else f"s{prior}"
        lines += [f"s{i}: shared.txt {'' if prior is None else source}", f"\tcat {source} > s{i}; echo {i} $(P) >> s{i}"]
    (folder / "Makefile").write_text("\n".join(lines) + "\n")
    return ["make", "-s", "-j2", "all"]


def ninja(folder, n):
    lines = ["p = p1", "rule stage", "  command = cat $from > $out; echo $i $p >> $out"]
    for i in range(n):
        prior = before_stage(i)
        source = "shared.txt" if prior is None else f"s{prior}"
        lines += [f"build s{i}: stage shared.txt {'' if prior is None else source}", f"  from = {source}", f"  i = {i}"]
    (folder / "build.ninja").write_text("\n".join(lines) + "\n")
    return [VENV / "bin" / "ninja", "-j2", "--quiet"]


def snakemake(folder, n):
    rules = [f"rule all:\n    input: [f's{{i}}' for i in range({n})]"]
    for i in range(n):
        prior = before_stage(i)
        source = "shared.txt" if prior is None else f"s{prior}"
        inputs = "'shared.txt'" if prior is None else f"'shared.txt', '{source}'"
        rules.append(
            f"rule r{i}:\n    input: {inputs}\n    output: 's{i}'\n    params: p='p1'\n"
            f"    shell: 'cat {source} > {{output}}; echo {i} {{params.p}} >> {{output}}'"
        )
    (folder / "Snakefile").write_text("\n\n".join(rules) + "\n")
    return [VENV / "bin" / "snakemake", "-c2", "--quiet", "all"]


def dvc(folder, n):
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([VENV / "bin" / "dvc", "init", "--no-scm"], **quiet)
    (folder / "params.yaml").write_text("p: p1\n")
    lines = ["stages:"]
    for i in range(n):
        prior = before_stage(i)
        source = "shared.txt" if prior is None else f"s{prior}"
        lines += [f"  r{i}:", f"    cmd: cat {source} > s{i}; echo {i} p1 >> s{i}", "    params: [p]", "    deps:", "    - shared.txt"]
        lines += [] if prior is None else [f"    - {source}"]
        lines += [f"    outs: [s{i}]"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    return [VENV / "bin" / "dvc", "repro", "-q"]


# Peer -> how to write the workload, and the largest N that is worth waiting for.
TOOLS = {
    "ilm-pipe": (ilm_pipe, 10_000),
    "make": (make, 10_000),
    "ninja": (ninja, 10_000),
    "snakemake": (snakemake, 1_000),
    "dvc": (dvc, 100),
}


def installed(tool):
    if tool == "ilm-pipe":
        return (ROOT / "target" / "release" / "ilm-pipe").exists()
    return shutil.which("make") is not None if tool == "make" else (VENV / "bin" / tool).exists()


def version(tool):
    program = {"ilm-pipe": ROOT / "target" / "release" / "ilm-pipe", "make": "make"}.get(tool, VENV / "bin" / tool)
    out = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (out.stdout or out.stderr).splitlines()[0].strip()


def run_tool(tool, n, repeats):
    write, _ = TOOLS[tool]
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as name:
        folder = Path(name)
        (folder / "shared.txt").write_text("shared\n")
        command = write(folder, n)
        env = {**os.environ, "HOME": name, "XDG_CACHE_HOME": name}
        first = measure(command, folder, env)
        noop = [measure(command, folder, env) for _ in range(repeats)]
    return {"first": first, "noop": min(noop, key=lambda m: m["wall_s"])}


def hashing(repeats):
    """GiB/s over a warm file of 1 GiB: this program against hashlib, and the recognition of an unchanged file."""
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as name:
        folder = Path(name)
        block = hashlib.sha256(b"ilm-pipe").digest() * 32768
        with open(folder / "big.bin", "wb") as file:
            for i in range(1024):
                file.write(i.to_bytes(8, "little") + block[8:])
        (folder / "p.toml").write_text(
            '[stage.a]\nkind = "command"\ncommand = ["sh", "-c", "echo x > $ILM_OUTPUT/x"]\nfiles = ["big.bin"]\n'
        )
        program = ROOT / "target" / "release" / "ilm-pipe"
        plan = [program, "plan", "p.toml"]
        old = time.time() - 3600
        (folder / "big.bin").read_bytes()
        # Makes the cache, where hashes are remembered.
        subprocess.run([program, "run", "p.toml", "--quiet"], cwd=folder, check=True)
        cold = []
        for i in range(repeats):
            # Another time stamp each: the remembered hash is not believed and the file is read again.
            os.utime(folder / "big.bin", (old + i, old + i))
            # A file whose change time is younger than two seconds is never remembered: let it come to rest.
            time.sleep(2.2)
            cold.append(plan_seconds(plan, folder))
        warm = [plan_seconds(plan, folder) for _ in range(repeats)]
        start = time.perf_counter()
        hashlib.md5((folder / "big.bin").read_bytes()).hexdigest()
        md5 = time.perf_counter() - start
        return {"hash_gib_per_s": 1 / min(cold), "unchanged_s": min(warm), "md5_gib_per_s": 1 / md5}


def plan_seconds(command, folder):
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install the Python peers first")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000, 10_000])
    parser.add_argument("--peers", nargs="+", choices=[t for t in TOOLS if t != "ilm-pipe"], default=[t for t in TOOLS if t != "ilm-pipe"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not Path("/usr/bin/time").exists():
        sys.exit("GNU time is needed for peak memory: install Debian's package `time`")
    if args.install:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "-q", "ninja", "snakemake", "dvc"], check=True)
    tools = ["ilm-pipe", *args.peers]
    for tool in tools:
        print(f"{tool:10} {version(tool) if installed(tool) else 'not installed (--install installs the Python peers)'}", file=sys.stderr)
    results = {}
    print("| tool | stages | first run, s | CPU, s | no-op, s | CPU, s | peak, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for n in args.sizes:
        for tool in tools:
            if not installed(tool) or n > TOOLS[tool][1]:
                continue
            result = run_tool(tool, n, args.repeats if tool in ("ilm-pipe", "make", "ninja") else 2)
            results[f"{tool}/{n}"] = result
            first, noop = result["first"], result["noop"]
            print(
                f"| {tool} | {n:,} | {first['wall_s']:.2f} | {first['cpu_s']:.2f} | {noop['wall_s']:.3f} | {noop['cpu_s']:.3f} | {noop['peak_mb']:.0f} |",
                flush=True,
            )
    results["hashing"] = hashing(3)
    found = results["hashing"]
    print(
        f"\n1 GiB, warm: {found['hash_gib_per_s']:.1f} GiB/s (BLAKE3, whole `plan`); recognised as unchanged in"
        f" {1000 * found['unchanged_s']:.0f} ms; md5 of hashlib {found['md5_gib_per_s']:.1f} GiB/s"
    )
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
