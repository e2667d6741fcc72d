#!/usr/bin/env python3
"""Makes the reference of `llama_with_low_rank_matrices_of_peft` in `tests/it/pretrained.rs`: a tiny Llama with random weights, and
low-rank matrices with random numbers as PEFT saves them, and the logits of both together.

    python3 -m venv /tmp/reference-venv
    /tmp/reference-venv/bin/pip install torch transformers peft gguf sentencepiece
    /tmp/reference-venv/bin/python tests/reference/lora.py

With a model folder and a folder of low-rank matrices as arguments it prints the logits of the reference's ids instead:
`ILM_PIPE_PYTHON=/tmp/reference-venv/bin/python cargo test --release --test it -- --ignored peft_reads` asks it for those of what we wrote.

The committed files were made with torch 2.15.0, transformers 5.23.0, peft 0.21.2.
"""

import json
import sys

import torch
from make import IDS, finish, folder, padded, randomise, save_config, save_weights, valid
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM


def logits(model):
    tokens, _ = padded(IDS)
    with torch.no_grad():
        return valid(model(input_ids=tokens).logits, IDS)


def main():
    path = folder("lora-peft")
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    base = randomise(LlamaForCausalLM(config), 5)
    save_weights(path, {key: value.clone() for key, value in base.state_dict().items() if key != "lm_head.weight"})
    save_config(path, base.config)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = LoraConfig(r=3, lora_alpha=7, lora_dropout=0.25, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(base, lora).eval()
    random = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
    model.save_pretrained(path / "lora")
    (path / "lora" / "README.md").unlink(missing_ok=True)
    finish(path, {"ids": IDS}, {"logits": logits(model)})


if len(sys.argv) == 3:
    loaded = LlamaForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    print(json.dumps(logits(PeftModel.from_pretrained(loaded, sys.argv[2]).eval()).flatten().tolist()))
else:
    main()
