//! The same bits on any number of threads, and how fast it is.

use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::testing::{backward, random, variable};
use crate::nn::{Graph, Matrix, NnError};
use crate::seed::Seed;
use dfdx::tensor::Cpu;
use rand::Rng as _;

/// A transformer block before its norms: everything that is heavy.
struct Block {
    norm1: Matrix<Cpu>,
    bias1: Matrix<Cpu>,
    qkv: [Matrix<Cpu>; 3],
    out: Matrix<Cpu>,
    norm2: Matrix<Cpu>,
    bias2: Matrix<Cpu>,
    up: Matrix<Cpu>,
    up_bias: Matrix<Cpu>,
    down: Matrix<Cpu>,
}

impl Block {
    fn new(d: usize, seed: Seed) -> Self {
        let at =
            |index: u64, rows: usize, columns: usize| variable((rows, columns), seed.at(index));
        Self {
            norm1: at(0, 1, d),
            bias1: at(1, 1, d),
            qkv: [at(2, d, d), at(3, d, d), at(4, d, d)],
            out: at(5, d, d),
            norm2: at(6, 1, d),
            bias2: at(7, 1, d),
            up: at(8, 4 * d, d),
            up_bias: at(9, 1, 4 * d),
            down: at(10, d, 4 * d),
        }
    }

    fn params(&self) -> Vec<&Matrix<Cpu>> {
        let mut params = vec![
            &self.norm1,
            &self.bias1,
            &self.out,
            &self.norm2,
            &self.bias2,
        ];
        params.extend(&self.qkv);
        params.extend([&self.up, &self.up_bias, &self.down]);
        params
    }

    fn forward(
        &self,
        g: &Graph<Cpu>,
        x: &Matrix<Cpu>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Result<Matrix<Cpu>, NnError> {
        let n = ops::layer_norm(g, x, &self.norm1, &self.bias1, 1e-5)?;
        let q = ops::linear(g, &n, &self.qkv[0], None)?;
        let k = ops::linear(g, &n, &self.qkv[1], None)?;
        let v = ops::linear(g, &n, &self.qkv[2], None)?;
        let y = ops::attention(g, &q, &k, &v, shape, mask)?;
        let x = ops::add(g, x, &ops::linear(g, &y, &self.out, None)?)?;
        let n = ops::layer_norm(g, &x, &self.norm2, &self.bias2, 1e-5)?;
        let y = ops::gelu(g, &ops::linear(g, &n, &self.up, Some(&self.up_bias))?)?;
        ops::add(g, &x, &ops::linear(g, &y, &self.down, None)?)
    }
}

/// The loss and all gradients of some blocks and a head.
fn step(
    blocks: &[Block],
    head: &Matrix<Cpu>,
    x: &Matrix<Cpu>,
    shape: &AttentionShape,
) -> (f32, Vec<Vec<f32>>) {
    let g = Graph::training(&Cpu::default(), Seed::new(3));
    let mut y = ops::dropout(&g, x, 0.1).unwrap();
    for block in blocks {
        y = block.forward(&g, &y, shape, &Mask::causal()).unwrap();
    }
    let logits = ops::matmul_nt(&g, &y, head).unwrap();
    let targets: Vec<Option<u32>> = (0..logits.rows())
        .map(|row| (row % 5 != 0).then_some((row * 31 % logits.columns()) as u32))
        .collect();
    let loss = ops::cross_entropy(&g, &logits, &targets, 0.1).unwrap();
    let value = loss.item().unwrap();
    let mut grads = g.backward(&loss).unwrap();
    let mut gradients: Vec<Vec<f32>> = blocks
        .iter()
        .flat_map(Block::params)
        .map(|param| grads.take(param).unwrap())
        .collect();
    gradients.push(grads.take(head).unwrap());
    (value, gradients)
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(work)
}

#[test]
fn a_training_step_has_the_same_bits_on_any_number_of_threads() {
    // Large and odd enough for the products to be split among threads.
    let shape = AttentionShape {
        batch: 9,
        queries: 37,
        keys: 37,
        heads: 3,
        kv_heads: 3,
        head_dim: 43,
    };
    let run = || {
        let blocks = [Block::new(129, Seed::new(1)), Block::new(129, Seed::new(2))];
        let head = variable((307, 129), Seed::new(3));
        let x = variable((9 * 37, 129), Seed::new(4));
        step(&blocks, &head, &x, &shape)
    };
    let one = on_threads(1, run);
    for threads in [2, 3, 7] {
        let other = on_threads(threads, run);
        assert_eq!(one.0.to_bits(), other.0.to_bits());
        assert!(one.1 == other.1, "gradients differ on {threads} threads");
    }
    assert!(one.0.is_finite());
}

#[test]
fn products_have_the_same_bits_on_any_number_of_threads() {
    let mut rng = Seed::new(8).rng();
    for _ in 0..12 {
        let (m, n, k) = (
            rng.gen_range(1..400),
            rng.gen_range(1..400),
            rng.gen_range(1..1500),
        );
        let run = || {
            let (a, b) = (
                variable((m, k), Seed::new(1)),
                variable((n, k), Seed::new(2)),
            );
            let g = Graph::inference(&Cpu::default());
            let right = ops::transpose(&g, &b).unwrap();
            let nt = ops::matmul_nt(&g, &a, &b).unwrap().to_vec();
            (nt, ops::matmul(&g, &a, &right).unwrap().to_vec())
        };
        let one = on_threads(1, run);
        for threads in [2, 3, 5] {
            assert!(
                one == on_threads(threads, run),
                "{m} × {n} × {k} on {threads} threads"
            );
        }
    }
}

/// Every fused operation by itself: results and gradients, at sizes of several pieces of work.
#[test]
fn every_operation_has_the_same_bits_on_any_number_of_threads() {
    type Operation = fn(&Graph<Cpu>, &[Matrix<Cpu>]) -> Result<Matrix<Cpu>, NnError>;
    /// Rows and columns: more than three pieces, no multiple of anything.
    const SIZE: (usize, usize) = (211, 157);
    fn positions() -> Vec<u32> {
        (0..SIZE.0 as u32).map(|row| row * 7 % 83).collect()
    }
    fn attend(g: &Graph<Cpu>, x: &[Matrix<Cpu>]) -> Result<Matrix<Cpu>, NnError> {
        let shape = AttentionShape {
            batch: 7,
            queries: 30,
            keys: 30,
            heads: 6,
            kv_heads: 2,
            head_dim: 26,
        };
        let mask = Mask {
            lengths: Some(vec![30, 0, 1, 29, 8, 17, 30]),
            kind: ops::MaskKind::PrefixCausal { prefix: 5 },
        };
        let rows: Vec<usize> = (0..210).collect();
        let part =
            |x: &Matrix<Cpu>, width| ops::columns(g, &ops::gather_rows(g, x, &rows)?, 0, width);
        let (q, k, v) = (part(&x[0], 156)?, part(&x[0], 52)?, part(&x[1], 52)?);
        ops::attention(g, &q, &k, &v, &shape, &mask)
    }
    let operations: [(&str, Operation); 16] = [
        ("linear", |g, x| ops::linear(g, &x[0], &x[1], Some(&x[3]))),
        ("attention", attend),
        ("layer_norm", |g, x| {
            ops::layer_norm(g, &x[0], &x[2], &x[2], 1e-5)
        }),
        ("rms_norm", |g, x| ops::rms_norm(g, &x[0], &x[2], 1e-5)),
        ("gelu", |g, x| ops::gelu(g, &x[0])),
        ("gelu_tanh", |g, x| ops::gelu_tanh(g, &x[0])),
        ("silu", |g, x| ops::silu(g, &x[0])),
        ("silu_gate", |g, x| ops::silu_gate(g, &x[0], &x[1])),
        ("cross_entropy", |g, x| {
            let targets: Vec<Option<u32>> = (0..SIZE.0 as u32)
                .map(|row| (row % 6 != 1).then_some(row * 3 % SIZE.1 as u32))
                .collect();
            ops::cross_entropy(g, &x[0], &targets, 0.1)
        }),
        ("embedding", |g, x| {
            let ids: Vec<u32> = (0..900).map(|i| i * 31 % 50).collect();
            ops::embedding(g, &x[0], &ids)
        }),
        ("rotary", |g, x| {
            let even = ops::columns(g, &x[0], 1, 156)?;
            ops::rotary(g, &even, 3, 52, &positions(), 1e4)
        }),
        ("dropout", |g, x| ops::dropout(g, &x[0], 0.3)),
        ("normalize_rows", |g, x| {
            ops::normalize_rows(g, &x[0], 1e-12)
        }),
        ("sums", |g, x| {
            let s = ops::mean_all(g, &ops::square(g, &x[1])?)?;
            ops::div_scalar(g, &ops::add_row(g, &x[0], &x[2])?, &s)
        }),
        ("moves", |g, x| {
            let rows: Vec<usize> = (0..SIZE.0).rev().collect();
            let y = ops::replace_rows(g, &x[0], &rows, &x[1])?;
            ops::transpose(g, &ops::concat_rows(g, &[&y, &x[0]])?)
        }),
        ("few rows", |g, x| {
            let few = ops::gather_rows(g, &x[0], &[3, 1, 4, 1, 5])?;
            ops::linear(g, &few, &x[1], None)
        }),
    ];
    let inputs = [
        variable(SIZE, Seed::new(1)),
        variable(SIZE, Seed::new(2)),
        variable((1, SIZE.1), Seed::new(3)),
        variable((1, SIZE.0), Seed::new(4)),
    ];
    for (name, operation) in operations {
        let run = || {
            let weights: Vec<f32> = {
                let g = Graph::inference(&Cpu::default());
                let count = operation(&g, &inputs).unwrap().to_vec().len();
                random(count, Seed::new(5))
            };
            backward(&inputs, &weights, operation)
        };
        let one = on_threads(1, run);
        assert!(one.0.iter().all(|y| y.is_finite()), "{name}");
        assert!(one.1[0].iter().any(|&gx| gx != 0.0), "{name}");
        for threads in [2, 3, 7] {
            let other = on_threads(threads, run);
            assert!(one == other, "`{name}` differs on {threads} threads");
        }
    }
}

/// A row's result does not depend on how many rows are multiplied with it, up to the width where another way of computing begins.
#[test]
fn few_rows_are_multiplied_as_one() {
    let g = Graph::inference(&Cpu::default());
    for (n, k) in [(1, 1), (3, 8), (64, 31), (131, 70)] {
        let w = variable((n, k), Seed::new(6));
        for m in [1, 2, 3, 16, 31, 32, 33] {
            let x = variable((m, k), Seed::new(7));
            let all = ops::linear(&g, &x, &w, None).unwrap().to_vec();
            for row in 0..m {
                let one = ops::gather_rows(&g, &x, &[row]).unwrap();
                let one = ops::linear(&g, &one, &w, None).unwrap().to_vec();
                for (a, b) in one.iter().zip(&all[row * n..]) {
                    if m <= 32 {
                        assert_eq!(a.to_bits(), b.to_bits(), "row {row} of {m}, {n} x {k}");
                    } else {
                        assert!((a - b).abs() < 1e-5, "row {row} of {m}, {n} x {k}");
                    }
                }
            }
        }
    }
}

/// One query a sequence is computed in another way when no gradient is wanted; both know the same formula.
#[test]
fn one_query_reads_what_many_read() {
    let g = Graph::inference(&Cpu::default());
    for (heads, kv_heads, head_dim, keys) in [(1, 1, 1, 1), (6, 2, 43, 31), (3, 3, 64, 9)] {
        let shape = AttentionShape {
            batch: 3,
            queries: 1,
            keys,
            heads,
            kv_heads,
            head_dim,
        };
        let mask = Mask {
            lengths: Some(vec![keys, 0, keys / 2]),
            kind: ops::MaskKind::Full,
        };
        let q = variable((3, heads * head_dim), Seed::new(1));
        let k = variable((3 * keys, kv_heads * head_dim), Seed::new(2));
        let v = variable((3 * keys, kv_heads * head_dim), Seed::new(3));
        let many = ops::attention(&g, &q, &k, &v, &shape, &mask).unwrap();
        let (q, k, v) = (q.detached(), k.detached(), v.detached());
        let one = ops::attention(&g, &q, &k, &v, &shape, &mask).unwrap();
        for (a, b) in one.to_vec().iter().zip(many.to_vec()) {
            // f32 sums of a few dozen terms of size 1.
            assert!((a - b).abs() < 2e-6, "{a} {b}");
        }
    }
}

/// What a step keeps for its backward pass is dropped as that pass goes on, and a branch that the loss does not use gets no gradient.
#[test]
fn memory_of_a_step_is_freed_on_the_way_back() {
    let device = Cpu::default();
    let x = variable((300, 200), Seed::new(1));
    let g = Graph::training(&device, Seed::new(2));
    let y = ops::add(&g, &x, &x).unwrap();
    let unused = ops::exp(&g, &y).unwrap();
    let z = ops::scale(&g, &y, 3.0).unwrap();
    let loss = ops::sum_all(&g, &z).unwrap();
    let mut grads = g.backward(&loss).unwrap();
    assert!(grads.take(&x).unwrap().iter().all(|&gx| gx == 6.0));
    for inner in [&y, &unused, &z] {
        // Used up by their own backward steps, or never there: zeros, freshly made.
        assert!(grads.take(inner).unwrap().iter().all(|&gy| gy == 0.0));
    }
}

#[test]
#[ignore = "a timing, run by hand"]
fn time_of_a_step_of_four_blocks() {
    let shape = AttentionShape {
        batch: 32,
        queries: 40,
        keys: 40,
        heads: 4,
        kv_heads: 4,
        head_dim: 64,
    };
    let blocks: Vec<Block> = (0..4).map(|i| Block::new(256, Seed::new(i))).collect();
    let x = variable((32 * 40, 256), Seed::new(9));
    on_threads(2, || {
        for _ in 0..8 {
            let watch = crate::clock::Stopwatch::start();
            let g = Graph::training(&Cpu::default(), Seed::new(3));
            let mut y = x.clone();
            for block in &blocks {
                y = block.forward(&g, &y, &shape, &Mask::full()).unwrap();
            }
            let loss = ops::mean_all(&g, &ops::square(&g, &y).unwrap()).unwrap();
            let forward = watch.seconds();
            let grads = g.backward(&loss).unwrap();
            println!("forward {forward:.3} s, step {:.3} s", watch.seconds());
            drop(grads);
        }
    });
}
