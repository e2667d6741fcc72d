//! Why stages make no graph.

/// A pipeline that did not come out of `spec::load`, which checks all of this with places.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// Two stages of one id.
    #[error("two stages have the id `{id}`")]
    RepeatedId {
        /// The id.
        id: String,
    },
    /// An input that is no stage.
    #[error(
        "stage `{stage}`: the input `{port}` names `{input}`, which is no stage of the pipeline"
    )]
    UnknownStage {
        /// The stage with the input.
        stage: String,
        /// The port.
        port: String,
        /// The unknown id.
        input: String,
    },
    /// Stages that wait for one another.
    #[error("stage `{stage}` waits for its own output")]
    Cycle {
        /// One of them.
        stage: String,
    },
}
