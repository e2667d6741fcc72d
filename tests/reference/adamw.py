#!/usr/bin/env python3
"""Makes `adamw.json`, the reference of `twenty_steps_are_those_of_pytorch` in `src/nn/training/tests/reference.rs`: a small network trained by
PyTorch's AdamW with two groups of parameters, clipping by the global norm, a linear warm-up and each of three schedules.

    python3 -m venv /tmp/reference-venv
    /tmp/reference-venv/bin/pip install torch
    /tmp/reference-venv/bin/python tests/reference/adamw.py

The committed file was made with torch 2.15.0.
"""

import json
from pathlib import Path

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, SequentialLR

STEPS, WARMUP, PEAK, RATIO, DECAY, CLIP = 20, 4, 0.05, 0.2, 0.1, 0.3
SCALE = 0.5  # of the learning rate of `up`, which is not decayed


def schedule(name, optimiser):
    """PyTorch's own schedulers; the fall begins with the peak a second time, as ours does."""
    rise = LinearLR(optimiser, 1 / WARMUP, 1.0, total_iters=WARMUP - 1)
    rest = STEPS - WARMUP - 1
    fall = {
        "cosine": lambda: CosineAnnealingLR(optimiser, T_max=rest, eta_min=PEAK * RATIO),
        "linear": lambda: LinearLR(optimiser, 1.0, RATIO, total_iters=rest),
        "constant": lambda: ConstantLR(optimiser, 1.0),
    }[name]()
    return SequentialLR(optimiser, [rise, fall], milestones=[WARMUP])


def rates(name):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = schedule(name, optimiser)
    found = []
    for _ in range(STEPS):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def train(name, start, x, y):
    up, down = nn.Linear(5, 7), nn.Linear(7, 3)
    parameters = {"up.weight": up.weight, "up.bias": up.bias, "down.weight": down.weight, "down.bias": down.bias}
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(torch.tensor(start[key]).reshape(parameter.shape))
    optimiser = torch.optim.AdamW(
        [
            {"params": [up.weight, up.bias], "weight_decay": 0.0, "scale": SCALE},
            {"params": [down.weight], "weight_decay": DECAY, "scale": 1.0},
            {"params": [down.bias], "weight_decay": 0.0, "scale": 1.0},
        ],
        betas=(0.9, 0.98),
        eps=1e-8,
    )
    losses, norms = [], []
    for rate in rates(name):
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        loss = (down(nn.functional.gelu(up(x))) - y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(parameters.values(), CLIP)))
        optimiser.step()
        losses.append(float(loss))
    end = {key: parameter.detach().flatten().tolist() for key, parameter in parameters.items()}
    return {"rates": rates(name), "losses": losses, "norms": norms, "end": end}


torch.manual_seed(1)
x, y = torch.randn(8, 5), 2 * torch.randn(8, 3)
shapes = {"up.weight": (7, 5), "up.bias": (7,), "down.weight": (3, 7), "down.bias": (3,)}
start = {key: (0.5 * torch.randn(shape)).flatten().tolist() for key, shape in shapes.items()}
made = {"x": x.flatten().tolist(), "y": y.flatten().tolist(), "start": start}
made["trained"] = {name: train(name, start, x, y) for name in ["cosine", "linear", "constant"]}
(Path(__file__).parent / "adamw.json").write_text(json.dumps(made) + "\n")
print([sum(n > CLIP for n in t["norms"]) for t in made["trained"].values()], "of", STEPS, "updates are clipped")
print({name: (t["losses"][0], t["losses"][-1]) for name, t in made["trained"].items()})
