//! The kinds of stage: what each takes, what it makes, and the code between.
//!
//! One file a kind. A kind is a struct that holds the stage's parameters (serde, unknown keys refused, every default
//! in the struct) and implements [`Stage`]. To add one: write the file, add a row to [`registry()`]. The rooms of the
//! pipeline (`spec`, `plan`, `exec`) know kinds only as [`Kind`] and [`AnyStage`].

mod backbone;
mod baselines;
mod combine;
mod command;
mod context;
mod device;
mod embed_text;
mod error;
mod evaluate;
mod fit_cf;
mod fit_encoder;
mod fit_sasrec;
mod generate;
mod ingest;
mod kind;
mod language_io;
#[cfg(test)]
mod language_tests;
mod openp5;
mod pairs;
mod phase_1;
mod phase_2;
mod pretrained_encoder;
mod pretrained_files;
mod pretrained_language_model;
mod prompts;
mod rank;
mod ranking_table;
#[cfg(test)]
mod ranking_tests;
mod registry;
mod sentences;
mod split;
mod statistics;
mod table;
mod tasks;
mod texts;
mod tokenizer;
mod training;
#[cfg(test)]
mod vectors_tests;

pub use context::{InputArtifact, StageContext};
pub use error::StageError;
pub use kind::{AnyStage, Arity, ArtifactKind, Kind, Port, Problem, SourceFile, Stage};
pub use registry::{find, registry};
