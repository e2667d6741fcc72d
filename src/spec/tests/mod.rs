//! The room as a whole: what files mean, and what a person reads when one is wrong.

mod arms;
mod expanding;
mod messages;
mod properties;
mod resolving;
mod sweeping;
mod wiring;
