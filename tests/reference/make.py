#!/usr/bin/env python3
"""Makes the reference files of `tests/it/pretrained.rs`: tiny models with random weights, as their own libraries save them, and
what `transformers` computes with them.

    python3 -m venv /tmp/reference-venv
    /tmp/reference-venv/bin/pip install torch transformers safetensors tokenizers gguf accelerate sentencepiece protobuf
    /tmp/reference-venv/bin/python tests/reference/make.py

With `datasets` as its argument it makes the references of the real models there instead (`ilm-pipe data get minilm-l6-v2` and
`smollm2-135m`).

Each folder has the model, `case.json` (what goes in) and `expected.safetensors` (what comes out, rows of padding left out).
The committed files were made with torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, sentencepiece 0.2.3.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

HERE = Path(__file__).parent
IDS = [[1, 7, 3, 22, 5, 39, 11, 2, 17], [1, 4, 9, 2]]


def folder(name):
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def randomise(model, seed, std=0.25):
    """Weights large enough that nothing is nearly linear; norms and biases away from where they start."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if norm else std * noise)
    return model.eval()


def padded(ids, pad=0):
    width = max(len(row) for row in ids)
    tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    return tokens, mask


def valid(rows, ids):
    """`[B, T, d]` without padding, below one another."""
    return torch.cat([rows[i, : len(row)] for i, row in enumerate(ids)]).contiguous()


def finish(path, case, expected):
    (path / "case.json").write_text(json.dumps(case) + "\n")
    save_file({name: value.float().contiguous() for name, value in expected.items()}, path / "expected.safetensors")
    for file in path.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)


def save_weights(path, state, shards=1):
    state = {name: value.contiguous() for name, value in state.items()}
    if shards == 1:
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(state)
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    for i, file in enumerate(files):
        save_file({name: state[name] for name in names[i::shards]}, path / file, metadata={"format": "pt"})
    total = sum(value.numel() * value.element_size() for value in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": {name: files[i % shards] for i, name in enumerate(names)}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def save_config(path, config, **older):
    """Writes `config.json`; `older` replaces keys by what earlier versions wrote (None removes)."""
    text = {**config.to_dict(), **older}
    text = {key: value for key, value in text.items() if value is not None}
    (path / "config.json").write_text(json.dumps(text, indent=2, default=str) + "\n")


def decoder(name, model, dtype=torch.float32, shards=1, drop=(), rename=lambda name: name, **older):
    path = folder(name)
    # What is saved is what is computed with: 16 bits are exact in 32.
    parameters = {key: value.to(dtype).float() for key, value in model.state_dict().items()}
    model.load_state_dict(parameters)
    tokens, _ = padded(IDS)
    with torch.no_grad():
        # Right padding behind a causal mask: no attention mask is needed.
        out = model(input_ids=tokens, output_hidden_states=True)
    state = {rename(key): value.to(dtype) for key, value in model.state_dict().items() if key not in drop}
    save_weights(path, state, shards)
    save_config(path, model.config, dtype=str(dtype).split(".")[1], **older)
    expected = {"hidden": valid(out.hidden_states[-1], IDS), "logits": valid(out.logits, IDS)}
    finish(path, {"ids": IDS}, expected)


def llamas():
    sizes = dict(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    )
    # Frequencies as Llama 3.1 scales them, so small that all three cases occur; shards of 16 bits; tied.
    scaled = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
    config = LlamaConfig(**sizes, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters={"rope_theta": 100.0, **scaled})
    decoder("llama3-sharded-bf16", randomise(LlamaForCausalLM(config), 1), torch.bfloat16, shards=3, drop=("lm_head.weight",))
    # The config as transformers 4 wrote it, with biases everywhere and an output layer of its own.
    config = LlamaConfig(
        **sizes, tie_word_embeddings=False, attention_bias=True, mlp_bias=True, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    )
    model = randomise(LlamaForCausalLM(config), 2)
    decoder("llama-biases", model, rope_parameters=None, rope_theta=500.0, rope_scaling=None)
    config = Qwen2Config(**sizes, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})
    decoder("qwen2-f16", randomise(Qwen2ForCausalLM(config), 3), torch.float16, drop=("lm_head.weight",))


def gpt2():
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=1)
    # The first checkpoints have no `transformer.` before the names.
    rename = lambda name: name.removeprefix("transformer.")
    decoder("gpt2", randomise(GPT2LMHeadModel(config), 4), drop=("lm_head.weight",), rename=rename)


def bert():
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, max_position_embeddings=16
    )
    model = randomise(BertModel(config), 5)
    path = folder("bert")
    tokens, mask = padded(IDS)
    with torch.no_grad():
        out = model(input_ids=tokens, attention_mask=mask)
    state = {f"bert.{name}": value for name, value in model.state_dict().items()}
    # A head that an encoder does not need, and a buffer that older versions saved.
    state["cls.predictions.bias"] = torch.zeros(40)
    state["bert.embeddings.position_ids"] = torch.arange(16)[None]
    save_weights(path, state)
    save_config(path, config)
    finish(path, {"ids": IDS}, {"hidden": valid(out.last_hidden_state, IDS)})


def t5(name, untied, **changes):
    config = T5Config(
        vocab_size=40, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=4, **changes,
        relative_attention_num_buckets=8, relative_attention_max_distance=20, decoder_start_token_id=0, tie_word_embeddings=not untied,
    )  # fmt: skip
    model = randomise(T5ForConditionalGeneration(config), 6 + untied)
    if untied:
        random = torch.Generator().manual_seed(60)
        head = torch.nn.Parameter(0.25 * torch.randn(40, 16, generator=random))
        model.lm_head.weight = head
    path = folder(name)
    long = [[(7 * i + row) % 37 + 2 for i in range(length)] for row, length in enumerate([30, 13])]
    targets = [[0, *row] for row in ([5, 9, 30, 4] * 7, [8, 3])]
    tokens, mask = padded(long)
    outputs, _ = padded(targets)
    with torch.no_grad():
        out = model(input_ids=tokens, attention_mask=mask, decoder_input_ids=outputs, output_hidden_states=True)
    drop = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight") + (() if untied else ("lm_head.weight",))
    save_weights(path, {key: value for key, value in model.state_dict().items() if key not in drop})
    save_config(path, config, tie_word_embeddings=not untied, scale_decoder_outputs=None)
    expected = {
        "encoder": valid(out.encoder_last_hidden_state, long),
        "decoder": valid(out.decoder_hidden_states[-1], targets),
        "logits": valid(out.logits, targets),
    }
    finish(path, {"ids": long, "targets": targets}, expected)


TEXTS = ["A film of two wars", "  Love!  ", "", "war war war war war war war war war war war war", "unknownlove, Ünd films"]


def pooled(hidden, mask):
    mask = mask[..., None].float()
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def encode(tokenizer, texts, limit, pad):
    """As sentence-transformers does: stripped, cut to `limit`, padded to the longest."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    return padded([tokenizer.encode(text.strip()).ids for text in texts], pad)


def modules(path, kinds):
    names = {"Dense": "models.Dense", "Pooling": "models.Pooling", "Normalize": "models.Normalize", "Transformer": "models.Transformer"}
    listed = []
    for index, kind in enumerate(kinds):
        place = "" if kind == "Transformer" else f"{index}_{kind}"
        if place:
            (path / place).mkdir(exist_ok=True)
        listed.append({"idx": index, "name": str(index), "path": place, "type": f"sentence_transformers.{names[kind]}"})
    (path / "modules.json").write_text(json.dumps(listed, indent=2) + "\n")


def pooling(path, width, mode):
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]
    text = {"word_embedding_dimension": width, **{f"pooling_mode_{name}": name == mode for name in modes}}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(text, indent=2) + "\n")


def sentence_bert():
    """A folder of sentence-transformers as MiniLM's: mean pooling, unit length, and a tokenizer with its own idea of padding."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "film", "##s", "of", "two", "war", "love", "!", ",", "un", "##know", "##n", "##love", "##d"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=24)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, max_position_embeddings=16
    )
    model = randomise(BertModel(config), 8)
    path = folder("sentence-bert")
    save_weights(path, model.state_dict())
    save_config(path, config)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 10, "do_lower_case": false}\n')
    modules(path, ["Transformer", "Pooling", "Normalize"])
    pooling(path, 16, "mean_tokens")
    tokens, mask = encode(tokenizer, TEXTS, 10, 0)
    mask = (tokens != 0).long()
    with torch.no_grad():
        hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
    vectors = torch.nn.functional.normalize(pooled(hidden, mask))
    finish(path, {"texts": TEXTS}, {"vectors": vectors})


def sentence_t5():
    """Sentence-T5: the encoder, mean pooling, a dense layer without bias, unit length; half the encoder in another dtype's file."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", "▁a", "▁film", "s", "▁of", "▁two", "▁war", "▁love", "!", ",", "love", "▁un", "know", "n", "l", "o", "v", "e"]
    vocabulary = [(piece, 0.0 if i < 3 else -1.0 - 0.1 * i) for i, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    config = T5Config(
        vocab_size=len(pieces), d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=4, feed_forward_proj="relu",
        relative_attention_num_buckets=8, relative_attention_max_distance=20,
    )  # fmt: skip
    model = randomise(T5EncoderModel(config), 9).half().float()
    dense = torch.randn(12, 16, generator=torch.Generator().manual_seed(10))
    path = folder("sentence-t5")
    state = {key: value.half() for key, value in model.state_dict().items() if key != "encoder.embed_tokens.weight"}
    save_weights(path, state)
    save_config(path, config)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 8, "do_lower_case": false}\n')
    modules(path, ["Transformer", "Pooling", "Dense", "Normalize"])
    pooling(path, 16, "mean_tokens")
    text = {"in_features": 16, "out_features": 12, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    (path / "2_Dense" / "config.json").write_text(json.dumps(text, indent=2) + "\n")
    save_file({"linear.weight": dense}, path / "2_Dense" / "model.safetensors")
    tokens, mask = encode(tokenizer, TEXTS, 8, 0)
    mask = (tokens != 0).long()
    with torch.no_grad():
        hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
    vectors = torch.nn.functional.normalize(pooled(hidden, mask) @ dense.T)
    finish(path, {"texts": TEXTS}, {"vectors": vectors})


def random_blocks(kind, rows, columns, random):
    """Bytes of blocks of a kind: random quanta and small scales."""
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows * columns // weights, size), dtype=np.uint8)
    places = {
        gguf.GGMLQuantizationType.Q6_K: [208],
        gguf.GGMLQuantizationType.Q4_K: [0, 2],
        gguf.GGMLQuantizationType.Q5_K: [0, 2],
        gguf.GGMLQuantizationType.Q4_1: [0, 2],
        gguf.GGMLQuantizationType.Q5_1: [0, 2],
    }.get(kind, [0])
    largest = {gguf.GGMLQuantizationType.Q6_K: 64 * 32, gguf.GGMLQuantizationType.Q4_K: 63 * 15, gguf.GGMLQuantizationType.Q5_K: 63 * 31}
    for place in places:
        scales = random.uniform(0.2, 0.5, len(blocks)) / largest.get(kind, 16 if weights == 32 and size < 30 else 127)
        blocks[:, place : place + 2] = scales.astype(np.float16)[:, None].view(np.uint8)
    return blocks.reshape(rows, -1)


def gguf_llama():
    """Every kind of block in one file, as llama.cpp writes it: queries and keys with the halves of a head interleaved."""
    kinds = gguf.GGMLQuantizationType
    width, inner, heads, key_heads, head, vocabulary = 256, 32, 4, 2, 8, 40
    random = np.random.default_rng(11)
    path = folder("llama-gguf")
    writer = gguf.GGUFWriter(path / "model.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(100.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    state = {}

    def add(name, there, rows, columns, kind, split=0):
        if kind in (kinds.F32, kinds.F16):
            values = (0.05 * random.standard_normal((rows, columns))).astype(np.float32 if kind == kinds.F32 else np.float16)
            writer.add_tensor(there, values)
            values = values.astype(np.float32)
        else:
            raw = random_blocks(kind, rows, columns, random)
            writer.add_tensor(there, raw, raw_dtype=kind)
            values = gguf.dequantize(raw, kind).reshape(rows, columns).astype(np.float32)
        if split:
            # The inverse of `permute` in llama.cpp's convert_hf_to_gguf.py.
            values = values.reshape(split, rows // split // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        state[name] = torch.tensor(values)

    def norm(name, there):
        values = (1 + 0.2 * random.standard_normal(width)).astype(np.float32)
        writer.add_tensor(there, values)
        state[name] = torch.tensor(values)

    add("model.embed_tokens.weight", "token_embd.weight", vocabulary, width, kinds.Q6_K)
    layers = [
        dict(q=kinds.Q4_1, k=kinds.Q8_0, v=kinds.Q4_0, o=kinds.Q4_0, gate=kinds.Q4_K, up=kinds.Q5_K, down=kinds.Q4_1),
        dict(q=kinds.F16, k=kinds.Q6_K, v=kinds.F32, o=kinds.Q5_0, gate=kinds.Q5_1, up=kinds.Q8_0, down=kinds.F16),
    ]
    for i, kind in enumerate(layers):
        ours, theirs = f"model.layers.{i}", f"blk.{i}"
        norm(f"{ours}.input_layernorm.weight", f"{theirs}.attn_norm.weight")
        add(f"{ours}.self_attn.q_proj.weight", f"{theirs}.attn_q.weight", heads * head, width, kind["q"], heads)
        add(f"{ours}.self_attn.k_proj.weight", f"{theirs}.attn_k.weight", key_heads * head, width, kind["k"], key_heads)
        add(f"{ours}.self_attn.v_proj.weight", f"{theirs}.attn_v.weight", key_heads * head, width, kind["v"])
        add(f"{ours}.self_attn.o_proj.weight", f"{theirs}.attn_output.weight", width, heads * head, kind["o"])
        norm(f"{ours}.post_attention_layernorm.weight", f"{theirs}.ffn_norm.weight")
        add(f"{ours}.mlp.gate_proj.weight", f"{theirs}.ffn_gate.weight", inner, width, kind["gate"])
        add(f"{ours}.mlp.up_proj.weight", f"{theirs}.ffn_up.weight", inner, width, kind["up"])
        add(f"{ours}.mlp.down_proj.weight", f"{theirs}.ffn_down.weight", width, inner, kind["down"])
    norm("model.norm.weight", "output_norm.weight")
    # Llama 3.1's scaling as GGUF has it: one divisor for each frequency.
    divisors = np.array([1.0, 1.0, 2.5, 8.0], dtype=np.float32)
    writer.add_tensor("rope_freqs.weight", divisors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=key_heads, head_dim=head, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and missing == ["lm_head.weight"], (missing, unexpected)
    model.tie_weights()
    model.model.rotary_emb.inv_freq /= torch.tensor(divisors)
    tokens, _ = padded(IDS)
    with torch.no_grad():
        out = model(input_ids=tokens, output_hidden_states=True)
    finish(path, {"ids": IDS}, {"hidden": valid(out.hidden_states[-1], IDS), "logits": valid(out.logits, IDS)})


def gguf_text():
    """A tiny model with its tokenizer inside, for whole pipelines: bytes, a few merges, two control tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    tokens = ["<|end|>", "<|start|>"] + [letters[byte] for byte in range(256)]
    merges = ["t h", "th e", "Ġ the", "Ġ a", "i n"]
    tokens += [merge.replace(" ", "") for merge in merges]
    width, inner, heads, head = 32, 32, 2, 16
    random = np.random.default_rng(12)
    path = folder("gguf-text")
    writer = gguf.GGUFWriter(path / "model.gguf", "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)

    def add(name, rows, columns):
        values = (0.1 * random.standard_normal((rows, columns))).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", len(tokens), width)
    for name, rows in [("attn_q", heads * head), ("attn_k", head), ("attn_v", head), ("attn_output", width)]:
        add(f"blk.0.{name}.weight", rows, width)
    for name in ["ffn_gate", "ffn_up", "ffn_down"]:
        add(f"blk.0.{name}.weight", inner, width)
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"]:
        writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (path / "model.gguf").chmod(0o644)


def gguf_sentencepiece():
    """A SentencePiece BPE with bytes, as `convert_hf_to_gguf.py` of llama.cpp writes Llama 2's: its own ids, and those of transformers."""
    words = "the film tells of a town and the two wars that a young woman sees; some love it, others say that the music is too loud".split()
    random = np.random.default_rng(13)
    lines = [" ".join(random.choice(words, 12)) for _ in range(400)]
    path = folder("gguf-sentencepiece")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "lines.txt").write_text("\n".join(lines))
        sentencepiece.SentencePieceTrainer.train(
            input=f"{place}/lines.txt", model_prefix=f"{place}/tokenizer", vocab_size=330, model_type="bpe", byte_fallback=True,
            remove_extra_whitespaces=False, normalization_rule_name="identity", split_digits=True, user_defined_symbols=["<title>"],
            num_threads=1, minloglevel=2,
        )  # fmt: skip
        pieces = sentencepiece.SentencePieceProcessor(model_file=f"{place}/tokenizer.model")
        theirs = LlamaTokenizer.from_pretrained(place, legacy=False)
    size = pieces.get_piece_size()
    user = pieces.piece_to_id("<title>")
    def kind(i):
        if i == user:
            return 4
        return 2 if pieces.is_unknown(i) else 3 if pieces.is_control(i) else 6 if pieces.is_byte(i) else 1
    writer = gguf.GGUFWriter(path / "model.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces.id_to_piece(i) for i in range(size)])
    writer.add_token_scores([pieces.get_score(i) for i in range(size)])
    writer.add_token_types([kind(i) for i in range(size)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (path / "model.gguf").chmod(0o644)
    texts = [
        "the film", "the  two   wars\n\tthat a young woman sees", "Amélie 日本 🎬 e\u0301", "x<title>y", "thethethe lovelove musics; 1234,5", "",
        "some love it, others say that the music is too loud. " * 5, "wwwwaaaarrrr sss", "\u0000\u007f", "a", "a ▁ a",
    ]  # fmt: skip
    ours = [pieces.encode(text) for text in texts]
    for text, a in zip(texts, ours):
        b = theirs(text, add_special_tokens=False)["input_ids"]
        if a != b:
            print(f"{text!r}: {a} by SentencePiece, {b} by transformers")
    case = {"texts": texts, "tokens": ours, "decoded": [pieces.decode(ids) for ids in ours]}
    (path / "case.json").write_text(json.dumps(case) + "\n")


def real_minilm(datasets):
    """The real MiniLM, as `ilm-pipe data get minilm-l6-v2` installs it."""
    source = datasets / "minilm-l6-v2"
    model = BertModel.from_pretrained(source).eval()
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    texts = ["A film about two wars.", "Romance", "  Amélie (2001) ", "cyberpunk " * 300, "日本の映画 & more", ""]
    tokens, mask = encode(tokenizer, texts, 256, 0)
    mask = torch.tensor([[int(t < n) for t in range(tokens.shape[1])] for n in (tokens != 0).sum(1)])
    with torch.no_grad():
        hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
    vectors = torch.nn.functional.normalize(pooled(hidden, mask))
    finish(folder("minilm-l6-v2"), {"texts": texts}, {"vectors": vectors})


def real_smollm2(datasets):
    """The real SmolLM2, as `ilm-pipe data get smollm2-135m` installs it: transformers' own reading of GGUF, tokenizer included."""
    source, file = datasets / "smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
    texts = [
        "The capital of France is",
        "Describe the film 'Amélie' (2001), in 3 words:\n\n",
        "  Tabs\tand   spaces, 12345 numbers; it's you'll DON'T <|im_start|>user\nhé日本🎬",
        "",
    ]
    prompt = tokenizer(texts[0])["input_ids"]
    with torch.no_grad():
        out = model(input_ids=torch.tensor([prompt]), output_hidden_states=True)
        written = list(prompt)
        for _ in range(16):
            logits = model(input_ids=torch.tensor([written])).logits[0, -1]
            written.append(int(logits.argmax()))
    top = out.logits[0].topk(16)
    case = {
        "texts": texts,
        "tokens": [tokenizer(text)["input_ids"] for text in texts],
        "ids": [prompt],
        "written": written[len(prompt) :],
        "text": tokenizer.decode(written[len(prompt) :]),
        "top": top.indices.tolist(),
    }
    finish(folder("smollm2-135m"), case, {"hidden": out.hidden_states[-1][0], "top": top.values})


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        # python make.py datasets: what needs the real models; the rest is left alone.
        real_minilm(Path(sys.argv[1]))
        real_smollm2(Path(sys.argv[1]))
        sys.exit()
    llamas()
    gpt2()
    bert()
    t5("t5-v1.0", untied=False, feed_forward_proj="relu")
    t5("t5-v1.1", untied=True, feed_forward_proj="gated-gelu")
    sentence_bert()
    sentence_t5()
    gguf_llama()
    gguf_text()
    gguf_sentencepiece()
