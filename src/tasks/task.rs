//! The names of the 24 tasks.

/// One of ELM's 24 tasks, in the order of the ILM paper's table rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Tell the plot.
    Summary,
    /// Review it as someone who liked it.
    PositiveReview,
    /// Review it as someone who did not. The paper prints no row of it.
    NegativeReview,
    /// Review it, both sides.
    NeutralReview,
    /// List five strengths.
    FivePosChar,
    /// List five weaknesses.
    FiveNegChar,
    /// Describe it at length.
    LongDescription,
    /// Make it funnier.
    Funnier,
    /// Make it sadder.
    Sadder,
    /// Make it scarier.
    Scarier,
    /// Say how it could be better.
    Improve,
    /// Say who would like it.
    MovieToViewer,
    /// Sell it.
    Pitch,
    /// Criticize it.
    Criticize,
    /// Persuade someone to watch it, by its story.
    Convince1,
    /// Persuade someone to watch it, by its strengths.
    Convince2,
    /// Persuade someone to watch it, by who loved it.
    Convince3,
    /// Persuade someone not to watch it, by its weaknesses.
    Dissuade1,
    /// Persuade someone not to watch it, by their taste.
    Dissuade2,
    /// Tell how two films are alike.
    Similarities,
    /// Describe a film between two.
    Interpolation,
    /// Tell why who likes a film would like its nearest neighbour.
    WhyLikeNn,
    /// Tell how a film differs from its nearest neighbour.
    DiffThanNn,
    /// Tell what a film has in common with its nearest neighbour.
    CommonWithNn,
}

impl Task {
    /// Every task, in table order.
    pub const ALL: [Self; 24] = [
        Self::Summary,
        Self::PositiveReview,
        Self::NegativeReview,
        Self::NeutralReview,
        Self::FivePosChar,
        Self::FiveNegChar,
        Self::LongDescription,
        Self::Funnier,
        Self::Sadder,
        Self::Scarier,
        Self::Improve,
        Self::MovieToViewer,
        Self::Pitch,
        Self::Criticize,
        Self::Convince1,
        Self::Convince2,
        Self::Convince3,
        Self::Dissuade1,
        Self::Dissuade2,
        Self::Similarities,
        Self::Interpolation,
        Self::WhyLikeNn,
        Self::DiffThanNn,
        Self::CommonWithNn,
    ];

    /// The paper's name of the task.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::PositiveReview => "positive review",
            Self::NegativeReview => "negative review",
            Self::NeutralReview => "neutral review",
            Self::FivePosChar => "five pos char",
            Self::FiveNegChar => "five neg char",
            Self::LongDescription => "long description",
            Self::Funnier => "funnier",
            Self::Sadder => "sadder",
            Self::Scarier => "scarier",
            Self::Improve => "improve",
            Self::MovieToViewer => "movie to viewer",
            Self::Pitch => "pitch",
            Self::Criticize => "criticize",
            Self::Convince1 => "convince1",
            Self::Convince2 => "convince2",
            Self::Convince3 => "convince3",
            Self::Dissuade1 => "dissuade1",
            Self::Dissuade2 => "dissuade2",
            Self::Similarities => "similarities",
            Self::Interpolation => "interpolation",
            Self::WhyLikeNn => "why like nn",
            Self::DiffThanNn => "diff than nn",
            Self::CommonWithNn => "common with nn",
        }
    }

    /// The task of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    /// Whether it takes two films.
    pub const fn is_pair(self) -> bool {
        matches!(
            self,
            Self::Similarities
                | Self::Interpolation
                | Self::WhyLikeNn
                | Self::DiffThanNn
                | Self::CommonWithNn
        )
    }

    /// Whether its second film is the first one's nearest neighbour.
    pub const fn takes_neighbour(self) -> bool {
        matches!(
            self,
            Self::WhyLikeNn | Self::DiffThanNn | Self::CommonWithNn
        )
    }

    /// How many films it takes.
    pub const fn places(self) -> usize {
        if self.is_pair() { 2 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found_again() {
        let names: BTreeSet<&str> = Task::ALL.iter().map(|task| task.name()).collect();
        assert_eq!(names.len(), 24);
        for (place, task) in Task::ALL.into_iter().enumerate() {
            assert_eq!(Task::from_name(task.name()), Some(task));
            assert_eq!(task as usize, place);
        }
        assert_eq!(Task::from_name("nothing"), None);
        assert_eq!(Task::ALL.iter().filter(|task| task.is_pair()).count(), 5);
    }
}
