//! A text's words and the features made of them.
//!
//! A word is a longest run of alphanumeric characters (Unicode), lower-cased: `Don't look, Ma!` has the words
//! `don`, `t`, `look`, `ma`. scikit-learn's `TfidfVectorizer` drops words of one character; these stay, because
//! titles have them (`M`, `Z`, `Apollo 13`'s digits).

use serde::{Deserialize, Serialize};

/// Which features a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Runs of up to this many words are features: 1 for words alone, 2 for pairs of neighbours too.
    pub word_ngrams: usize,
    /// Runs of 3 to this many characters inside a word, with one space before and one after it, are features too
    /// (scikit-learn's `char_wb`); 0 for none.
    pub char_ngrams: usize,
}

/// The shortest run of characters that is a feature.
pub const SHORTEST_CHARS: usize = 3;

/// Marks a feature of characters. It is not alphanumeric, so no word starts with it.
const CHARS: char = '#';

/// Returns the lower-cased words of a text, in order.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

impl Features {
    /// Returns the features of a text, in order, with repeats. A run of words is joined by spaces, a run of
    /// characters starts with `#`.
    pub fn of(self, text: &str) -> Vec<String> {
        let words = words(text);
        let mut features = Vec::new();
        for length in 1..=self.word_ngrams {
            features.extend(words.windows(length).map(|run| run.join(" ")));
        }
        if self.char_ngrams > 0 {
            for word in &words {
                let chars: Vec<char> = std::iter::once(' ')
                    .chain(word.chars())
                    .chain(std::iter::once(' '))
                    .collect();
                for length in SHORTEST_CHARS..=self.char_ngrams {
                    let runs = chars.windows(length);
                    features.extend(runs.map(|run| std::iter::once(&CHARS).chain(run).collect()));
                }
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_cased_runs_of_letters_and_digits() {
        assert_eq!(words("Don't look, Ma!"), ["don", "t", "look", "ma"]);
        assert_eq!(words("  Amélie—2001 "), ["amélie", "2001"]);
        assert!(words(" …!").is_empty());
    }

    #[test]
    fn runs_of_words_and_characters_are_features() {
        let pairs = Features {
            word_ngrams: 2,
            char_ngrams: 0,
        };
        assert_eq!(
            pairs.of("A sad film"),
            ["a", "sad", "film", "a sad", "sad film"]
        );
        let chars = Features {
            word_ngrams: 1,
            char_ngrams: 4,
        };
        assert_eq!(
            chars.of("Up it"),
            ["up", "it", "# up", "#up ", "# up ", "# it", "#it ", "# it "]
        );
    }
}
