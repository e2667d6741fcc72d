//! Everything that can end the program, with its exit code and what to do next.

use super::ExitStatus;
use crate::artifact::StoreError;
use crate::exec::ExecError;
use crate::fetch::FetchError;
use crate::graph::GraphError;
use crate::plan::PlanError;
use crate::spec::SpecErrors;
use std::error::Error;

const BUG: &str =
    "this is a bug of ilm-pipe, not of the pipeline; please report it with the pipeline file";

/// A closed list of what can end the program.
#[derive(Debug)]
pub enum Failure {
    /// The pipeline is wrong.
    Spec(Box<SpecErrors>),
    /// The stages make no graph although the pipeline was checked.
    Graph(GraphError),
    /// The command line is wrong: message and hint.
    Usage(String, Option<String>),
    /// Stages could not be judged.
    Plan(Vec<PlanError>),
    /// The run as a whole broke off.
    Exec(ExecError),
    /// The cache cannot be used.
    Store(StoreError),
    /// A data set could not be fetched.
    Fetch(FetchError),
    /// The device cannot be used, or does not compute as it should: message and hint.
    Device(String, Option<String>),
    /// Standard output, the current folder and the like.
    Io(std::io::Error),
}

impl Failure {
    /// The exit code.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Spec(_) | Self::Usage(..) => ExitStatus::Wrong,
            Self::Graph(_) => ExitStatus::Bug,
            Self::Fetch(FetchError::Unknown { .. } | FetchError::Wrong { .. }) => ExitStatus::Wrong,
            Self::Fetch(FetchError::Stopped(_)) => ExitStatus::Interrupted,
            Self::Fetch(_) => ExitStatus::Environment,
            Self::Plan(_) | Self::Exec(_) | Self::Store(_) | Self::Io(_) | Self::Device(..) => {
                ExitStatus::Environment
            }
        }
    }

    /// The message for people.
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Spec(errors) => errors.render(colour),
            Self::Usage(message, hint) | Self::Device(message, hint) => {
                titled(message, hint.as_deref())
            }
            Self::Plan(errors) => errors
                .iter()
                .map(|error| titled(&chain(error), error.hint()))
                .collect::<Vec<_>>()
                .join("\n\n"),
            Self::Graph(error) => titled(&chain(error), Some(BUG)),
            Self::Exec(error) => titled(&chain(error), error.hint()),
            Self::Store(error) => titled(&chain(error), error.hint()),
            Self::Fetch(error) => titled(&chain(error), error.hint().as_deref()),
            Self::Io(error) => titled(&chain(error), None),
        }
    }
}

fn titled(message: &str, hint: Option<&str>) -> String {
    hint.map_or_else(
        || format!("error: {message}"),
        |hint| format!("error: {message}\nhint: {hint}"),
    )
}

/// The message and, after a colon each, its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl From<SpecErrors> for Failure {
    fn from(errors: SpecErrors) -> Self {
        Self::Spec(Box::new(errors))
    }
}

impl From<Vec<PlanError>> for Failure {
    fn from(errors: Vec<PlanError>) -> Self {
        Self::Plan(errors)
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        Self::Exec(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
