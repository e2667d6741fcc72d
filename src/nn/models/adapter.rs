//! From an item's vectors to soft tokens that a language model reads.
//!
//! Two networks do it: a two-layer MLP, as in ELM (Tennenholtz et al. 2024), or a Q-Former, as in BLIP-2 and ILM. Each ends in one
//! linear layer into the width of the language model, times a constant that gives the soft tokens the size of that model's own
//! token embeddings at the start: decoders have embeddings far smaller than a layer norm's output, and soft tokens of
//! another size than every other input drown them. The constant stays outside the weights, so that an optimiser's step of a given
//! size moves a soft token by the same share of its length whatever that size is. (With the
//! size in the weights, one AdamW step of 1e-3 on a wide MLP would move a soft token by many times its length: a
//! calculation from the sizes.)

use super::llama::rms;
use super::qformer::{ItemBatch, QformerConfig, QuerySide, TokenTable};
use crate::nn::layers::Linear;
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param, count, join, ops};
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// Items on which the first size of the soft tokens is measured.
const SAMPLE: usize = 512;

/// Sizes of an adapter, as stored in `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// The network before the last layer.
    pub network: NetworkConfig,
    /// Tokens of an item in the input, M.
    pub item_tokens: usize,
    /// Width of a token of an item, d.
    pub d_item: usize,
    /// Width of the language model.
    pub d_language: usize,
    /// What the last layer's output is multiplied by. Constant in training.
    pub output_scale: f32,
}

/// Which network reads the item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkConfig {
    /// A layer with GELU over all numbers of an item, before the last layer.
    Mlp {
        /// Width between the two layers.
        hidden: usize,
        /// Soft tokens of an item.
        soft_tokens: usize,
    },
    /// The query side of a Q-Former; its queries become the soft tokens.
    Qformer(QformerConfig),
}

impl AdapterConfig {
    /// Soft tokens of an item.
    pub fn soft_tokens(&self) -> usize {
        match &self.network {
            NetworkConfig::Mlp { soft_tokens, .. } => *soft_tokens,
            NetworkConfig::Qformer(config) => config.queries,
        }
    }

    /// Numbers in an MLP of these sizes.
    pub fn mlp_parameters(&self, hidden: usize, soft_tokens: usize) -> usize {
        let (inputs, outputs) = (
            self.item_tokens * self.d_item,
            soft_tokens * self.d_language,
        );
        hidden * (inputs + 1) + outputs * (hidden + 1)
    }

    /// The hidden width with which an MLP comes nearest to `parameters` numbers, at least 1.
    ///
    /// Off by at most half of one hidden unit's numbers, so within 1 % whenever the target is above
    /// `50·(inputs + outputs + 1)`.
    pub fn matching_hidden(&self, parameters: usize, soft_tokens: usize) -> usize {
        let per_unit = self.mlp_parameters(1, soft_tokens) - self.mlp_parameters(0, soft_tokens);
        let rest = parameters.saturating_sub(self.mlp_parameters(0, soft_tokens));
        ((rest + per_unit / 2) / per_unit).max(1)
    }
}

/// An adapter.
#[derive(Debug)]
pub struct Adapter<D: Backend> {
    network: Network<D>,
    /// The last layer: `language_projection` in Hugging Face's BLIP-2.
    projection: Linear<D>,
    config: AdapterConfig,
}

#[derive(Debug)]
enum Network<D: Backend> {
    Mlp(Box<Linear<D>>),
    Qformer(Box<QuerySide<D>>),
}

impl<D: Backend> Module<D> for Adapter<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        match &self.network {
            Network::Mlp(hidden) => hidden.visit(&join(prefix, "hidden"), f),
            Network::Qformer(queries) => queries.visit(prefix, f),
        }
        self.projection
            .visit(&join(prefix, "language_projection"), f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        match &mut self.network {
            Network::Mlp(hidden) => hidden.visit_mut(&join(prefix, "hidden"), f),
            Network::Qformer(queries) => queries.visit_mut(prefix, f),
        }
        self.projection
            .visit_mut(&join(prefix, "language_projection"), f);
    }
}

impl<D: Backend> Adapter<D> {
    /// Makes an adapter with random weights.
    pub fn new(device: &D, config: &AdapterConfig, seed: Seed) -> Result<Self, NnError> {
        let network = match &config.network {
            NetworkConfig::Mlp { hidden, .. } => {
                let inputs = config.item_tokens * config.d_item;
                // Item tokens have unit RMS, so this keeps the hidden layer at unit RMS, too.
                let std = 1.0 / (inputs as f32).sqrt();
                let seed = seed.child("hidden");
                Network::Mlp(Box::new(Linear::new(
                    device, inputs, *hidden, true, std, seed,
                )?))
            }
            NetworkConfig::Qformer(qformer) => Network::Qformer(Box::new(QuerySide::new(
                qformer,
                device,
                seed.child("qformer"),
            )?)),
        };
        Self::with_network(device, config, network, seed)
    }

    /// Makes an adapter from the query side of a trained Q-Former, with a random last layer and the output scale 1.
    pub fn from_queries(
        device: &D,
        queries: QuerySide<D>,
        item_tokens: usize,
        d_language: usize,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let config = AdapterConfig {
            item_tokens,
            d_item: queries.config().d_item,
            d_language,
            output_scale: 1.0,
            network: NetworkConfig::Qformer(queries.config().clone()),
        };
        Self::with_network(device, &config, Network::Qformer(Box::new(queries)), seed)
    }

    fn with_network(
        device: &D,
        config: &AdapterConfig,
        network: Network<D>,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let (inputs, outputs) = match &config.network {
            NetworkConfig::Mlp {
                hidden,
                soft_tokens,
            } => (*hidden, soft_tokens * config.d_language),
            NetworkConfig::Qformer(qformer) => (qformer.d_model, config.d_language),
        };
        let std = 1.0 / (inputs as f32).sqrt();
        let seed = seed.child("projection");
        Ok(Self {
            network,
            projection: Linear::new(device, inputs, outputs, true, std, seed)?,
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Soft tokens of an item.
    pub fn soft_tokens(&self) -> usize {
        self.config.soft_tokens()
    }

    /// Numbers in the adapter.
    pub fn parameters(&self) -> usize {
        count(self).0
    }

    /// Soft tokens of the given items, `[items·soft_tokens, d_language]`: those of an item beside one another.
    pub fn forward(
        &self,
        g: &Graph<D>,
        table: &TokenTable,
        items: &[u32],
    ) -> Result<Matrix<D>, NnError> {
        let config = &self.config;
        if (table.tokens, table.width) != (config.item_tokens, config.d_item) {
            return Err(NnError::shape(
                "adapter",
                format!(
                    "an item has {} tokens of {} numbers, but the adapter reads {} of {}",
                    table.tokens, table.width, config.item_tokens, config.d_item
                ),
            ));
        }
        let soft = match &self.network {
            Network::Mlp(hidden) => {
                let shape = (items.len(), table.tokens * table.width);
                let x = g.constant(table.rows(items), shape)?;
                let h = ops::gelu(g, &hidden.forward(g, &x)?)?;
                let wide = self.projection.forward(g, &h)?;
                self.rows_of_tokens(g, &wide)?
            }
            Network::Qformer(queries) => {
                let batch = ItemBatch::new(g.device(), table, items)?;
                self.projection.forward(g, &queries.forward(g, &batch)?)?
            }
        };
        ops::scale(g, &soft, config.output_scale)
    }

    /// `[n, soft_tokens·d]` to `[n·soft_tokens, d]`.
    fn rows_of_tokens(&self, g: &Graph<D>, wide: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let (tokens, d) = (self.soft_tokens(), self.config.d_language);
        if tokens == 1 {
            return Ok(wide.clone());
        }
        let parts = (0..tokens)
            .map(|t| ops::columns(g, wide, t * d, d))
            .collect::<Result<Vec<_>, _>>()?;
        let stacked = ops::concat_rows(g, &parts.iter().collect::<Vec<_>>())?;
        let n = wide.rows();
        let rows: Vec<usize> = (0..n)
            .flat_map(|item| (0..tokens).map(move |t| t * n + item))
            .collect();
        ops::gather_rows(g, &stacked, &rows)
    }

    /// Sets the output scale so that the soft tokens of the first 512 items of `table` have the root mean square
    /// `target`.
    pub fn scale_output_to(
        &mut self,
        device: &D,
        table: &TokenTable,
        target: f32,
    ) -> Result<(), NnError> {
        let items: Vec<u32> = (0..table.count.min(SAMPLE) as u32).collect();
        let found = rms(&self
            .forward(&Graph::inference(device), table, &items)?
            .to_vec());
        if !(found > 0.0 && found.is_finite()) {
            return Err(NnError::setting(
                "items",
                format!(
                    "give soft tokens of size {found}, but their vectors must be finite and not all zero"
                ),
            ));
        }
        self.config.output_scale *= target / found;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::tensor::Cpu;

    fn table(count: usize, tokens: usize, width: usize) -> TokenTable {
        let data = (0..count * tokens * width)
            .map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 1.7)
            .collect();
        TokenTable {
            count,
            tokens,
            width,
            data,
        }
    }

    fn mlp(soft_tokens: usize) -> AdapterConfig {
        AdapterConfig {
            network: NetworkConfig::Mlp {
                hidden: 24,
                soft_tokens,
            },
            item_tokens: 2,
            d_item: 6,
            d_language: 10,
            output_scale: 1.0,
        }
    }

    fn qformer() -> AdapterConfig {
        AdapterConfig {
            network: NetworkConfig::Qformer(QformerConfig {
                d_model: 16,
                layers: 2,
                heads: 2,
                d_ff: 32,
                queries: 3,
                d_item: 6,
                vocab: 8,
                projection: 8,
                ..QformerConfig::default()
            }),
            ..mlp(1)
        }
    }

    #[test]
    fn soft_tokens_start_at_the_size_of_token_embeddings() {
        let device = Cpu::default();
        let table = table(40, 2, 6);
        let items: Vec<u32> = (0..40).collect();
        for config in [mlp(1), mlp(3), qformer()] {
            let mut adapter = Adapter::new(&device, &config, Seed::new(5)).unwrap();
            adapter.scale_output_to(&device, &table, 0.035).unwrap();
            let soft = adapter
                .forward(&Graph::inference(&device), &table, &items)
                .unwrap();
            assert_eq!(soft.shape(), (40 * config.soft_tokens(), 10));
            let size = rms(&soft.to_vec());
            assert!((size / 0.035 - 1.0).abs() < 1e-3, "{size}");
        }
    }

    #[test]
    fn tokens_of_an_item_lie_beside_one_another_and_depend_on_it_alone() {
        let device = Cpu::default();
        let table = table(9, 2, 6);
        for config in [mlp(3), qformer()] {
            let adapter = Adapter::new(&device, &config, Seed::new(1)).unwrap();
            let g = Graph::inference(&device);
            let all = adapter.forward(&g, &table, &[4, 7, 2]).unwrap().to_vec();
            let one = adapter.forward(&g, &table, &[7]).unwrap().to_vec();
            let size = config.soft_tokens() * 10;
            for (a, b) in all[size..2 * size].iter().zip(&one) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }

    #[test]
    fn an_mlp_of_equal_size_is_within_one_per_cent() {
        let config = AdapterConfig {
            item_tokens: 2,
            d_item: 64,
            d_language: 128,
            ..mlp(1)
        };
        for parameters in [30_000, 250_000, 812_345] {
            let hidden = config.matching_hidden(parameters, 1);
            let found = config.mlp_parameters(hidden, 1);
            let off = found.abs_diff(parameters) as f64 / parameters as f64;
            assert!(off < 0.01, "{found} for {parameters}");
            let sized = AdapterConfig {
                network: NetworkConfig::Mlp {
                    hidden,
                    soft_tokens: 1,
                },
                ..config.clone()
            };
            let adapter = Adapter::new(&Cpu::default(), &sized, Seed::new(0)).unwrap();
            assert_eq!(adapter.parameters(), found);
        }
    }

    #[test]
    fn other_vectors_than_the_adapter_reads_are_refused() {
        let device = Cpu::default();
        let adapter = Adapter::new(&device, &mlp(1), Seed::new(1)).unwrap();
        let error = adapter
            .forward(&Graph::inference(&device), &table(3, 1, 6), &[0])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`adapter`: an item has 1 tokens of 6 numbers, but the adapter reads 2 of 6"
        );
    }
}
