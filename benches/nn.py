#!/usr/bin/env python3
"""The neural core beside PyTorch: training steps and greedy decoding, the same shapes, float32, two threads.

    python3 benches/nn.py --install               # torch, transformers and safetensors into target/bench-venv (5 GB), then run
    python3 benches/nn.py                         # every case
    python3 benches/nn.py encoder llama --rounds 12 --json out.json

Builds `benches/nn` with `cargo bench`, starts it and this file as two processes for each case, and lets them take
turns, one round each: other programs' load falls on both. The least round counts. The processor time of both is
taken, too: with `--threads 1`, where nobody waits for anybody, it says what the work costs even on a busy machine.
Start it with `nice` or not at all: both sides must have one priority. Each process tells its peak memory and what it
held before the model was made. Where both compute the same function (all cases but `qformer`,
which draws its negatives and dropout), the program starts PyTorch from its own weights and data, and the losses of
every step, or the ids written, are compared.

PyTorch's side is what one writes today: scaled_dot_product_attention, rms_norm and layer_norm, fused AdamW, gradients
set to None, inference mode; greedy decoding is `transformers`' `generate` on LlamaForCausalLM.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "target" / "bench-venv"
CASES = ["encoder", "qformer", "llama", "llama-frozen", "greedy", "sgemm"]
PACKAGES = ["torch", "transformers", "safetensors", "numpy"]
PROMPT, NEW, BATCH = 64, 64, 16


def flops(case):
    """Multiplications and additions of a round: products of matrices alone, backward twice forward."""

    def block(rows, keys, queries, d, kv, ff, gated):
        """A block's products: rows in all, `queries` over `keys` in each sequence."""
        return 2 * rows * (2 * d * d + 2 * d * kv + (3 if gated else 2) * d * ff) + 4 * rows * keys * d

    if case == "encoder":
        return 3 * 4 * block(1280, 40, 40, 256, 256, 1024, False)
    if case == "qformer":
        d, layers, cross = 256, 4, 2
        def tokens(rows, length, queries):
            # Cross-attention projects queries in and out; keys and values are two tokens of 64 an item.
            return layers * block(rows, length, length, d, d, 1024, False) + cross * 2 * queries * 2 * d * d
        passes = tokens(64 * 8, 8, 64 * 8) + tokens(64 * 32, 32, 0) + tokens(192 * 40, 40, 192 * 8)
        passes += tokens(64 * 40, 40, 64 * 8) + tokens((64 + 128) * 8, 8, (64 + 128) * 8)
        # The last layer of the two joint passes computes one side's feed-forward block only.
        passes -= 2 * 2 * d * 1024 * 2 * (192 * 32 + 64 * 8) / 2
        return 3 * (passes + 2 * 64 * 31 * (d * d + d * 2048))
    if case in ("llama", "llama-frozen"):
        forward = 6 * block(2048, 64, 128, 384, 128, 1024, True) + 2 * 2048 * 384 * 4096
        return (3 if case == "llama" else 2) * forward
    if case == "greedy":
        rows = BATCH * (PROMPT + NEW - 1)
        return 6 * block(rows, 64, 1, 384, 128, 1024, True) + 2 * BATCH * NEW * 384 * 4096
    return 2 * 2048**3


# ---------------------------------------------------------------------------------------------------------------
# PyTorch's side
# ---------------------------------------------------------------------------------------------------------------


def memory(label):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(label):
            return float(line.split()[1]) / 1024
    raise SystemExit("the system does not tell memory")


def answer(case, folder, threads):
    """The counterpart of the program's `case`: the same requests on standard input, the same replies."""
    import torch

    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    before = memory("VmRSS:")
    run, numbers = torch_case(torch, case, Path(folder))
    Path("/proc/self/clear_refs").write_text("5")
    print("ready", numbers, flush=True)
    for line in sys.stdin:
        if line.strip() == "run":
            start = time.perf_counter()
            result = run()
            print(time.perf_counter() - start, result, flush=True)
        else:
            print(memory("VmHWM:"), before, flush=True)


def torch_case(torch, case, folder):
    import numpy
    from safetensors.torch import load_file

    F, nn = torch.nn.functional, torch.nn

    def floats(name, *shape):
        return torch.from_numpy(numpy.fromfile(folder / name, "<f4")).view(*shape)

    def ids(name, *shape):
        return torch.from_numpy(numpy.fromfile(folder / name, "<u4").astype("int64")).view(*shape)

    def training(model, loss):
        optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.01},
                {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=1e-3,
            betas=(0.9, 0.999),
            fused=True,
        )

        def run():
            optimiser.zero_grad(set_to_none=True)
            total = loss()
            total.backward()
            optimiser.step()
            return total.item()

        return run, sum(p.numel() for p in model.parameters())

    if case == "encoder":
        layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, activation="gelu", batch_first=True)
        model = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        theirs, ours = model.state_dict(), load_file(folder / "model.safetensors")
        for i in range(4):
            for kind in ("weight", "bias"):
                parts = [ours[f"blocks.{i}.{name}.{kind}"] for name in ("query", "key", "value")]
                theirs[f"layers.{i}.self_attn.in_proj_{kind}"] = torch.cat(parts)
                for mine, name in [
                    ("output", "self_attn.out_proj"),
                    ("norm1", "norm1"),
                    ("up", "linear1"),
                    ("down", "linear2"),
                    ("norm2", "norm2"),
                ]:
                    theirs[f"layers.{i}.{name}.{kind}"] = ours[f"blocks.{i}.{mine}.{kind}"]
        model.load_state_dict(theirs)
        model.train()
        x, y = floats("x.f32", 32, 40, 256), floats("y.f32", 32, 40, 256)
        return training(model, lambda: F.mse_loss(model(x), y))

    if case == "qformer":
        return training(*qformer(torch))

    if case in ("llama", "llama-frozen"):
        model = llama(torch, json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors"))
        targets = ids("targets.u32", 16 * 128)
        if case == "llama":
            inputs = ids("inputs.u32", 16, 128)
            return training(model, lambda: F.cross_entropy(model(model.embed(inputs)), targets))
        model.requires_grad_(False)
        adapter = nn.Linear(64, 384)
        adapter.load_state_dict(load_file(folder / "adapter.safetensors"))
        soft = floats("soft.f32", 16, 128, 64)
        return training(adapter, lambda: F.cross_entropy(model(adapter(soft)), targets))

    if case == "greedy":
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
        prompts = ids("prompts.u32", BATCH, PROMPT)
        settings = dict(do_sample=False, max_new_tokens=NEW, eos_token_id=None, pad_token_id=0, use_cache=True)

        @torch.inference_mode()
        def run():
            written = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)[:, PROMPT:]
            return " ".join(map(str, written.T.flatten().tolist()))

        return run, sum(p.numel() for p in model.parameters())

    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return lambda: (a @ b).shape[0], 0


def llama(torch, config, weights):
    """A Llama decoder as one writes it by hand: leaner than the class of `transformers`."""
    F, nn = torch.nn.functional, torch.nn
    d, heads, kv = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    dh, ff, eps = d // heads, config["intermediate_size"], config["rms_norm_eps"]
    angles = torch.outer(torch.arange(128.0), config["rope_theta"] ** (-torch.arange(0, dh, 2.0) / dh))
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)

    def rotate(x):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj, self.o_proj = nn.Linear(d, d, False), nn.Linear(d, d, False)
            self.k_proj, self.v_proj = nn.Linear(d, kv * dh, False), nn.Linear(d, kv * dh, False)

        def forward(self, x):
            b, t, _ = x.shape
            q = rotate(self.q_proj(x).view(b, t, heads, dh).transpose(1, 2))
            k = rotate(self.k_proj(x).view(b, t, kv, dh).transpose(1, 2))
            v = self.v_proj(x).view(b, t, kv, dh).transpose(1, 2)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return self.o_proj(y.transpose(1, 2).reshape(b, t, d))

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_proj, self.up_proj = nn.Linear(d, ff, False), nn.Linear(d, ff, False)
            self.down_proj = nn.Linear(ff, d, False)

        def forward(self, x):
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(d, eps), nn.RMSNorm(d, eps)
            self.self_attn, self.mlp = Attention(), Gated()

        def forward(self, x):
            x = x + self.self_attn(self.input_layernorm(x))
            return x + self.mlp(self.post_attention_layernorm(x))

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed_tokens = nn.Embedding(config["vocab_size"], d)
            self.layers = nn.ModuleList(Block() for _ in range(config["num_hidden_layers"]))
            self.norm = nn.RMSNorm(d, eps)

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Body()

        def embed(self, ids):
            return self.model.embed_tokens(ids)

        def forward(self, x):
            for layer in self.model.layers:
                x = layer(x)
            return F.linear(self.model.norm(x), self.model.embed_tokens.weight).flatten(0, 1)

    model = Llama()
    model.load_state_dict(weights)
    return model


def qformer(torch):
    """The Q-Former and its four losses with the passes of `src/nn/models/qformer`; items and texts are random."""
    F, nn = torch.nn.functional, torch.nn
    d, heads, ff, vocab, n_queries, n_text, projection, item = 256, 4, 1024, 2048, 8, 32, 64, 64
    count, batch, dropout = 1024, 64, 0.1

    class Attention(nn.Module):
        def __init__(self, memory):
            super().__init__()
            self.query, self.output = nn.Linear(d, d), nn.Linear(d, d)
            self.key, self.value = nn.Linear(memory, d), nn.Linear(memory, d)
            self.norm, self.dropout = nn.LayerNorm(d, 1e-12), nn.Dropout(dropout)

        def forward(self, x, memory, mask=None):
            def split(y):
                return y.view(y.shape[0], y.shape[1], heads, d // heads).transpose(1, 2)

            q, k, v = split(self.query(x)), split(self.key(memory)), split(self.value(memory))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            return self.norm(x + self.dropout(self.output(y.transpose(1, 2).reshape(x.shape))))

    class FeedForward(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(d, ff), nn.Linear(ff, d)
            self.norm, self.dropout = nn.LayerNorm(d, 1e-12), nn.Dropout(dropout)

        def forward(self, x):
            return self.norm(x + self.dropout(self.down(F.gelu(self.up(x)))))

    class Layer(nn.Module):
        def __init__(self, index):
            super().__init__()
            self.attention = Attention(d)
            self.cross = Attention(item) if index % 2 == 0 else None
            self.queries, self.text = FeedForward(), FeedForward()

        def read_item(self, x, memory):
            return self.queries(x if self.cross is None else self.cross(x, memory))

    class Qformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.query_tokens = nn.Parameter(torch.randn(n_queries, d) * 0.07)
            self.item_norm, self.norm = nn.LayerNorm(item, 1e-12), nn.LayerNorm(d, 1e-12)
            self.layers = nn.ModuleList(Layer(i) for i in range(4))
            self.words, self.positions = nn.Embedding(vocab, d), nn.Embedding(n_text, d)
            self.head, self.head_norm = nn.Linear(d, d), nn.LayerNorm(d, 1e-12)
            self.head_bias = nn.Parameter(torch.zeros(vocab))
            self.item_projection, self.text_projection = nn.Linear(d, projection), nn.Linear(d, projection)
            self.itm, self.temperature = nn.Linear(d, 2), nn.Parameter(torch.tensor([0.07]))
            self.dropout = nn.Dropout(dropout)

        def start(self, n):
            return self.dropout(self.norm(self.query_tokens).expand(n, -1, -1))

        def embed(self, text):
            return self.dropout(self.norm(self.words(text) + self.positions.weight))

        def items(self, items):
            memory, x = self.item_norm(items), self.start(len(items))
            for layer in self.layers:
                x = layer.read_item(layer.attention(x, x), memory)
            return x

        def texts(self, text):
            x = self.embed(text)
            for layer in self.layers:
                x = layer.text(layer.attention(x, x))
            return x

        def joint(self, items, text, mask, wants_queries):
            memory, queries, words = self.item_norm(items), self.start(len(items)), self.embed(text)
            for index, layer in enumerate(self.layers):
                last = index == len(self.layers) - 1
                x = torch.cat([queries, words], 1)
                x = layer.attention(x, x, mask)
                if not last or wants_queries:
                    queries = layer.read_item(x[:, :n_queries], memory)
                if not last or not wants_queries:
                    words = layer.text(x[:, n_queries:])
            return queries if wants_queries else words

    model = Qformer()
    items, texts = torch.rand(count, 2, item) * 2 - 1, torch.randint(4, vocab, (count, n_text))
    length = n_queries + n_text
    places = torch.arange(length)
    prefix = (places[None] <= places[:, None]) | ((places[:, None] < n_queries) & (places[None] < n_queries))
    eye = torch.arange(batch)

    def loss():
        chosen = torch.randperm(count)[:batch]
        x, text = items[chosen], texts[chosen]
        # Contrast of items and texts.
        z_item = F.normalize(model.item_projection(model.items(x)), dim=-1)
        z_text = F.normalize(model.text_projection(model.texts(text)[:, 0]), dim=-1)
        logits = torch.einsum("bqp,tp->btq", z_item, z_text).amax(-1) / model.temperature
        itc = (F.cross_entropy(logits, eye, label_smoothing=0.1) + F.cross_entropy(logits.T, eye, label_smoothing=0.1)) / 2
        # Matching, with hard negatives.
        with torch.no_grad():
            own = torch.eye(batch, dtype=torch.bool)
            item_of = torch.multinomial(logits.T.masked_fill(own, -1e4).softmax(-1), 1).squeeze(1)
            text_of = torch.multinomial(logits.masked_fill(own, -1e4).softmax(-1), 1).squeeze(1)
        pairs_x, pairs_text = torch.cat([x, x[item_of], x]), torch.cat([text, text, text[text_of]])
        scores = model.itm(model.joint(pairs_x, pairs_text, None, True)).mean(1)
        itm = F.cross_entropy(scores, (torch.arange(3 * batch) < batch).long())
        # Generation.
        heard = text.clone()
        heard[:, 0] = 3
        words = model.joint(x, heard, prefix, False)[:, :-1].flatten(0, 1)
        words = model.head_norm(F.gelu(model.head(words)))
        itg = F.cross_entropy(F.linear(words, model.words.weight, model.head_bias), text[:, 1:].flatten(), label_smoothing=0.1)
        # Contrast of items: Eq. 2 on each pair, four negatives of the batch and one of the catalogue.
        left, right = torch.randperm(count)[:batch], torch.randint(count, (2 * batch,))
        a = F.normalize(model.items(items[left]).mean(1), dim=-1)
        b = F.normalize(model.items(items[right]).mean(1), dim=-1)
        squared = (2 - 2 * a @ b.T).relu()
        gap = (1 - (squared + 1e-6).sqrt()).relu() ** 2
        shut = torch.zeros(batch, 2 * batch)
        for shift in range(1, 5):
            shut[eye, (eye + shift) % batch] = 1
        shut[eye, batch + eye] = 1
        iic = ((squared[:, :batch].diagonal()).sum() + (gap * shut).sum()) / (2 * 6 * batch)
        return itc + itm + itg + iic

    return model, loss


# ---------------------------------------------------------------------------------------------------------------
# Both, in turns
# ---------------------------------------------------------------------------------------------------------------


class Side:
    """A process that answers requests."""

    def __init__(self, command, threads):
        counts = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        environment = {**os.environ, **counts, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        self.process = subprocess.Popen(
            [str(word) for word in [*command, threads]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.numbers = int(self.reply().split()[1])

    def reply(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended early")
        return line.strip()

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        head, _, rest = self.reply().partition(" ")
        return float(head), rest

    def cpu(self):
        """Processor seconds of all threads so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(case, ours, theirs):
    """The greatest difference of the losses relative to their size, or the share of equal ids."""
    if case == "greedy":
        a, b = ours[0].split(), theirs[0].split()
        return f"{sum(x == y for x, y in zip(a, b)) / max(len(a), len(b)):.1%} of ids equal"
    if case in ("qformer", "sgemm"):
        return ""
    worst = max(abs(float(a) - float(b)) / abs(float(b)) for a, b in zip(ours, theirs))
    if worst > 1e-3:
        sys.exit(f"{case}: the losses differ by {worst:.1e}: {ours} and {theirs}")
    return f"losses of {len(ours)} steps within {worst:.0e}"


def measure(case, program, python, rounds, threads):
    with tempfile.TemporaryDirectory() as folder:
        ours = Side([program, "case", case, folder], threads)
        theirs = Side([python, __file__, "--answer", case, folder], threads)
        if ours.numbers != theirs.numbers:
            sys.exit(f"{case}: the models have {ours.numbers} and {theirs.numbers} parameters")
        times, cpus, results = ([], []), ([], []), ([], [])
        for _ in range(rounds):
            for side, seconds, cpu, said in zip((ours, theirs), times, cpus, results):
                before = side.cpu()
                took, result = side.ask("run")
                seconds.append(took)
                cpu.append(side.cpu() - before)
                said.append(result)
        row = {"case": case, "parameters": ours.numbers, "flops": flops(case), "agreement": compare(case, *results)}
        for name, side, seconds, cpu in zip(("ours", "torch"), (ours, theirs), times, cpus):
            peak, before = side.ask("peak")
            row[name] = {"seconds": min(seconds), "cpu_s": min(cpu), "rounds": seconds, "peak_mb": peak, "before_mb": float(before)}
            side.close()
        row["ratio"] = row["torch"]["seconds"] / row["ours"]["seconds"]
        row["cpu_ratio"] = row["torch"]["cpu_s"] / row["ours"]["cpu_s"]
        return row


def report(rows):
    peak = next((row["flops"] / min(row["ours"]["seconds"], row["torch"]["seconds"]) for row in rows if row["case"] == "sgemm"), None)
    print("| case | ilm-pipe | PyTorch | ratio | processor time, both | ratio | GFLOP/s, both | memory of the steps, both | peak, both | |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in rows:
        ours, theirs = row["ours"], row["torch"]
        rates = [row["flops"] / side["seconds"] / 1e9 for side in (ours, theirs)]
        steps = [side["peak_mb"] - side["before_mb"] for side in (ours, theirs)]
        unit = [f"{BATCH * NEW / s['seconds']:.0f} tokens/s" if row["case"] == "greedy" else f"{s['seconds'] * 1e3:.1f} ms" for s in (ours, theirs)]
        print(
            f"| {row['case']} | {unit[0]} | {unit[1]} | **{row['ratio']:.2f}** |"
            f" {ours['cpu_s'] * 1e3:.0f}, {theirs['cpu_s'] * 1e3:.0f} ms | {row['cpu_ratio']:.2f} | {rates[0]:.0f}, {rates[1]:.0f} |"
            f" {steps[0]:.0f}, {steps[1]:.0f} MB | {ours['peak_mb']:.0f}, {theirs['peak_mb']:.0f} MB | {row['agreement']} |"
        )
    if peak:
        print(f"\nThe faster 2048-cubed product of the two: {peak / 1e9:.0f} GFLOP/s.")


def build():
    command = ["cargo", "bench", "--locked", "--bench", "nn", "--no-run", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == "nn" and m.get("executable"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="of " + ", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=10, help="of each side in each case (10)")
    parser.add_argument("--install", action="store_true", help="first install the peers into target/bench-venv")
    parser.add_argument("--python", type=Path, default=VENV / "bin" / "python", help="an interpreter that has the peers")
    parser.add_argument("--program", type=Path, help="a built benches/nn (default: build it)")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    parser.add_argument("--threads", type=int, default=2, help="of each side (2)")
    parser.add_argument("--answer", nargs=3, metavar=("CASE", "FOLDER", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        return answer(*options.answer)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"unknown cases {sorted(unknown)}; there are {', '.join(CASES)}")
    if options.install:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "--quiet", *PACKAGES], check=True)
    if not options.python.exists():
        sys.exit(f"{options.python} is not there: run with --install, or name an interpreter with --python")
    program = options.program or build()
    rows = []
    for case in options.cases or CASES:
        print(f"{case} …", file=sys.stderr, flush=True)
        rows.append(measure(case, program, options.python, options.rounds, options.threads))
        if options.json:
            machine = {"processor": platform.processor(), "cores": os.cpu_count(), "threads": options.threads}
            options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    report(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
