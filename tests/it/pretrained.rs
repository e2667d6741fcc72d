//! Pre-trained models against what their own libraries compute: `tests/reference`, made by its `make.py`.

use dfdx::tensor::Cpu;
use ilm_pipe::formats::{gguf, json, tensors};
use ilm_pipe::nn::models::bert::Bert;
use ilm_pipe::nn::models::gpt2::Gpt2;
use ilm_pipe::nn::models::llama::{Llama, LoraConfig, Projection};
use ilm_pipe::nn::models::sentence::SentenceEncoder;
use ilm_pipe::nn::models::t5::{T5, T5Encoder};
use ilm_pipe::nn::{Graph, Matrix, Module as _};
use ilm_pipe::progress::Silent;
use ilm_pipe::seed::Seed;
use ilm_pipe::text::{self, Tokenizer};
use rand::Rng as _;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest difference, relative to 1 or to the number expected.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default)]
    ids: Vec<Vec<u32>>,
    #[serde(default)]
    targets: Vec<Vec<u32>>,
}

/// Texts padded on the right to the longest.
struct Padded {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    width: usize,
}

impl Padded {
    fn new(texts: &[Vec<u32>]) -> Self {
        let width = texts.iter().map(Vec::len).max().expect("works");
        let mut ids = Vec::new();
        for text in texts {
            ids.extend(text);
            ids.resize(ids.len() + width - text.len(), 0);
        }
        Self {
            ids,
            lengths: texts.iter().map(Vec::len).collect(),
            width,
        }
    }

    /// The numbers of rows that are no padding.
    fn valid(&self, rows: &Matrix<Cpu>) -> Vec<f32> {
        let (values, columns) = (rows.to_vec(), rows.columns());
        let texts = self.lengths.iter().enumerate();
        texts
            .flat_map(|(text, &length)| {
                let start = text * self.width * columns;
                values[start..start + length * columns].to_vec()
            })
            .collect()
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
}

fn case(name: &str) -> Case {
    json::read(&folder(name).join("case.json")).expect("works")
}

#[expect(
    clippy::print_stderr,
    reason = "a passing test shows how near it was with --nocapture"
)]
fn compare(name: &str, what: &str, found: &[f32]) {
    let path = folder(name).join("expected.safetensors");
    let expected = &tensors::read(&path).expect("works")[what];
    assert_eq!(found.len(), expected.data.len(), "{name}: {what}");
    let mut worst = 0.0_f32;
    for (a, b) in found.iter().zip(&expected.data) {
        let error = (a - b).abs() / b.abs().max(1.0);
        assert!(!error.is_nan(), "{name}: {what} has {a}");
        worst = worst.max(error);
    }
    eprintln!("{name}: {what} within {worst:.1e}");
    assert!(worst < TOLERANCE, "{name}: {what} is off by {worst}");
}

/// Logits of the ids of a case, rows of padding left out.
fn logits(name: &str, model: &Llama<Cpu>) -> Vec<f32> {
    let padded = Padded::new(&case(name).ids);
    let g = Graph::inference(&Cpu::default());
    let embeddings = model.embed(&g, &padded.ids).expect("works");
    let hidden = model.hidden(&g, &embeddings, padded.lengths.len());
    let logits = model.logits(&g, &hidden.expect("works"));
    padded.valid(&logits.expect("works"))
}

fn llama(name: &str) {
    let padded = Padded::new(&case(name).ids);
    let model = Llama::load(&Cpu::default(), &folder(name)).expect("works");
    let g = Graph::inference(&Cpu::default());
    let embeddings = model.embed(&g, &padded.ids).expect("works");
    let hidden = model
        .hidden(&g, &embeddings, padded.lengths.len())
        .expect("works");
    compare(
        name,
        "hidden",
        &padded.valid(&model.normed(&g, &hidden).expect("works")),
    );
    compare(
        name,
        "logits",
        &padded.valid(&model.logits(&g, &hidden).expect("works")),
    );
}

#[test]
fn llama_with_llama3_frequencies_tied_in_shards_of_16_bits() {
    llama("llama3-sharded-bf16");
}

#[test]
fn llama_with_biases_and_an_output_layer_and_an_older_config() {
    llama("llama-biases");
}

#[test]
fn llama_with_low_rank_matrices_of_peft_apart_and_merged() {
    let (device, name) = (Cpu::default(), "lora-peft");
    let mut model = Llama::load(&device, &folder(name)).expect("works");
    let base = logits(name, &model);
    let lora = model.load_lora(&device, &folder(name).join("lora"));
    let lora = lora.expect("works");
    assert_eq!(
        (lora.rank, lora.alpha, lora.dropout, lora.on.len()),
        (3, 7.0, 0.25, 7)
    );
    let apart = logits(name, &model);
    compare(name, "logits", &apart);
    assert!(base.iter().zip(&apart).any(|(a, b)| (a - b).abs() > 0.1));
    model.merge_lora(&device).expect("works");
    assert!(!model.has_lora());
    compare(name, "logits", &logits(name, &model));
}

/// PEFT opens the low-rank matrices that we write, and computes the same with them.
#[test]
#[ignore = "needs Python's peft; see tests/reference/lora.py"]
#[expect(clippy::disallowed_methods, reason = "a setting of this test alone")]
fn peft_reads_the_low_rank_matrices_that_we_write() {
    let (device, name) = (Cpu::default(), "lora-peft");
    let mut model = Llama::load(&device, &folder(name)).expect("works");
    let config = LoraConfig {
        rank: 4,
        alpha: 5.0,
        on: vec![Projection::Q, Projection::Down],
        ..LoraConfig::default()
    };
    model
        .add_lora(&device, &config, Seed::new(3))
        .expect("works");
    let mut rng = Seed::new(4).rng();
    model.visit_mut("", &mut |name, param| {
        if name.ends_with("lora_B.weight") {
            let mut values = param.value.to_vec();
            values.fill_with(|| rng.gen_range(-0.5..0.5));
            param.value.overwrite(&values).expect("works");
        }
    });
    let written = tempfile::tempdir().expect("works");
    model.save_lora(&config, written.path()).expect("works");
    let python = std::env::var("ILM_PIPE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let ran = Command::new(python)
        .arg(folder("lora.py"))
        .args([folder(name), written.path().to_owned()])
        .output()
        .expect("works");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    let theirs: Vec<f32> = serde_json::from_slice(&ran.stdout).expect("works");
    let ours = logits(name, &model);
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(&theirs) {
        assert!((a - b).abs() < TOLERANCE * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn qwen2_with_its_biases_in_half_precision() {
    llama("qwen2-f16");
}

#[test]
fn llama_in_every_kind_of_block_of_gguf() {
    llama("llama-gguf");
}

#[test]
fn gpt2_with_its_transposed_matrices() {
    let name = "gpt2";
    let padded = Padded::new(&case(name).ids);
    let model = Gpt2::load(&Cpu::default(), &folder(name)).expect("works");
    let g = Graph::inference(&Cpu::default());
    let hidden = model
        .hidden(&g, &padded.ids, padded.lengths.len())
        .expect("works");
    compare(name, "hidden", &padded.valid(&hidden));
    compare(
        name,
        "logits",
        &padded.valid(&model.logits(&g, &hidden).expect("works")),
    );
}

#[test]
fn bert_with_a_prefix_and_heads_that_are_left_out() {
    let name = "bert";
    let padded = Padded::new(&case(name).ids);
    let model = Bert::load(&Cpu::default(), &folder(name)).expect("works");
    let g = Graph::inference(&Cpu::default());
    let hidden = model
        .forward(&g, &padded.ids, &padded.lengths)
        .expect("works");
    compare(name, "hidden", &padded.valid(&hidden));
}

fn t5(name: &str) {
    let case = case(name);
    let (texts, targets) = (Padded::new(&case.ids), Padded::new(&case.targets));
    let model = T5::load(&Cpu::default(), &folder(name)).expect("works");
    let g = Graph::inference(&Cpu::default());
    let memory = model
        .encoder
        .forward(&g, &texts.ids, &texts.lengths)
        .expect("works");
    compare(name, "encoder", &texts.valid(&memory));
    let hidden = model
        .decode(&g, &targets.ids, &memory, &texts.lengths)
        .expect("works");
    compare(name, "decoder", &targets.valid(&hidden));
    compare(
        name,
        "logits",
        &targets.valid(&model.logits(&g, &hidden).expect("works")),
    );
    let alone = T5Encoder::load(&Cpu::default(), &folder(name)).expect("works");
    let again = alone
        .forward(&g, &texts.ids, &texts.lengths)
        .expect("works");
    assert_eq!(again.to_vec(), memory.to_vec());
}

#[test]
fn t5_v1_0_with_a_tied_and_scaled_output_layer() {
    t5("t5-v1.0");
}

#[test]
fn t5_v1_1_with_a_gate_and_an_output_layer_of_its_own() {
    t5("t5-v1.1");
}

#[derive(Deserialize)]
struct Pieces {
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    decoded: Vec<String>,
}

#[test]
fn a_sentencepiece_tokenizer_inside_gguf_cuts_texts_as_sentencepiece_does() {
    let place = folder("gguf-sentencepiece");
    let expected: Pieces = json::read(&place.join("case.json")).expect("works");
    let file = gguf::open(&place.join("model.gguf")).expect("works");
    let (tokenizer, specials) = text::gguf::tokenizer(&file).expect("works");
    assert_eq!((specials.bos, specials.eos), (Some(1), 2));
    let scratch = tempfile::tempdir().expect("works");
    let path = scratch.path().join("tokenizer.json");
    json::write(&path, &tokenizer).expect("works");
    Tokenizer::save_specials(scratch.path(), &specials).expect("works");
    let tokenizer = Tokenizer::load(&path).expect("works");
    assert_eq!(tokenizer.specials().item, 330);
    // What is unknown and what starts and ends a text is never written; `<title>` is.
    assert_eq!(tokenizer.specials().forbidden, [0, 1, 330, 331]);
    let all = expected.texts.iter().zip(&expected.tokens);
    for ((text, tokens), decoded) in all.zip(&expected.decoded) {
        assert_eq!(tokenizer.encode(text), *tokens, "{text:?}");
        assert_eq!(tokenizer.decode(tokens), *decoded, "{text:?}");
    }
    // Behind an item a text goes on: no space is added that is not there.
    let item = tokenizer.encode("the film<item> the film");
    let [the, film] = expected.tokens[0][..] else {
        panic!("two tokens");
    };
    assert_eq!(item, [the, film, 330, the, film]);
}

/// Vectors of the texts of a case by the encoder in a folder, against the expected ones.
fn sentences(name: &str, place: &Path) {
    let texts = case(name).texts;
    let encoder = SentenceEncoder::load(&Cpu::default(), place).expect("works");
    let vectors = encoder.encode(&texts, &Silent).expect("works");
    assert_eq!(vectors.shape, [texts.len(), encoder.dim()]);
    compare(name, "vectors", &vectors.data);
    // Alone, twice and among others a text has the same vector.
    let again = encoder.encode(
        &[texts[2].clone(), texts[0].clone(), texts[2].clone()],
        &Silent,
    );
    let again = again.expect("works").data;
    let dim = encoder.dim();
    assert_eq!(again[..dim], again[2 * dim..]);
    for (a, b) in again[dim..2 * dim].iter().zip(&vectors.data) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn a_sentence_encoder_pools_bert_and_ignores_what_its_tokenizer_says_of_padding() {
    sentences("sentence-bert", &folder("sentence-bert"));
}

#[test]
fn sentence_t5_has_a_dense_layer_after_the_mean() {
    sentences("sentence-t5", &folder("sentence-t5"));
}

/// A real model, where `ilm-pipe data get` has put it; otherwise says so.
#[expect(
    clippy::print_stderr,
    reason = "a test that had nothing to test must say so"
)]
fn installed(name: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("datasets")
        .join(name);
    if place.is_dir() {
        return Some(place);
    }
    eprintln!("SKIPPED: `{name}` is not installed; `ilm-pipe data get {name}` fetches it");
    None
}

#[test]
#[ignore = "reads 90 MB of weights; run it with an optimised build"]
fn the_real_minilm_gives_the_vectors_of_transformers() {
    if let Some(place) = installed("minilm-l6-v2") {
        sentences("minilm-l6-v2", &place);
    }
}

#[derive(Deserialize)]
struct Smol {
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    written: Vec<u32>,
    text: String,
    top: Vec<Vec<usize>>,
}

/// The real SmolLM2 in 4 bits against transformers, which reads the same file into `f32`: tokens, hidden states, the 16 highest logits
/// of each position, and 16 tokens written greedily with cached keys and values.
#[test]
#[ignore = "reads 98 MB of weights; run it with an optimised build"]
fn the_real_smollm2_gives_the_numbers_and_the_text_of_transformers() {
    let name = "smollm2-135m";
    let Some(place) = installed(name) else {
        return;
    };
    let expected: Smol = json::read(&folder(name).join("case.json")).expect("works");
    let file = gguf::open(&place.join("SmolLM2-135M-Instruct.Q4_1.gguf")).expect("works");
    let (tokenizer, specials) = text::gguf::tokenizer(&file).expect("works");
    let scratch = tempfile::tempdir().expect("works");
    let path = scratch.path().join("tokenizer.json");
    json::write(&path, &tokenizer).expect("works");
    Tokenizer::save_specials(scratch.path(), &specials).expect("works");
    let tokenizer = Tokenizer::load(&path).expect("works");
    for (text, tokens) in expected.texts.iter().zip(&expected.tokens) {
        assert_eq!(tokenizer.encode(text), *tokens, "{text:?}");
    }

    let model = Llama::load(&Cpu::default(), &place).expect("works");
    let g = Graph::inference(&Cpu::default());
    let prompt = &expected.tokens[0];
    let embeddings = model.embed(&g, prompt).expect("works");
    let hidden = model.hidden(&g, &embeddings, 1).expect("works");
    let (_, mut cache) = model
        .prefill(&g, &embeddings, &[prompt.len()])
        .expect("works");
    compare(
        name,
        "hidden",
        &model.normed(&g, &hidden).expect("works").to_vec(),
    );
    let logits = model.logits(&g, &hidden).expect("works");
    let (values, width) = (logits.to_vec(), logits.columns());
    let top: Vec<f32> = expected
        .top
        .iter()
        .enumerate()
        .flat_map(|(row, ids)| ids.iter().map(move |&id| (row, id)))
        .map(|(row, id)| values[row * width + id])
        .collect();
    compare(name, "top", &top);

    let mut written = Vec::new();
    let mut last = values[(prompt.len() - 1) * width..].to_vec();
    while written.len() < expected.written.len() {
        let best = (0..width)
            .max_by(|&a, &b| last[a].total_cmp(&last[b]))
            .expect("works");
        written.push(best as u32);
        let next = model.embed(&g, &[best as u32]).expect("works");
        let hidden = model.step(&g, &next, &mut cache).expect("works");
        last = model.logits(&g, &hidden).expect("works").to_vec();
    }
    assert_eq!(written, expected.written);
    assert_eq!(tokenizer.decode(&written), expected.text);
}
