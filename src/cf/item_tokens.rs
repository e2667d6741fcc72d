//! Item vectors as tokens: what a Q-Former's cross-attention or an MLP adapter reads.
//!
//! A single key/value token makes cross-attention degenerate: the softmax over one key is 1, so queries and keys
//! get no gradient and the item only adds a constant. Two sources (behavioural and semantic) or a vector cut into
//! `chunks` give several tokens an item, and attention that can choose.

use super::CfError;
use crate::formats::tensors::{self, Array};
use std::collections::BTreeMap;
use std::path::Path;

/// Tokens of items and users.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemTokens {
    /// `[n_items, tokens, width]`.
    pub items: Array,
    /// `[n_users, chunks, width]`, where the input has user vectors.
    pub users: Option<Array>,
}

impl ItemTokens {
    /// Writes `items` and, where there are any, `users`.
    pub fn save(&self, path: &Path) -> Result<(), CfError> {
        let mut arrays = BTreeMap::from([("items".to_owned(), self.items.clone())]);
        arrays.extend(self.users.clone().map(|users| ("users".to_owned(), users)));
        tensors::write(path, &arrays)?;
        Ok(())
    }

    /// Reads what [`ItemTokens::save`] wrote.
    pub fn load(path: &Path) -> Result<Self, CfError> {
        let items = tensors::read_one(path, "items", 3)?;
        let has_users = tensors::read(path)?.contains_key("users");
        let users = has_users
            .then(|| tensors::read_one(path, "users", 3))
            .transpose()?;
        Ok(Self { items, users })
    }
}

/// Item vectors from one source.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The source's name in messages.
    pub name: &'static str,
    /// `[n_items, d]`.
    pub items: &'a Array,
}

impl Source<'_> {
    /// Returns what the vectors are multiplied with so that their numbers have the root mean square 1 over the
    /// catalogue.
    pub fn scale(&self) -> Result<f64, CfError> {
        let sum: f64 = self.items.data.iter().map(|&x| f64::from(x).powi(2)).sum();
        let rms = (sum / self.items.data.len() as f64).sqrt();
        if !(rms > 0.0 && rms.is_finite()) {
            return Err(CfError::NoScale {
                source_name: self.name,
                rms,
            });
        }
        Ok(1.0 / rms)
    }
}

/// Turns the vectors of `sources` into tokens: scales each source to unit root mean square, cuts each vector into `chunks`
/// tokens of (nearly) equal width, and pads all tokens with zeros to the width of the widest.
///
/// `users` are user vectors with the source whose scale they share.
pub fn combine(
    sources: &[Source<'_>],
    users: Option<(Source<'_>, &Array)>,
    chunks: usize,
) -> Result<ItemTokens, CfError> {
    let n_items = sources[0].items.shape[0];
    for source in sources {
        let found = source.items.shape[0];
        if found != n_items {
            return Err(CfError::ItemCounts {
                first: sources[0].name,
                first_items: n_items,
                second: source.name,
                second_items: found,
            });
        }
    }
    let mut width = 0;
    for source in sources
        .iter()
        .chain(users.as_ref().map(|(source, _)| source))
    {
        let d = source.items.shape[1];
        if chunks > d {
            return Err(CfError::Chunks {
                chunks,
                source_name: source.name,
                width: d,
            });
        }
        width = width.max(d.div_ceil(chunks));
    }
    let tokens = sources.len() * chunks;
    let mut items = Array::new(
        &[n_items, tokens, width],
        vec![0.0; n_items * tokens * width],
    );
    for (place, source) in sources.iter().enumerate() {
        let scale = source.scale()?;
        let rows = items.data.chunks_exact_mut(tokens * width);
        for (to, from) in rows.zip(source.items.data.chunks_exact(source.items.shape[1])) {
            let to = &mut to[place * chunks * width..][..chunks * width];
            cut(from, scale, chunks, width, to);
        }
    }
    let users = users
        .map(|(source, vectors)| {
            let scale = source.scale()?;
            let (n, d) = (vectors.shape[0], vectors.shape[1]);
            let mut users = Array::new(&[n, chunks, width], vec![0.0; n * chunks * width]);
            let rows = users.data.chunks_exact_mut(chunks * width);
            for (to, from) in rows.zip(vectors.data.chunks_exact(d)) {
                cut(from, scale, chunks, width, to);
            }
            Ok::<_, CfError>(users)
        })
        .transpose()?;
    Ok(ItemTokens { items, users })
}

/// Cuts a vector into `chunks` parts, the first `d % chunks` of them one longer, and writes them to the starts of tokens.
fn cut(vector: &[f32], scale: f64, chunks: usize, width: usize, tokens: &mut [f32]) {
    let (short, longer) = (vector.len() / chunks, vector.len() % chunks);
    let mut rest = vector;
    for (place, token) in tokens.chunks_exact_mut(width).enumerate() {
        let (part, after) = rest.split_at(short + usize::from(place < longer));
        rest = after;
        for (to, from) in token.iter_mut().zip(part) {
            *to = (f64::from(*from) * scale) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], data: &[f32]) -> Array {
        Array::new(shape, data.to_vec())
    }

    #[test]
    fn two_sources_become_two_scaled_padded_tokens() {
        // Root mean squares 2 and 1 / 2.
        let cf = array(&[2, 2], &[2.0, -2.0, 2.0, 2.0]);
        let text = array(&[2, 1], &[0.5, -0.5]);
        let users = array(&[1, 2], &[6.0, 0.0]);
        let behavioural = Source {
            name: "behavioural",
            items: &cf,
        };
        let semantic = Source {
            name: "semantic",
            items: &text,
        };
        let tokens = combine(&[behavioural, semantic], Some((behavioural, &users)), 1).unwrap();
        assert_eq!(
            tokens.items,
            array(&[2, 2, 2], &[1.0, -1.0, 1.0, 0.0, 1.0, 1.0, -1.0, 0.0])
        );
        // Users share the scale of the items they are compared with.
        assert_eq!(tokens.users, Some(array(&[1, 1, 2], &[3.0, 0.0])));
    }

    #[test]
    fn a_vector_is_cut_into_tokens() {
        let cf = array(&[1, 5], &[1.0, 1.0, -1.0, 1.0, -1.0]);
        let source = Source {
            name: "behavioural",
            items: &cf,
        };
        let tokens = combine(&[source], Some((source, &cf)), 3).unwrap();
        let wanted = array(&[1, 3, 2], &[1.0, 1.0, -1.0, 1.0, -1.0, 0.0]);
        assert_eq!(tokens.items, wanted);
        assert_eq!(tokens.users, Some(wanted));
    }

    #[test]
    fn tokens_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("item_tokens.safetensors");
        for users in [None, Some(array(&[1, 1, 2], &[3.0, 0.0]))] {
            let tokens = ItemTokens {
                items: array(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
                users,
            };
            tokens.save(&path).unwrap();
            assert_eq!(ItemTokens::load(&path).unwrap(), tokens);
        }
    }

    #[test]
    fn vectors_that_do_not_fit_are_named() {
        let two = array(&[2, 1], &[1.0, 2.0]);
        let one = array(&[1, 1], &[1.0]);
        let zero = array(&[1, 1], &[0.0]);
        let a = Source {
            name: "behavioural",
            items: &two,
        };
        let b = Source {
            name: "semantic",
            items: &one,
        };
        let z = Source {
            name: "semantic",
            items: &zero,
        };
        insta::assert_snapshot!(
            combine(&[a, b], None, 1).unwrap_err(),
            @"`behavioural` has 2 items, but `semantic` has 1"
        );
        insta::assert_snapshot!(
            combine(&[a], None, 2).unwrap_err(),
            @"`chunks` is 2, but the `behavioural` vectors have only 1 numbers"
        );
        insta::assert_snapshot!(
            combine(&[z], None, 1).unwrap_err(),
            @"the `semantic` vectors have the root mean square 0, so they cannot be scaled to 1"
        );
    }
}
