//! Every kind of stage, one row each.

use super::Kind;
use super::evaluate::Evaluate;
use super::ingest::Ingest;
use super::pairs::Pairs;
use super::split::Split;
use super::table::Table;
use super::tasks::Tasks;

const REGISTRY: &[Kind] = &[
    Kind::of::<Ingest>(),
    Kind::of::<Split>(),
    Kind::of::<Pairs>(),
    Kind::of::<Tasks>(),
    Kind::of::<Evaluate>(),
    Kind::of::<Table>(),
];

/// Every kind, in the order in which a pipeline usually has them.
pub fn registry() -> &'static [Kind] {
    REGISTRY
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    REGISTRY.iter().find(|kind| kind.name == name)
}
