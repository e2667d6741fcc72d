//! What each user chose before the item that is asked for.

use super::Query;
use crate::data::{Interactions, Split};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which held-out items are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Each user's second to last, after the training items: for choosing settings.
    Validation,
    /// Each user's last, after the training items and the validation item: for reporting (as in `OpenP5` and `SASRec`).
    #[default]
    Test,
}

/// The histories and held-out items of a part, in the order of its users.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    users: Vec<u32>,
    targets: Vec<u32>,
    /// Where each history starts in `items`; one longer than there are users.
    starts: Vec<usize>,
    items: Vec<u32>,
}

impl Histories {
    /// Takes the histories of everyone who has a held-out item in `part`.
    pub fn new(split: &Split, part: Part) -> Self {
        let (held, before) = match part {
            Part::Validation => (&split.validation, None),
            Part::Test => (&split.test, Some(&split.validation)),
        };
        let runs = |part: &Interactions| -> BTreeMap<u32, std::ops::Range<usize>> {
            part.by_user().collect()
        };
        let train = runs(&split.train);
        let middle = before.map(|part| (part, runs(part)));
        let mut all = Self {
            starts: vec![0],
            ..Self::default()
        };
        for (&user, &target) in held.users.iter().zip(&held.items) {
            if let Some(run) = train.get(&user) {
                all.items.extend(&split.train.items[run.clone()]);
            }
            if let Some((part, runs)) = &middle
                && let Some(run) = runs.get(&user)
            {
                all.items.extend(&part.items[run.clone()]);
            }
            all.users.push(user);
            all.targets.push(target);
            all.starts.push(all.items.len());
        }
        all
    }

    /// The number of held-out items.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether no user has a held-out item.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The users.
    pub fn users(&self) -> &[u32] {
        &self.users
    }

    /// The held-out item of each.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// The user at a place and their history, oldest first.
    pub fn query(&self, place: usize) -> Query<'_> {
        Query {
            user: self.users[place],
            history: &self.items[self.starts[place]..self.starts[place + 1]],
        }
    }

    /// The same for some of the places only.
    #[must_use]
    pub fn only(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let mut some = Self {
            starts: vec![0],
            ..Self::default()
        };
        for place in places {
            let query = self.query(place);
            some.items.extend(query.history);
            some.users.push(query.user);
            some.targets.push(self.targets[place]);
            some.starts.push(some.items.len());
        }
        some
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Users with these items, in order of time, split leave-one-out.
    pub(crate) fn split(users: &[&[u32]]) -> Split {
        let mut all = Interactions::default();
        for (user, items) in users.iter().enumerate() {
            for (time, &item) in items.iter().enumerate() {
                all.push(user as u32, item, 1.0, time as i64);
            }
        }
        Split::leave_one_out(&all)
    }

    #[test]
    fn the_history_of_a_test_item_includes_the_validation_item() {
        let split = split(&[&[4, 2, 0, 1], &[1, 2], &[3, 1, 0]]);
        let test = Histories::new(&split, Part::Test);
        assert_eq!((test.users(), test.targets()), (&[0, 2][..], &[1, 0][..]));
        assert_eq!(test.query(0).history, [4, 2, 0]);
        assert_eq!(test.query(1).history, [3, 1]);
        let validation = Histories::new(&split, Part::Validation);
        assert_eq!(validation.targets(), [0, 1]);
        assert_eq!(validation.query(0).history, [4, 2]);
        let second = test.only([1]);
        assert_eq!((second.len(), second.query(0).user), (1, 2));
        assert_eq!(second.query(0).history, [3, 1]);
    }
}
