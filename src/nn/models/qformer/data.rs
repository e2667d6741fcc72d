//! What phase 1 learns from: item vectors, their texts, and pairs of items or of users and items.

use super::TokenTable;
use std::collections::BTreeMap;

/// A text of an item as token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemText {
    /// The item.
    pub item: u32,
    /// `<cls>`, the text, `<eos>`; at most `max_text_tokens` in all.
    pub tokens: Vec<u32>,
    /// Whether the pair is kept for evaluation and never trained on.
    pub held_out: bool,
}

/// How two members of a batch stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Known to belong together.
    Positive,
    /// Not known to belong together: may serve as a negative.
    Negative,
    /// Left out of the loss: a held-out pair in training (as a negative it would be trained on, too), an item with
    /// itself.
    Ignored,
}

/// Ordered pairs, some of them held out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairSet {
    train: Vec<(u32, u32)>,
    held_out: Vec<(u32, u32)>,
}

impl PairSet {
    /// Sorts and de-duplicates `(left, right, held_out)`. A pair that is given both ways counts as held out.
    pub fn new(pairs: impl IntoIterator<Item = (u32, u32, bool)>) -> Self {
        let (held, train): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|pair| pair.2);
        let sorted = |pairs: Vec<(u32, u32, bool)>| {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(l, r, _)| (l, r)).collect();
            pairs.sort_unstable();
            pairs.dedup();
            pairs
        };
        let held_out = sorted(held);
        let mut train = sorted(train);
        train.retain(|pair| held_out.binary_search(pair).is_err());
        Self { train, held_out }
    }

    /// The pairs to train on, sorted.
    pub fn train(&self) -> &[(u32, u32)] {
        &self.train
    }

    /// The pairs to evaluate on, sorted.
    pub fn held_out(&self) -> &[(u32, u32)] {
        &self.held_out
    }

    /// How `left` stands to `right` in a training batch (`evaluating` false) or an evaluation batch.
    ///
    /// In training a held-out pair is ignored; in evaluation every known pair is a positive.
    pub fn relation(&self, left: u32, right: u32, evaluating: bool) -> Relation {
        let pair = (left, right);
        if self.train.binary_search(&pair).is_ok() {
            Relation::Positive
        } else if self.held_out.binary_search(&pair).is_ok() {
            if evaluating {
                Relation::Positive
            } else {
                Relation::Ignored
            }
        } else {
            Relation::Negative
        }
    }
}

/// Everything that phase 1 reads, checked.
#[derive(Clone, Debug)]
pub struct Phase1Data {
    /// Item tokens.
    pub items: TokenTable,
    /// User vectors, as wide as an item token; empty when the input has none.
    pub users: TokenTable,
    /// Texts of items.
    pub texts: Vec<ItemText>,
    /// Ordered pairs of items.
    pub item_item: PairSet,
    /// Pairs of a user and an item.
    pub user_item: PairSet,
    /// The id of `<pad>`.
    pub pad: u32,
    /// The id of `<dec>`, the first token of a text to be generated.
    pub dec: u32,
    /// Equal texts have equal classes.
    classes: Vec<u32>,
}

/// A part of the data that does not fit the rest.
#[derive(Debug, thiserror::Error)]
pub enum Phase1DataError {
    /// A pair names something that is not there.
    #[error("the {set} pairs name {kind} {index}, but there are only {count}")]
    OutOfRange {
        /// `item-text`, `item-item` or `user-item`.
        set: &'static str,
        /// `item` or `user`.
        kind: &'static str,
        /// The index found.
        index: u32,
        /// How many there are.
        count: usize,
    },
    /// User vectors cannot be read by the item side.
    #[error("a user vector has {users} values, but an item token has {items}")]
    UserWidth {
        /// Width of a user vector.
        users: usize,
        /// Width of an item token.
        items: usize,
    },
    /// A vector has a value that is no number.
    #[error("{kind} {index} has a value that is not finite")]
    NotFinite {
        /// `item` or `user`.
        kind: &'static str,
        /// Its index.
        index: usize,
    },
}

impl Phase1Data {
    /// Puts the parts together and checks that they fit.
    pub fn new(
        items: TokenTable,
        users: TokenTable,
        texts: Vec<ItemText>,
        item_item: PairSet,
        user_item: PairSet,
        pad: u32,
        dec: u32,
    ) -> Result<Self, Phase1DataError> {
        if users.count > 0 && users.width != items.width {
            return Err(Phase1DataError::UserWidth {
                users: users.width,
                items: items.width,
            });
        }
        finite("item", &items)?;
        finite("user", &users)?;
        for text in &texts {
            in_range("item-text", "item", text.item, items.count)?;
        }
        for &(left, right) in item_item.train.iter().chain(&item_item.held_out) {
            in_range("item-item", "item", left, items.count)?;
            in_range("item-item", "item", right, items.count)?;
        }
        if users.count > 0 {
            for &(user, item) in user_item.train.iter().chain(&user_item.held_out) {
                in_range("user-item", "user", user, users.count)?;
                in_range("user-item", "item", item, items.count)?;
            }
        }
        let mut known: BTreeMap<&[u32], u32> = BTreeMap::new();
        let mut classes = Vec::with_capacity(texts.len());
        for text in &texts {
            let next = known.len() as u32;
            classes.push(*known.entry(&text.tokens).or_insert(next));
        }
        Ok(Self {
            items,
            users,
            texts,
            item_item,
            user_item,
            pad,
            dec,
            classes,
        })
    }

    /// Indices into [`Phase1Data::texts`] of the texts that are held out, or of those that are not.
    pub fn text_indices(&self, held_out: bool) -> Vec<usize> {
        (0..self.texts.len())
            .filter(|&index| self.texts[index].held_out == held_out)
            .collect()
    }

    /// Whether the item of text `a` and text `b` belong together: the same item, or two items with the same text.
    pub fn same(&self, a: usize, b: usize) -> bool {
        self.texts[a].item == self.texts[b].item || self.classes[a] == self.classes[b]
    }
}

fn in_range(
    set: &'static str,
    kind: &'static str,
    index: u32,
    count: usize,
) -> Result<(), Phase1DataError> {
    if (index as usize) < count {
        return Ok(());
    }
    Err(Phase1DataError::OutOfRange {
        set,
        kind,
        index,
        count,
    })
}

fn finite(kind: &'static str, table: &TokenTable) -> Result<(), Phase1DataError> {
    match table.data.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Phase1DataError::NotFinite {
            kind,
            index: at / (table.tokens * table.width),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(count: usize, width: usize) -> TokenTable {
        TokenTable {
            count,
            tokens: 1,
            width,
            data: vec![0.5; count * width],
        }
    }

    fn text(item: u32, tokens: &[u32]) -> ItemText {
        ItemText {
            item,
            tokens: tokens.to_vec(),
            held_out: false,
        }
    }

    #[test]
    fn a_held_out_pair_is_no_negative_in_training() {
        let pairs = PairSet::new([(0, 1, false), (2, 1, true), (0, 1, false), (2, 1, false)]);
        assert_eq!(pairs.train(), [(0, 1)]);
        assert_eq!(pairs.held_out(), [(2, 1)]);
        assert_eq!(pairs.relation(2, 1, false), Relation::Ignored);
        assert_eq!(pairs.relation(2, 1, true), Relation::Positive);
        assert_eq!(pairs.relation(0, 1, false), Relation::Positive);
        assert_eq!(pairs.relation(1, 0, false), Relation::Negative);
    }

    #[test]
    fn equal_texts_and_equal_items_belong_together() {
        let texts = vec![
            text(0, &[5, 9, 2]),
            text(1, &[5, 9, 2]),
            text(1, &[5, 8, 2]),
        ];
        let none = PairSet::default;
        let data =
            Phase1Data::new(table(2, 3), table(0, 3), texts, none(), none(), 0, 4).expect("fits");
        assert!(data.same(0, 1), "one text");
        assert!(data.same(1, 2), "one item");
        assert!(!data.same(0, 2));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let none = PairSet::default;
        let one = |items, users, texts, pairs| {
            Phase1Data::new(items, users, texts, pairs, none(), 0, 4)
                .expect_err("does not fit")
                .to_string()
        };
        insta::assert_snapshot!(
            [
                one(table(2, 3), table(1, 4), vec![], none()),
                one(table(2, 3), table(0, 3), vec![text(2, &[1])], none()),
                one(table(2, 3), table(0, 3), vec![], PairSet::new([(0, 7, true)])),
                one(TokenTable { data: vec![0., f32::NAN], ..table(2, 1) }, table(0, 3), vec![], none()),
            ]
            .join("\n"),
            @r"
        a user vector has 4 values, but an item token has 3
        the item-text pairs name item 2, but there are only 2
        the item-item pairs name item 7, but there are only 2
        item 1 has a value that is not finite
        "
        );
    }
}
