//! What an evaluation means for the training: which one was best, and whether it is worth going on.

/// The evaluated number by which a training is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judge {
    /// Its name, without `eval.`.
    pub name: &'static str,
    /// Whether a lower or a higher one is better.
    pub better: Better,
}

/// Which of two numbers is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
}

impl Judge {
    /// The loss on held-out data.
    pub const LOSS: Self = Self {
        name: "loss",
        better: Better::Lower,
    };
}

impl Better {
    /// Whether `new` is better than `old` by more than `delta`.
    fn is_better(self, new: f64, old: f64, delta: f64) -> bool {
        match self {
            Self::Lower => new < old - delta,
            Self::Higher => new > old + delta,
        }
    }
}

/// What is known of the evaluations so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Step and value of the best evaluation; of equal ones the first.
    pub best: Option<(u64, f64)>,
    /// The value that the last improvement by more than `min_delta` reached.
    pub reference: Option<f64>,
    /// Evaluations since then.
    pub waited: u64,
}

impl Judged {
    /// Takes note of an evaluation; returns whether it is the best so far.
    pub(super) fn note(&mut self, step: u64, value: f64, better: Better, min_delta: f64) -> bool {
        let improves =
            |old: Option<f64>, delta| old.is_none_or(|old| better.is_better(value, old, delta));
        if improves(self.reference, min_delta) {
            self.reference = Some(value);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        let best = improves(self.best.map(|best| best.1), 0.0);
        if best {
            self.best = Some((step, value));
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_improvements_are_kept_but_do_not_end_the_waiting() {
        let mut judged = Judged::default();
        let values = [1.0, 0.95, 0.92, 0.89, 0.89, 0.9];
        let noted: Vec<(bool, u64)> = values
            .iter()
            .zip(0..)
            .map(|(&value, step)| {
                let best = judged.note(step, value, Better::Lower, 0.1);
                (best, judged.waited)
            })
            .collect();
        let expected = [
            (true, 0),
            (true, 1),
            (true, 2),
            (true, 0),
            (false, 1),
            (false, 2),
        ];
        assert_eq!(noted, expected);
        assert_eq!(judged.best, Some((3, 0.89)));
        assert_eq!(judged.reference, Some(0.89));
        let mut judged = Judged::default();
        for (step, value) in [0.1, 0.3, 0.3, 0.2].into_iter().enumerate() {
            judged.note(step as u64, value, Better::Higher, 0.0);
        }
        assert_eq!((judged.best, judged.waited), (Some((1, 0.3)), 2));
    }
}
