//! Text as numbers: a sentence encoder that needs no network, and a byte-level tokenizer.
//!
//! [`TextEncoder`] is TF-IDF ([`tfidf`], on the features of [`words`]) followed by a truncated SVD ([`svd`]): latent
//! semantic analysis. [`Tokenizer`] is a byte-level BPE trained on the pipeline's own texts, [`PretrainedTokenizer`] one of others.

pub mod eigen;
pub mod embed;
mod encoder;
mod error;
pub mod gguf;
mod pretrained;
pub mod sparse;
mod specials;
pub mod svd;
pub mod tfidf;
mod tokenizer;
pub mod words;

pub use encoder::{EncoderConfig, TextEncoder};
pub use error::TextError;
pub use pretrained::PretrainedTokenizer;
pub use specials::{NamedSpecials, SPECIALS_FILE, Specials, starts_with_bos, token_ids};
pub use tokenizer::{
    BOS, CLS, DEC, EOS, ITEM, LEAST_VOCABULARY, PAD, SPECIAL_TOKENS, Tokenizer, TokenizerConfig,
};
