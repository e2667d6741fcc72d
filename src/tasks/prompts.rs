//! The prompts, with a place for each film.

use super::Task;

/// The place of a film in a prompt. The adapter's soft tokens come here.
pub const ITEM: &str = "<item>";

/// Wordings of each task's prompt.
pub const PROMPTS: usize = 4;

/// Returns a prompt of a task.
///
/// # Panics
/// When `wording` is not below [`PROMPTS`].
pub fn prompt(task: Task, wording: usize) -> &'static str {
    prompts(task)[wording]
}

const fn prompts(task: Task) -> [&'static str; PROMPTS] {
    match task {
        Task::Summary => [
            "Write a summary of the film <item> without naming it.",
            "Summarize the plot of <item>, but do not say its title.",
            "What happens in the film <item>? Leave out its name.",
            "Tell the story of <item> in a few words.",
        ],
        Task::PositiveReview => [
            "Write a positive review of the film <item>.",
            "Review <item> as someone who loved it.",
            "You liked <item>. Write your review without its title.",
            "Write a review that praises <item>.",
        ],
        Task::NegativeReview => [
            "Write a negative review of the film <item>.",
            "Review <item> as someone who did not like it.",
            "You disliked <item>. Write your review without its title.",
            "Write a review that finds fault with <item>.",
        ],
        Task::NeutralReview => [
            "Write a neutral review of the film <item>.",
            "Review <item> and weigh both sides.",
            "Write a balanced review of <item> without its title.",
            "Write what is good and what is bad about <item>.",
        ],
        Task::FivePosChar => [
            "List five positive characteristics of the film <item>.",
            "Name five strengths of <item>.",
            "What are five good things about <item>?",
            "Give five reasons to like <item>.",
        ],
        Task::FiveNegChar => [
            "List five negative characteristics of the film <item>.",
            "Name five weaknesses of <item>.",
            "What are five bad things about <item>?",
            "Give five reasons not to like <item>.",
        ],
        Task::LongDescription => [
            "Describe the film <item> in detail.",
            "Write a long description of <item> without naming it.",
            "Say everything that matters about the film <item>.",
            "Give a full description of <item>.",
        ],
        Task::Funnier => [
            "How could the film <item> be made funnier?",
            "Rewrite <item> as a funnier film.",
            "Describe a funnier version of <item>.",
            "What would make <item> more amusing?",
        ],
        Task::Sadder => [
            "How could the film <item> be made sadder?",
            "Rewrite <item> as a sadder film.",
            "Describe a sadder version of <item>.",
            "What would make <item> more sorrowful?",
        ],
        Task::Scarier => [
            "How could the film <item> be made scarier?",
            "Rewrite <item> as a scarier film.",
            "Describe a scarier version of <item>.",
            "What would make <item> more frightening?",
        ],
        Task::Improve => [
            "How could the film <item> be improved?",
            "Give advice to the makers of <item>.",
            "What should be changed in <item> to make it better?",
            "Suggest improvements to the film <item>.",
        ],
        Task::MovieToViewer => [
            "Describe a viewer who would like the film <item>.",
            "Who would enjoy <item>?",
            "What kind of person would watch <item>?",
            "For whom was the film <item> made?",
        ],
        Task::Pitch => [
            "Write a pitch for the film <item>.",
            "Sell the film <item> to a studio.",
            "Pitch <item> in a few sentences without its title.",
            "Advertise the film <item>.",
        ],
        Task::Criticize => [
            "Criticize the film <item>.",
            "What would a harsh critic say about <item>?",
            "Write a criticism of <item> without its title.",
            "Point out what fails in the film <item>.",
        ],
        Task::Convince1 => [
            "Convince me to watch the film <item>.",
            "Persuade someone to see <item> by its story.",
            "Why should I see <item>?",
            "Make me want to watch <item>.",
        ],
        Task::Convince2 => [
            "Convince me in detail that <item> is worth watching.",
            "Persuade someone to see <item> by its strengths.",
            "What makes the film <item> worth my evening?",
            "Argue that everyone should see <item>.",
        ],
        Task::Convince3 => [
            "Convince a friend to watch <item> with you.",
            "Persuade someone to see <item> by those who loved it.",
            "Invite a friend to see the film <item>.",
            "Talk a friend into seeing <item>.",
        ],
        Task::Dissuade1 => [
            "Convince me not to watch the film <item>.",
            "Persuade someone to skip <item> by its weaknesses.",
            "Why should I not see <item>?",
            "Argue against watching <item>.",
        ],
        Task::Dissuade2 => [
            "Convince a friend not to watch <item>.",
            "Persuade someone to skip <item> by their taste.",
            "Who should stay away from <item>?",
            "Warn a friend of the film <item>.",
        ],
        Task::Similarities => [
            "What do the films <item> and <item> share?",
            "List similarities of <item> and <item>.",
            "How is the film <item> similar to <item>?",
            "Compare <item> with <item> and say how they are alike.",
        ],
        Task::Interpolation => [
            "Describe a film that is a blend of <item> and <item>.",
            "Mix the films <item> and <item> into one.",
            "Imagine a film halfway between <item> and <item>.",
            "What would a film between <item> and <item> be like?",
        ],
        Task::WhyLikeNn => [
            "Why would someone who likes <item> also like <item>?",
            "A viewer loved <item>. Explain why <item> suits them too.",
            "Recommend, to a fan of <item>, the film <item>.",
            "After watching <item>, why watch <item>?",
        ],
        Task::DiffThanNn => [
            "How does the film <item> differ from <item>?",
            "What sets <item> apart from <item>?",
            "Contrast <item> with <item>.",
            "Say how <item> and <item> are different.",
        ],
        Task::CommonWithNn => [
            "What does <item> have in common with <item>?",
            "Name the common ground of <item> and <item>.",
            "The films <item> and <item> are close. In what?",
            "Why are <item> and <item> neighbours?",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_prompt_has_the_places_of_its_task_and_is_unique() {
        let mut seen = BTreeSet::new();
        for task in Task::ALL {
            for wording in 0..PROMPTS {
                let prompt = prompt(task, wording);
                assert_eq!(prompt.matches(ITEM).count(), task.places(), "{prompt}");
                assert!(seen.insert(prompt), "{prompt}");
                assert!(prompt.split_whitespace().count() <= 14, "{prompt}");
            }
        }
    }
}
