//! A byte-level BPE tokenizer, trained on the pipeline's own texts.
//!
//! As GPT-2's: a text is cut into words (with the space before them), numbers and punctuation by GPT-2's expression, each
//! byte is a token to begin with, and the most frequent pair of neighbours becomes a token, again and again. Any text
//! can be encoded and comes back the same. The work is done by the `tokenizers` library, whose `tokenizer.json` Python's
//! `transformers` reads too.

use super::TextError;
use super::specials::{self, Specials};
use rayon::prelude::*;
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, TokenizerBuilder, TokenizerImpl};

/// Fills a batch's short rows.
pub const PAD: u32 = 0;
/// Starts a text.
pub const BOS: u32 = 1;
/// Ends a text.
pub const EOS: u32 = 2;
/// Stands where an item's vectors go.
pub const ITEM: u32 = 3;
/// Starts a text that the Q-Former writes.
pub const DEC: u32 = 4;
/// Starts a text that the Q-Former reads.
pub const CLS: u32 = 5;

/// The special tokens; each one's id is its place.
pub const SPECIAL_TOKENS: [&str; 6] = ["<pad>", "<bos>", "<eos>", "<item>", "<dec>", "<cls>"];

/// The smallest vocabulary: every byte and every special token.
pub const LEAST_VOCABULARY: usize = 256 + SPECIAL_TOKENS.len();

/// How a tokenizer is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Tokens in all, special ones included; at least [`LEAST_VOCABULARY`]. Fewer when the texts have no more pairs.
    pub vocab_size: usize,
    /// How often a pair of neighbours must occur to become a token.
    pub min_frequency: u64,
}

/// Text to token ids and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    specials: Specials,
}

impl Tokenizer {
    /// Trains a tokenizer. The same texts give the same tokenizer, in any order and with any number of threads.
    pub fn train(texts: &[String], config: &TokenizerConfig) -> Result<Self, TextError> {
        if config.vocab_size < LEAST_VOCABULARY {
            return Err(TextError::Vocabulary {
                found: config.vocab_size,
                least: LEAST_VOCABULARY,
                specials: SPECIAL_TOKENS.len(),
            });
        }
        // Special tokens are whole: their letters must not count as text.
        let pieces: Vec<&str> = texts.iter().flat_map(|text| pieces(text)).collect();
        if pieces.is_empty() {
            return Err(TextError::NoTexts);
        }
        let bytes = ByteLevel::default().add_prefix_space(false);
        let mut inner: TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel> =
            TokenizerBuilder::default()
                .with_model(BPE::default())
                .with_pre_tokenizer(Some(bytes))
                .with_decoder(Some(bytes))
                .build()
                .map_err(TextError::Tokenizer)?;
        let specials = SPECIAL_TOKENS.map(|token| AddedToken::from(token, true));
        let mut trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(config.vocab_size)
            .min_frequency(config.min_frequency)
            .special_tokens(specials.to_vec())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        inner
            .train(&mut trainer, pieces.into_iter())
            .map_err(TextError::Tokenizer)?;
        let text = inner.to_string(true).map_err(TextError::Tokenizer)?;
        let whole = tokenizers::Tokenizer::from_bytes(text).map_err(TextError::Tokenizer)?;
        Ok(Self {
            inner: whole,
            specials: Specials::ours(),
        })
    }

    /// Writes `tokenizer.json`.
    pub fn save(&self, path: &Path) -> Result<(), TextError> {
        let mut text = self.inner.to_string(true).map_err(TextError::Tokenizer)?;
        text.push('\n');
        fs_err::write(path, text)?;
        Ok(())
    }

    /// Reads what [`Tokenizer::save`] wrote; refuses a file whose special tokens are not [`SPECIAL_TOKENS`]. With a file
    /// `special_tokens.json` beside it, it is a tokenizer of others: see [`Specials`].
    pub fn load(path: &Path) -> Result<Self, TextError> {
        if let Some(named) = specials::beside(path)? {
            let (inner, specials) = specials::open(path, &named)?;
            return Ok(Self { inner, specials });
        }
        let bytes = fs_err::read(path)?;
        let wrong = |message: String| TextError::File {
            path: path.to_owned(),
            message,
        };
        let inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| wrong(format!("is no tokenizer: {error}")))?;
        for (place, token) in SPECIAL_TOKENS.iter().enumerate() {
            let found = inner.token_to_id(token);
            if found != Some(place as u32) {
                let found = found.map_or("missing".to_owned(), |id| format!("token {id}"));
                return Err(wrong(format!(
                    "`{token}` is {found}, but must be token {place}"
                )));
            }
        }
        Ok(Self {
            inner,
            specials: Specials::ours(),
        })
    }

    /// The tokens that are no words.
    pub fn specials(&self) -> &Specials {
        &self.specials
    }

    /// The number of tokens; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Returns the ids of a text. Nothing is added before or after it; a special token's name in the text (`<item>`)
    /// becomes that token.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.inner
            .encode_fast(text, false)
            .expect(
                "a byte-level vocabulary, or one that was tried on unknown text, encodes any text",
            )
            .get_ids()
            .to_vec()
    }

    /// Returns [`Tokenizer::encode`] of every text.
    pub fn encode_all(&self, texts: &[String]) -> Vec<Vec<u32>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// Returns the text of ids. Special tokens and ids outside the vocabulary are left out; bytes that are no UTF-8
    /// become `U+FFFD`.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.inner
            .decode(ids, true)
            .expect("decoders of pieces of text decode any ids")
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocab_size())
    }
}

/// The parts of a text between special tokens.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = vec![text];
    for token in SPECIAL_TOKENS {
        pieces = pieces.iter().flat_map(|piece| piece.split(token)).collect();
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;
    use rand::seq::SliceRandom as _;

    const CONFIG: TokenizerConfig = TokenizerConfig {
        vocab_size: 400,
        min_frequency: 2,
    };

    /// Sentences of a small vocabulary, with runs of one character, which make ties and equal tokens.
    fn corpus() -> Vec<String> {
        let mut rng = Seed::new(2).rng();
        let words = [
            "Amélie", "film", "the", "crew's", "2001", "aaaaaaa", "aaaa", "hmm…", "--------",
        ];
        (0..400)
            .map(|_| {
                (0..rng.gen_range(1..12))
                    .map(|_| *words.choose(&mut rng).unwrap())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }

    fn file(tokenizer: &Tokenizer) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        fs_err::read(path).unwrap()
    }

    #[test]
    fn any_text_comes_back() {
        let tokenizer = Tokenizer::train(&corpus(), &CONFIG).unwrap();
        for text in [
            "the film",
            " Two  spaces\n\tand a tab ",
            "日本語 🎬 never seen",
            "Amélie's 2001",
            "",
        ] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text);
        }
        // Seen words are short, and so is the file's vocabulary.
        assert_eq!(tokenizer.encode(" Amélie").len(), 1);
        assert!(tokenizer.vocab_size() <= 400 && tokenizer.vocab_size() > LEAST_VOCABULARY);
        let all = tokenizer.encode_all(&["the".to_owned(), " film".to_owned()]);
        assert_eq!(all, [tokenizer.encode("the"), tokenizer.encode(" film")]);
    }

    #[test]
    fn special_tokens_have_their_ids_and_are_whole() {
        let mut texts = corpus();
        texts.extend((0..50).map(|_| "about <item>, then".to_owned()));
        let tokenizer = Tokenizer::train(&texts, &CONFIG).unwrap();
        for (id, token) in SPECIAL_TOKENS.iter().enumerate() {
            assert_eq!(tokenizer.encode(token), [id as u32]);
        }
        let ids = tokenizer.encode("film <item><item>!<eos>");
        assert_eq!(ids.iter().filter(|&&id| id == ITEM).count(), 2);
        assert_eq!(ids.last(), Some(&EOS));
        assert_eq!(tokenizer.decode(&ids), "film !");
        assert_eq!(tokenizer.decode(&[PAD, BOS, 1_000_000, CLS, DEC]), "");
        // The letters of `<item>` are no text: only ` about` and ` then` could make tokens of these sentences.
        assert!(tokenizer.encode("item").len() > 1);
    }

    #[test]
    fn the_same_texts_give_the_same_bytes_in_any_order_with_any_threads() {
        let texts = corpus();
        let run = |texts: &[String], threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| file(&Tokenizer::train(texts, &CONFIG).unwrap()))
        };
        let one = run(&texts, 1);
        let mut shuffled = texts.clone();
        shuffled.shuffle(&mut Seed::new(8).rng());
        for threads in [1, 2, 5] {
            assert_eq!(one, run(&texts, threads));
            assert_eq!(one, run(&shuffled, threads));
        }
    }

    #[test]
    fn a_tokenizer_survives_the_file_and_wrong_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let tokenizer = Tokenizer::train(&corpus(), &CONFIG).unwrap();
        tokenizer.save(&path).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        assert_eq!(file(&loaded), file(&tokenizer));
        let text = "the crew's film <item> 2001";
        assert_eq!(loaded.encode(text), tokenizer.encode(text));

        let message = |text: &str| {
            fs_err::write(&path, text).unwrap();
            let message = Tokenizer::load(&path).unwrap_err().to_string();
            message.replace(&folder.path().display().to_string(), "F")
        };
        insta::assert_snapshot!(message("{}"), @"`F/tokenizer.json`: is no tokenizer: Model missing. at line 1 column 2");
        let text = String::from_utf8(file(&tokenizer)).unwrap();
        insta::assert_snapshot!(
            message(&text.replace("<dec>", "<decode>")),
            @"`F/tokenizer.json`: `<dec>` is missing, but must be token 4"
        );
    }

    #[test]
    fn too_small_a_vocabulary_and_no_text_are_errors() {
        let small = TokenizerConfig {
            vocab_size: 261,
            ..CONFIG
        };
        let error = Tokenizer::train(&corpus(), &small).unwrap_err();
        insta::assert_snapshot!(error, @"`vocab_size` is 261, but must be at least 262: 256 bytes and 6 special tokens");
        assert!(matches!(
            Tokenizer::train(&["<item>".to_owned()], &CONFIG),
            Err(TextError::NoTexts)
        ));
    }
}
