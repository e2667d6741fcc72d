//! Every kind of stage, one row each.

use super::Kind;
use super::ingest::Ingest;
use super::pairs::Pairs;
use super::split::Split;

const REGISTRY: &[Kind] = &[
    Kind::of::<Ingest>(),
    Kind::of::<Split>(),
    Kind::of::<Pairs>(),
];

/// Every kind, in the order in which a pipeline usually has them.
pub fn registry() -> &'static [Kind] {
    REGISTRY
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    REGISTRY.iter().find(|kind| kind.name == name)
}
