//! Who took what, in order.

use crate::data::{Interactions, LEAST_TO_SPLIT};

/// The items of each user in order of time. User `u` is at position `u`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    items: Vec<u32>,
    /// Where each user's items start; one longer than there are users.
    starts: Vec<usize>,
}

impl Sequences {
    /// The sequences of interactions that are sorted by (user, time), where every user from 0 on has some.
    pub fn of(interactions: &Interactions) -> Self {
        let mut starts = vec![0];
        starts.extend(interactions.by_user().map(|(_, run)| run.end));
        Self {
            items: interactions.items.clone(),
            starts,
        }
    }

    /// How many users there are.
    pub fn n_users(&self) -> usize {
        self.starts.len() - 1
    }

    /// All items of a user.
    pub fn all(&self, user: usize) -> &[u32] {
        &self.items[self.starts[user]..self.starts[user + 1]]
    }

    /// The items of a user that may be learned from: all but the last two; all, where there are fewer than three (the rule of
    /// [`crate::data::Split`]).
    pub fn train(&self, user: usize) -> &[u32] {
        let all = self.all(user);
        &all[..all.len() - Self::n_held(all)]
    }

    /// The last two items of a user, for validation and test; none, where there are fewer than three.
    pub fn held(&self, user: usize) -> &[u32] {
        let all = self.all(user);
        &all[all.len() - Self::n_held(all)..]
    }

    fn n_held(all: &[u32]) -> usize {
        if all.len() < LEAST_TO_SPLIT { 0 } else { 2 }
    }

    /// The users in order.
    pub fn users(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        0..self.n_users()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Sequences as written.
    pub(in crate::openp5) fn sequences(all: &[&[u32]]) -> Sequences {
        let mut interactions = Interactions::default();
        for (user, items) in all.iter().enumerate() {
            for (time, &item) in items.iter().enumerate() {
                interactions.push(user as u32, item, 1.0, time as i64);
            }
        }
        Sequences::of(&interactions)
    }

    #[test]
    fn the_last_two_are_held() {
        let all = sequences(&[&[1, 2, 3, 4], &[5, 6], &[7, 8, 9]]);
        assert_eq!(all.n_users(), 3);
        assert_eq!((all.train(0), all.held(0)), (&[1, 2][..], &[3, 4][..]));
        assert_eq!((all.train(1), all.held(1)), (&[5, 6][..], &[][..]));
        assert_eq!((all.train(2), all.held(2)), (&[7][..], &[8, 9][..]));
    }
}
