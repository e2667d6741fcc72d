//! What a result depends on.
//!
//! A [`Fingerprint`] is a sorted map of dotted names to values, everything that decides what a stage makes:
//!
//! - `format`: version of this scheme,
//! - `kind` and `version`: the code, by its hand-set version,
//! - `params.…`: every parameter leaf, defaults filled in, as JSON,
//! - `seed`, when the kind uses random numbers,
//! - `inputs.PORT[k]`: the *content hash* of the k-th artifact of a port; for a port that takes many also
//!   `inputs.PORT[k].matrix.AXIS`, because such a stage is told which arm an artifact comes from,
//! - `files.PATH`: the content hash of a file outside the cache, by its path below the project folder.
//!
//! Never in it: the clock, absolute paths, the host, the number of threads, comments, the order of keys, the names of
//! stages and pipelines. Two pipelines that ask for the same thing share the result. The device is not in it either: the
//! processor and a GPU compute the same to rounding, and a person who trained on a GPU wants to go on from that anywhere. The
//! record of a result names the device that it was computed on, and `show --provenance` shows it.
//!
//! Content hashes as inputs stop the ripple early: an upstream stage that reran to the same bytes leaves the stages
//! after it fresh. The difference of two fingerprints *is* the list of reasons why a stage runs.

mod difference;
mod files;
mod fingerprint;

pub use difference::{Change, difference, shortened};
pub use files::{FileError, FileHashes, Sighting, Stamp, hash_file};
pub use fingerprint::{Fingerprint, InputHash, input_name};

use serde::{Deserialize, Serialize};
use std::fmt;

/// A BLAKE3 hash: of a fingerprint (a key) or of content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Lower-case hexadecimal, 64 characters.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.hex();
        text.truncate(12);
        text
    }

    /// Reads what [`Hash::hex`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(Self::from)
    }
}

impl From<blake3::Hash> for Hash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

/// Reads a hash without a copy of its text.
struct Digits;

impl serde::de::Visitor<'_> for Digits {
    type Value = Hash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hash of 64 hex digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hash, E> {
        Hash::parse(text).ok_or_else(|| E::custom("not a 64-digit hash"))
    }
}
