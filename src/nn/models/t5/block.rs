//! A stack of blocks: the encoder or the decoder.

use super::T5Config;
use crate::module;
use crate::nn::layers::{Embedding, Linear, RmsNorm};
use crate::nn::models::activation::Activation;
use crate::nn::models::cache::Cache;
use crate::nn::ops::{self, AttentionShape, Mask, MaskKind};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param, join};
use crate::seed::Seed;

/// What a decoder reads.
pub(super) struct Memory<'a, D: Backend> {
    /// `[B·T, d]`.
    pub states: &'a Matrix<D>,
    /// Tokens of each text.
    pub lengths: &'a [usize],
}

/// Attention without biases and without a scale.
#[derive(Debug)]
struct Attention<D: Backend> {
    q: Linear<D>,
    k: Linear<D>,
    v: Linear<D>,
    o: Linear<D>,
}

module!(Attention {
    q: "q",
    k: "k",
    v: "v",
    o: "o"
});

impl<D: Backend> Attention<D> {
    fn new(device: &D, config: &T5Config, seed: Seed) -> Result<Self, NnError> {
        let (d, inner) = (config.d_model, config.inner());
        let factor = config.initializer_factor as f32;
        // Mesh TensorFlow's: queries also make up for the scale that scores lack.
        let wide = factor * (d as f32).powf(-0.5);
        let query = factor * ((d * config.d_kv) as f32).powf(-0.5);
        let out = factor * (inner as f32).powf(-0.5);
        let linear =
            |name: &str, from, to, std| Linear::new(device, from, to, false, std, seed.child(name));
        Ok(Self {
            q: linear("q", d, inner, query)?,
            k: linear("k", d, inner, wide)?,
            v: linear("v", d, inner, wide)?,
            o: linear("o", inner, d, out)?,
        })
    }

    /// Keys and values of what is read.
    fn open(&self, g: &Graph<D>, memory: &Matrix<D>) -> Result<KeysValues<D>, NnError> {
        Ok((self.k.forward(g, memory)?, self.v.forward(g, memory)?))
    }

    /// Lets `x` read keys and values; `bias` `[queries·keys, heads]` is added to the scores.
    fn read(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        (k, v): (&Matrix<D>, &Matrix<D>),
        bias: Option<&Matrix<D>>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Result<Matrix<D>, NnError> {
        let q = self.q.forward(g, x)?;
        let read = if let Some(bias) = bias {
            ops::biased_attention(g, &q, k, v, bias, shape, mask)?
        } else {
            // Undoes the scale of the usual attention.
            let q = ops::scale(g, &q, (shape.head_dim as f32).sqrt())?;
            ops::attention(g, &q, k, v, shape, mask)?
        };
        self.o.forward(g, &read)
    }
}

type KeysValues<D> = (Matrix<D>, Matrix<D>);

/// What a decoder has computed of some texts: keys and values of what it reads, and of what it has written.
#[derive(Debug)]
pub struct State<D: Backend> {
    /// Of each block's cross-attention, `[B·T, inner]` each.
    memory: Vec<KeysValues<D>>,
    /// Tokens of each text that is read.
    lengths: Vec<usize>,
    /// All texts have equally many written tokens.
    written: Cache<D>,
}

impl<D: Backend> State<D> {
    /// Keeps only the given texts, in the given order.
    pub fn keep(&mut self, g: &Graph<D>, texts: &[usize]) -> Result<(), NnError> {
        for (k, v) in &mut self.memory {
            let width = k.rows() / self.lengths.len();
            let rows: Vec<usize> = texts
                .iter()
                .flat_map(|&b| b * width..(b + 1) * width)
                .collect();
            *k = ops::gather_rows(g, k, &rows)?;
            *v = ops::gather_rows(g, v, &rows)?;
        }
        self.lengths = texts.iter().map(|&b| self.lengths[b]).collect();
        self.written.keep(g, texts)
    }
}

/// Self-attention, in a decoder cross-attention, and a feed-forward block, each after a norm and inside a residual.
#[derive(Debug)]
struct Block<D: Backend> {
    attention: Attention<D>,
    attention_norm: RmsNorm<D>,
    cross: Option<(Attention<D>, RmsNorm<D>)>,
    /// `wi`, or with a gate `wi_0` and `wi_1`.
    up: Vec<Linear<D>>,
    down: Linear<D>,
    norm: RmsNorm<D>,
}

impl<D: Backend> Block<D> {
    /// The names of the parts below a block: where the feed-forward block is, and the names of its first layers.
    fn names(&self, prefix: &str) -> (String, Vec<String>) {
        let place = if self.cross.is_some() {
            "layer.2"
        } else {
            "layer.1"
        };
        let feed_forward = join(prefix, place);
        let dense = join(&feed_forward, "DenseReluDense");
        let up = if self.up.len() == 1 {
            vec![join(&dense, "wi")]
        } else {
            vec![join(&dense, "wi_0"), join(&dense, "wi_1")]
        };
        (feed_forward, up)
    }
}

impl<D: Backend> Module<D> for Block<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        self.attention
            .visit(&join(prefix, "layer.0.SelfAttention"), f);
        self.attention_norm
            .visit(&join(prefix, "layer.0.layer_norm"), f);
        if let Some((cross, norm)) = &self.cross {
            cross.visit(&join(prefix, "layer.1.EncDecAttention"), f);
            norm.visit(&join(prefix, "layer.1.layer_norm"), f);
        }
        let (place, names) = self.names(prefix);
        for (up, name) in self.up.iter().zip(names) {
            up.visit(&name, f);
        }
        self.down.visit(&join(&place, "DenseReluDense.wo"), f);
        self.norm.visit(&join(&place, "layer_norm"), f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        let (place, names) = self.names(prefix);
        self.attention
            .visit_mut(&join(prefix, "layer.0.SelfAttention"), f);
        self.attention_norm
            .visit_mut(&join(prefix, "layer.0.layer_norm"), f);
        if let Some((cross, norm)) = &mut self.cross {
            cross.visit_mut(&join(prefix, "layer.1.EncDecAttention"), f);
            norm.visit_mut(&join(prefix, "layer.1.layer_norm"), f);
        }
        for (up, name) in self.up.iter_mut().zip(names) {
            up.visit_mut(&name, f);
        }
        self.down.visit_mut(&join(&place, "DenseReluDense.wo"), f);
        self.norm.visit_mut(&join(&place, "layer_norm"), f);
    }
}

impl<D: Backend> Block<D> {
    fn new(device: &D, config: &T5Config, decoder: bool, seed: Seed) -> Result<Self, NnError> {
        let (d, ff) = (config.d_model, config.d_ff);
        let (_, gated) = config.activation()?;
        let factor = config.initializer_factor as f32;
        let norm = || RmsNorm::new(device, d, config.layer_norm_epsilon as f32);
        let up = |name: &str| {
            let std = factor * (d as f32).powf(-0.5);
            Linear::new(device, d, ff, false, std, seed.child(name))
        };
        let std = factor * (ff as f32).powf(-0.5);
        Ok(Self {
            attention: Attention::new(device, config, seed.child("attention"))?,
            attention_norm: norm()?,
            cross: if decoder {
                Some((
                    Attention::new(device, config, seed.child("cross"))?,
                    norm()?,
                ))
            } else {
                None
            },
            up: if gated {
                vec![up("wi_0")?, up("wi_1")?]
            } else {
                vec![up("wi")?]
            },
            down: Linear::new(device, ff, d, false, std, seed.child("wo"))?,
            norm: norm()?,
        })
    }

    fn feed_forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        activation: Activation,
    ) -> Result<Matrix<D>, NnError> {
        let n = self.norm.forward(g, x)?;
        let mut inner = activation.apply(g, &self.up[0].forward(g, &n)?)?;
        if let Some(linear) = self.up.get(1) {
            inner = ops::mul(g, &inner, &linear.forward(g, &n)?)?;
        }
        ops::add(g, x, &self.down.forward(g, &inner)?)
    }
}

/// Blocks, the bias by distance that they share, and the final norm.
#[derive(Debug)]
pub(super) struct Stack<D: Backend> {
    blocks: Vec<Block<D>>,
    bias: Embedding<D>,
    norm: RmsNorm<D>,
}

module!(Stack {
    blocks: "block",
    bias: "block.0.layer.0.SelfAttention.relative_attention_bias",
    norm: "final_layer_norm",
});

impl<D: Backend> Stack<D> {
    pub(super) fn new(
        device: &D,
        config: &T5Config,
        decoder: bool,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let count = if decoder {
            config.decoder_layers()
        } else {
            config.num_layers
        };
        let blocks = (0..count)
            .map(|i| Block::new(device, config, decoder, seed.child("block").at(i as u64)))
            .collect::<Result<_, _>>()?;
        let buckets = config.relative_attention_num_buckets;
        let std = (config.initializer_factor / (config.d_model as f64).sqrt()) as f32;
        Ok(Self {
            blocks,
            bias: Embedding::new(device, buckets, config.num_heads, std, seed.child("bias"))?,
            norm: RmsNorm::new(device, config.d_model, config.layer_norm_epsilon as f32)?,
        })
    }

    /// `[B·T, d]` to `[B·T, d]`, after the final norm. With a memory the stack is a decoder and sees no later positions.
    pub(super) fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        batch: usize,
        lengths: Option<&[usize]>,
        memory: Option<&Memory<'_, D>>,
        config: &T5Config,
    ) -> Result<Matrix<D>, NnError> {
        let width = x.rows() / batch.max(1);
        let shape = |keys| AttentionShape {
            batch,
            queries: width,
            keys,
            heads: config.num_heads,
            kv_heads: config.num_heads,
            head_dim: config.d_kv,
        };
        let decoder = memory.is_some();
        let mask = Mask {
            lengths: lengths.map(<[usize]>::to_vec),
            kind: if decoder {
                MaskKind::Causal
            } else {
                MaskKind::Full
            },
        };
        let buckets: Vec<u32> = (0..width)
            .flat_map(|query| (0..width).map(move |key| (query, key)))
            .map(|(query, key)| config.bucket(query, key, decoder) as u32)
            .collect();
        let bias = self.bias.forward(g, &buckets)?;
        let (activation, _) = config.activation()?;
        let mut x = x.clone();
        for block in &self.blocks {
            let n = block.attention_norm.forward(g, &x)?;
            let (k, v) = block.attention.open(g, &n)?;
            let attention = &block.attention;
            let read = attention.read(g, &n, (&k, &v), Some(&bias), &shape(width), &mask)?;
            x = ops::add(g, &x, &read)?;
            if let (Some(memory), Some((cross, norm))) = (memory, &block.cross) {
                let n = norm.forward(g, &x)?;
                let keys = memory.states.rows() / batch.max(1);
                let seen = Mask::padding(memory.lengths.to_vec());
                let (k, v) = cross.open(g, memory.states)?;
                let read = cross.read(g, &n, (&k, &v), None, &shape(keys), &seen)?;
                x = ops::add(g, &x, &read)?;
            }
            x = block.feed_forward(g, &x, activation)?;
        }
        self.norm.forward(g, &x)
    }

    /// Prepares to write texts that read `memory`.
    pub(super) fn open(&self, g: &Graph<D>, memory: &Memory<'_, D>) -> Result<State<D>, NnError> {
        let cross = self.blocks.iter().filter_map(|block| block.cross.as_ref());
        Ok(State {
            memory: cross
                .map(|(cross, _)| cross.open(g, memory.states))
                .collect::<Result<_, _>>()?,
            lengths: memory.lengths.to_vec(),
            written: Cache::new(self.blocks.len(), memory.lengths.len()),
        })
    }

    /// Runs one more token of each text: `x` `[B, d]` to `[B, d]`, after the final norm.
    pub(super) fn step(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        state: &mut State<D>,
        config: &T5Config,
    ) -> Result<Matrix<D>, NnError> {
        let batch = x.rows();
        let position = state.written.lengths().first().copied().unwrap_or(0);
        state.written.reserve(g)?;
        state.written.advance(&vec![1; batch]);
        let positions = vec![position as u32; batch];
        let seen = Mask::padding(state.written.lengths().to_vec());
        let read = Mask::padding(state.lengths.clone());
        let shape = |keys: &Matrix<D>| AttentionShape {
            batch,
            queries: 1,
            keys: keys.rows() / batch,
            heads: config.num_heads,
            kv_heads: config.num_heads,
            head_dim: config.d_kv,
        };
        let (activation, _) = config.activation()?;
        let mut x = x.clone();
        let mut bias = None;
        let layers = self.blocks.iter().zip(&mut state.written.layers);
        for ((block, written), memory) in layers.zip(&state.memory) {
            let n = block.attention_norm.forward(g, &x)?;
            let (k, v) = block.attention.open(g, &n)?;
            let (k, v) = written.extend(g, k, v, &positions)?;
            let shape_here = shape(&k);
            if bias.is_none() {
                let buckets: Vec<u32> = (0..shape_here.keys)
                    .map(|key| config.bucket(position, key.min(position), true) as u32)
                    .collect();
                bias = Some(self.bias.forward(g, &buckets)?);
            }
            let attention = &block.attention;
            let heard = attention.read(g, &n, (&k, &v), bias.as_ref(), &shape_here, &seen)?;
            x = ops::add(g, &x, &heard)?;
            if let Some((cross, norm)) = &block.cross {
                let n = norm.forward(g, &x)?;
                let (k, v) = memory;
                let heard = cross.read(g, &n, (k, v), None, &shape(k), &read)?;
                x = ops::add(g, &x, &heard)?;
            }
            x = block.feed_forward(g, &x, activation)?;
        }
        self.norm.forward(g, &x)
    }
}
