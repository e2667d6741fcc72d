//! The sentences of the tasks on one film.

use super::grammar::{list, sentence, the, with_article};
use super::{Facts, Task};

/// Writes the target of a task on one film. `wording` is from 0 to 2.
pub(super) fn target(task: Task, film: &Facts, wording: u64) -> String {
    match task {
        Task::Summary => summary(film, wording),
        Task::PositiveReview | Task::NegativeReview | Task::NeutralReview => {
            review(task, film, wording)
        }
        Task::FivePosChar => five(&film.strengths, film, true, wording),
        Task::FiveNegChar => five(&film.weaknesses, film, false, wording),
        Task::LongDescription => long_description(film, wording),
        Task::Funnier => change("funnier", "laugh about", film.turns[0], film, wording),
        Task::Sadder => change("sadder", "weep about", film.turns[1], film, wording),
        Task::Scarier => change("scarier", "tremble at", film.turns[2], film, wording),
        Task::Improve => improve(film, wording),
        Task::MovieToViewer => viewer(film, wording),
        Task::Pitch => pitch(film, wording),
        Task::Criticize => criticize(film, wording),
        Task::Convince1 | Task::Convince2 | Task::Convince3 => convince(task, film, wording),
        Task::Dissuade1 | Task::Dissuade2 => dissuade(task, film, wording),
        Task::Similarities
        | Task::Interpolation
        | Task::WhyLikeNn
        | Task::DiffThanNn
        | Task::CommonWithNn => unreachable!("a task on pairs"),
    }
}

fn summary(film: &Facts, wording: u64) -> String {
    let (a_film, plot, theme, place) = (
        film.a_dated_film(),
        film.plot(),
        film.theme(),
        film.set_in(),
    );
    match wording {
        0 => format!("This is {a_film}{place}. It {plot}. It is about {theme}."),
        1 => format!(
            "{}{place} {plot}. At its heart it is about {theme}.",
            sentence(&a_film)
        ),
        _ => format!(
            "The film{place} {plot}. It is {} and {}, {}{} about {theme}.",
            film.mood,
            film.pace,
            with_article(&film.kind),
            film.era
        ),
    }
}

fn review(task: Task, film: &Facts, wording: u64) -> String {
    let (a_film, kind, mood, era) = (film.a_dated_film(), &film.kind, &film.mood, &film.era);
    let (theme, pace) = (film.theme(), &film.pace);
    let [good, fine, ..] = film.strengths.as_slice() else {
        return a_film;
    };
    let [bad, poor, ..] = film.weaknesses.as_slice() else {
        return a_film;
    };
    match (task, wording) {
        (Task::PositiveReview, 0) => format!(
            "I loved this {kind} for {good} and {fine}. It is {mood}, its {pace} pace is just right, and its view of {theme} stays with you."
        ),
        (Task::PositiveReview, 1) => format!(
            "What {a_film}! I enjoyed {good} and {fine}, and I will remember its thoughts about {theme}."
        ),
        (Task::PositiveReview, _) => format!(
            "A wonderful {kind}, {mood} all the way. It wins thanks to {good} and {fine}, and it is wise about {theme}."
        ),
        (Task::NegativeReview, 0) => format!(
            "I did not enjoy this {kind} because of {bad} and {poor}. The {pace} pace tired me, and it says nothing new about {theme}."
        ),
        (Task::NegativeReview, 1) => format!(
            "A disappointing {kind}{era}. It suffers from {bad} and {poor}, and its talk of {theme} left me cold."
        ),
        (Task::NegativeReview, _) => format!(
            "It wants to be {mood}, but it is spoiled by {bad} and {poor}. As {} about {theme} it fails.",
            with_article(kind)
        ),
        (_, 0) => format!(
            "This is {a_film} about {theme}. Some will praise {good}, others will dislike {bad}. The pace is {pace}."
        ),
        (_, 1) => format!(
            "An average {kind}, {mood} in tone. It is liked for {good} and criticised for {bad}. Its subject is {theme}."
        ),
        _ => format!(
            "Neither great nor poor, this {mood} {kind}{era} about {theme} wins by {good} and loses by {bad}."
        ),
    }
}

fn five(items: &[String], film: &Facts, good: bool, wording: u64) -> String {
    let all = list(items);
    let film_now = format!("{} {}", film.mood, film.kind);
    match (wording, good) {
        (0, true) => format!("Five good things about this {film_now} are {all}."),
        (0, false) => format!("Five bad things about this {film_now} are {all}."),
        (1, true) => format!(
            "{}: these are five reasons to like this {film_now}.",
            sentence(&all)
        ),
        (1, false) => format!(
            "{}: these are five reasons to dislike this {film_now}.",
            sentence(&all)
        ),
        (_, true) => format!("Viewers of this {film_now}{} praise {all}.", film.era),
        (_, false) => format!("Viewers of this {film_now}{} dislike {all}.", film.era),
    }
}

fn long_description(film: &Facts, wording: u64) -> String {
    let (a_film, plot, theme, pace) = (
        film.a_dated_film(),
        film.plot(),
        &film.themes[0],
        &film.pace,
    );
    let (place, good) = (film.set_in(), &film.strengths[0]);
    let director = film
        .director
        .as_ref()
        .map_or_else(String::new, |name| format!(" {name} directed it."));
    match wording {
        0 => format!(
            "{}{place}. It {plot}. The pace is {pace}, the subject is {theme}, and it is known for {good}.{director}",
            sentence(&a_film)
        ),
        1 => format!(
            "The film{place} {plot}. It is {a_film}, {pace} in pace, known for {good}, about {theme}.{director}"
        ),
        _ => format!(
            "Known for {good}, this {} {}{}{place} {plot}. It is about {theme} and its pace is {pace}.{director}",
            film.mood, film.kind, film.era
        ),
    }
}

fn change(how: &str, reaction: &str, turn: &str, film: &Facts, wording: u64) -> String {
    let (mood, theme, hero) = (&film.mood, film.theme(), film.hero());
    let kind = format!("{}{}", film.kind, film.era);
    let stage = film
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(" in {place}"));
    match wording {
        0 => format!(
            "To make this {mood} {kind} {how}, {turn}, while {hero}{stage} would {reaction} {theme}."
        ),
        1 => format!(
            "In a {how} version, {hero}{stage} would {reaction} {theme}, and {turn}. The {mood} {kind} would change."
        ),
        _ => format!(
            "{}. Then {hero}{stage} would {reaction} {theme}, and this {mood} {kind} would be {how}.",
            sentence(turn)
        ),
    }
}

fn improve(film: &Facts, wording: u64) -> String {
    let (good, bad) = (
        &film.strengths[0],
        format!("{} and {}", film.weaknesses[0], film.weaknesses[1]),
    );
    let (kind, mood, theme, hero) = (&film.kind, &film.mood, film.theme(), film.hero());
    match wording {
        0 => format!(
            "The makers of this {kind} should mend {bad}, build on {good}, and show more of {hero} and of {theme}."
        ),
        1 => format!(
            "It would be better without {bad}. More of {good} and a deeper look at {theme} would help this {mood} {kind}."
        ),
        _ => format!(
            "Keep {good} and lose {bad}. Then this {mood} {kind} could tell us more about {hero} and about {theme}."
        ),
    }
}

fn viewer(film: &Facts, wording: u64) -> String {
    let (audience, theme, mood, kind) = (&film.audience, film.theme(), &film.mood, &film.kind);
    let (good, a_pace) = (the(&film.strengths[0]), film.a_pace());
    let decade = film
        .decade
        .as_ref()
        .map_or_else(String::new, |decade| format!(" of the {decade}"));
    match wording {
        0 => format!(
            "This film is for {audience}. They enjoy {mood} stories about {theme}, {a_pace} and films praised for {good}."
        ),
        1 => format!(
            "{} would like it, and so would people who care about {theme}, enjoy {mood} {kind}s{decade} and praise {good}.",
            sentence(audience)
        ),
        _ => format!(
            "The viewer thinks about {theme}, likes {mood} {kind}s with {a_pace} and watches for {good}. Such people are {audience}."
        ),
    }
}

fn pitch(film: &Facts, wording: u64) -> String {
    let (plot, theme, good) = (film.plot(), film.theme(), &film.strengths[0]);
    let (a_film, place) = (film.a_dated_film(), film.set_in());
    match wording {
        0 => format!(
            "Imagine {a_film}{place} that {plot}. With {good} it will win {}.",
            film.audience
        ),
        1 => format!(
            "Our film{place} {plot}. It is {a_film} about {theme}, and people will come for {good}."
        ),
        _ => format!(
            "{}, told as {a_film}{place} that {plot}: people will love it for {good}.",
            sentence(&theme)
        ),
    }
}

fn criticize(film: &Facts, wording: u64) -> String {
    let [bad, poor, weak, ..] = film.weaknesses.as_slice() else {
        return film.a_film();
    };
    let (kind, mood, theme, pace) = (&film.kind, &film.mood, film.theme(), &film.pace);
    match wording {
        0 => format!(
            "The main faults of this {kind} are {bad}, {poor} and {weak}. Its {pace} pace does no justice to {theme}."
        ),
        1 => format!(
            "It tries to be {}, yet it is spoiled by {bad} and {poor}, and it treats {theme} without care.",
            film.a_film()
        ),
        _ => format!(
            "A critic would point to {bad} and {poor}. The {pace} pace and a thin view of {theme} weaken this {mood} {kind}."
        ),
    }
}

fn convince(task: Task, film: &Facts, wording: u64) -> String {
    let (a_film, plot, theme, place) = (
        film.a_dated_film(),
        film.plot(),
        film.theme(),
        film.set_in(),
    );
    let (kind, mood, audience) = (&film.kind, &film.mood, &film.audience);
    let [good, fine, strong, ..] = film.strengths.as_slice() else {
        return a_film;
    };
    match (task, wording) {
        (Task::Convince1, 0) => format!(
            "You should see it, because it {plot}. It is {a_film}{place}, and it is about {theme}."
        ),
        (Task::Convince1, 1) => {
            format!("Watch it for its story: it {plot}. Few {kind}s are so {mood} about {theme}.")
        }
        (Task::Convince1, _) => {
            format!("If you care about {theme}, watch this {mood} {kind}{place}. It {plot}.")
        }
        (Task::Convince2, 0) => format!(
            "It is worth your evening for {good}, {fine} and {strong}. You will see {a_film} about {theme}."
        ),
        (Task::Convince2, 1) => format!(
            "Nobody should miss {a_film}, praised for {good}, {fine} and {strong}. It says much about {theme}."
        ),
        (Task::Convince2, _) => format!(
            "Everyone should see this {kind} for {good}, {fine} and {strong}, and for its {mood} look at {theme}."
        ),
        (_, 0) => format!(
            "Come with me, my friend. It is loved by {audience} for {good}, and you like {mood} films about {theme}."
        ),
        (_, 1) => format!(
            "Let us see {a_film} tonight. It is made for {audience}, and we can talk about {theme} and {good}."
        ),
        _ => format!(
            "Ask {audience}: they all praise {good}. We should see this {mood} {kind} about {theme} together."
        ),
    }
}

fn dissuade(task: Task, film: &Facts, wording: u64) -> String {
    let [bad, poor, weak, ..] = film.weaknesses.as_slice() else {
        return film.a_film();
    };
    let (kind, mood, theme, pace) = (&film.kind, &film.mood, film.theme(), &film.pace);
    let audience = &film.audience;
    match (task, wording) {
        (Task::Dissuade1, 0) => format!(
            "Do not watch it. It suffers from {bad}, {poor} and {weak}, and this {kind} has little to say about {theme}."
        ),
        (Task::Dissuade1, 1) => format!(
            "Save your time. {}, {poor} and {weak} make this {mood} {kind} about {theme} hard to bear.",
            sentence(bad)
        ),
        (Task::Dissuade1, _) => format!(
            "Skip this {mood} {kind}{}. It is spoiled by {bad} and {poor}, and you will learn nothing about {theme}.",
            film.era
        ),
        (_, 0) => format!(
            "It is not for you if {mood} films bore you. Only {audience} could bear its {pace} pace and forgive {bad}."
        ),
        (_, 1) => format!(
            "Leave it to {audience}. If you do not care for {theme}, this {mood} {kind} will lose you through {bad}."
        ),
        _ => format!(
            "My friend, you do not care for {theme} or for {mood} films. You would be annoyed by its {pace} pace and {bad}."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{bare, rich, unknown};
    use super::super::{WORDINGS, target};
    use super::*;
    use crate::data::Item;

    fn all(item: &Item) -> String {
        let facts = Facts::of(item);
        let mut out = Vec::new();
        for task in Task::ALL.into_iter().filter(|task| !task.is_pair()) {
            for wording in 0..WORDINGS {
                let text = target(task, &[&facts], wording);
                let n = text.split_whitespace().count();
                assert!(
                    (10..=50).contains(&n),
                    "{task:?} {wording}, {n} words: {text}"
                );
                out.push(format!("{}: {text}", task.name()));
            }
        }
        out.join("\n")
    }

    #[test]
    fn targets_of_a_rich_film() {
        insta::assert_snapshot!(all(&rich(0)));
    }

    #[test]
    fn targets_of_a_bare_film() {
        insta::assert_snapshot!(all(&bare(0)));
    }

    #[test]
    fn targets_of_an_unknown_film() {
        insta::assert_snapshot!(all(&unknown(0)));
    }
}
