//! Every kind of stage, one row each.

use super::Kind;

const REGISTRY: &[Kind] = &[Kind::of::<super::phase_1::Phase1Stage>()];

/// Every kind, in the order in which a pipeline usually has them.
pub fn registry() -> &'static [Kind] {
    REGISTRY
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    REGISTRY.iter().find(|kind| kind.name == name)
}
