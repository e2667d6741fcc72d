//! Every kind of stage, one row each.

use super::Kind;
use super::backbone::Backbone;
use super::generate::Generate;
use super::phase_2::Phase2;

const REGISTRY: &[Kind] = &[
    Kind::of::<Backbone>(),
    Kind::of::<Phase2>(),
    Kind::of::<Generate>(),
];

/// Every kind, in the order in which a pipeline usually has them.
pub fn registry() -> &'static [Kind] {
    REGISTRY
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    REGISTRY.iter().find(|kind| kind.name == name)
}
