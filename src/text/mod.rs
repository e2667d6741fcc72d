//! Texts of items, tokenizers, text encoders that need no network.
