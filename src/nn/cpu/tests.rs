//! The same bits on any number of threads, and how fast it is.

use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::testing::variable;
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
