//! Numbers for names, in the order in which they are met.

#[expect(
    clippy::disallowed_types,
    reason = "a lookup-only map in the loop over every line; nothing iterates over it"
)]
type Lookup = std::collections::HashMap<Box<str>, u32>;

/// Gives each name a number: 0, 1, 2 … in the order of first mention.
#[derive(Default)]
pub(super) struct Names {
    numbers: Lookup,
    names: Vec<String>,
}

impl Names {
    /// The number of a name, new or known.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.into(), number);
        self.names.push(name.to_owned());
        number
    }

    /// The number of a known name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The names by number.
    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}
