//! The sorted map that decides a result, and the key made from it.

use super::Hash;
use crate::stages::{Arity, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Raised when the meaning of fingerprints or the layout of artifacts changes.
const FORMAT: &str = "1";

/// Everything that a stage's result depends on: dotted names to JSON texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

/// One artifact that goes into a stage.
#[derive(Clone, Debug)]
pub struct InputHash<'a> {
    /// Content hash of the artifact.
    pub content: Hash,
    /// Values of the matrix of the stage that made it.
    pub matrix: &'a BTreeMap<String, String>,
}

impl Fingerprint {
    /// Starts the fingerprint of a stage: what is known before its inputs are.
    pub fn of_stage(kind: &Kind, params: &Value, seed: u64) -> Self {
        let mut leaves = BTreeMap::new();
        leaves.insert("format".to_owned(), FORMAT.to_owned());
        leaves.insert("kind".to_owned(), kind.name.to_owned());
        leaves.insert("version".to_owned(), kind.version.to_string());
        if kind.seeded {
            leaves.insert("seed".to_owned(), seed.to_string());
        }
        flatten("params", params, &mut leaves);
        Self(leaves)
    }

    /// Adds a file outside the cache.
    pub fn add_file(&mut self, path: &str, content: Hash) {
        self.0.insert(format!("files.{path}"), content.hex());
    }

    /// Adds the `index`-th artifact of a port.
    pub fn add_input(&mut self, port: &str, arity: Arity, index: usize, input: &InputHash<'_>) {
        let name = input_name(port, index);
        if arity.takes_many() {
            for (axis, value) in input.matrix {
                self.0
                    .insert(format!("{name}.matrix.{axis}"), value.clone());
            }
        }
        self.0.insert(name, input.content.hex());
    }

    /// The key: BLAKE3 over the length-prefixed entries in their sorted order.
    pub fn key(&self) -> Hash {
        static EMPTY: LazyLock<blake3::Hasher> =
            LazyLock::new(|| blake3::Hasher::new_derive_key("ilm-pipe stage key v1"));
        // Many small updates of the hasher cost more than one copy.
        let mut bytes = Vec::with_capacity(1024);
        for (name, value) in &self.0 {
            for text in [name, value] {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        EMPTY.clone().update(&bytes).finalize().into()
    }

    /// The entries, sorted by name.
    pub fn leaves(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// The name of the `index`-th artifact of a port.
pub fn input_name(port: &str, index: usize) -> String {
    format!("inputs.{port}[{index}]")
}

/// Writes every leaf of a JSON value under its dotted name. An empty list or table is a leaf of its own, so that
/// "empty" and "absent" differ.
fn flatten(name: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flatten(&format!("{name}.{key}"), value, leaves);
            }
        }
        Value::Array(list) if list.iter().any(|v| v.is_object() || v.is_array()) => {
            for (index, value) in list.iter().enumerate() {
                flatten(&format!("{name}[{index}]"), value, leaves);
            }
        }
        // A list of plain values is one leaf: `params.losses = ["itc","itm"]` reads better than four lines.
        _ => {
            leaves.insert(name.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn with_params(params: &Value) -> Fingerprint {
        let mut leaves = BTreeMap::new();
        flatten("params", params, &mut leaves);
        Fingerprint(leaves)
    }

    #[test]
    fn leaves_have_dotted_names() {
        let fingerprint = with_params(&json!({
            "a": {"b": 1, "c": []}, "list": [1, 2], "tables": [{"x": true}], "none": null
        }));
        let text: Vec<String> = fingerprint
            .leaves()
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        assert_eq!(
            text,
            [
                "params.a.b = 1",
                "params.a.c = []",
                "params.list = [1,2]",
                "params.none = null",
                "params.tables[0].x = true",
            ]
        );
    }

    #[test]
    fn the_key_does_not_run_names_and_values_together() {
        let one = Fingerprint(BTreeMap::from([("ab".into(), "c".into())]));
        let two = Fingerprint(BTreeMap::from([("a".into(), "bc".into())]));
        assert_ne!(one.key(), two.key());
    }

    proptest! {
        #[test]
        fn the_key_changes_exactly_when_a_leaf_changes(
            a in proptest::collection::btree_map("[a-c]{1,2}", 0..3_i32, 0..4),
            b in proptest::collection::btree_map("[a-c]{1,2}", 0..3_i32, 0..4),
        ) {
            let (x, y) = (with_params(&json!(a)), with_params(&json!(b)));
            prop_assert_eq!(a == b, x.key() == y.key());
        }
    }
}
