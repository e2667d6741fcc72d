//! Exit codes.

/// How the program ends. The numbers are part of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything that was asked for is done; for `plan`: everything is fresh.
    Done,
    /// A stage failed or could not run.
    StageFailed,
    /// The command line or the pipeline is wrong. With `plan --exit-code`: something would run.
    Wrong,
    /// Files, cache or device: something outside the pipeline.
    Environment,
    /// A bug of this program.
    Bug,
    /// Stopped by a person.
    Interrupted,
}

impl ExitStatus {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::StageFailed => 1,
            Self::Wrong => 2,
            Self::Environment => 3,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

impl ExitStatus {
    /// What `program` returns. A panic has printed its message; the status tells scripts that it is a bug and no wrong
    /// input.
    pub fn guard(program: impl FnOnce() -> Self + std::panic::UnwindSafe) -> Self {
        std::panic::catch_unwind(program).unwrap_or(Self::Bug)
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_and_not_a_wrong_input() {
        assert_eq!(ExitStatus::guard(|| panic!("a bug")).code(), 70);
        assert_eq!(ExitStatus::guard(|| ExitStatus::Wrong).code(), 2);
    }
}
