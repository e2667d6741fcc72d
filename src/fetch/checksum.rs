//! Digests of files.

use super::FetchError;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// The digest that a file must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// MD5, as MovieLens publishes it: good against accidents, not against malice.
    Md5(String),
    /// SHA-256.
    Sha256(String),
}

impl Checksum {
    /// Reads `md5:HEX` or `sha256:HEX`.
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let hex = hex.to_ascii_lowercase();
        let good =
            |digits: usize| hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit());
        match algorithm {
            "md5" if good(32) => Some(Self::Md5(hex)),
            "sha256" if good(64) => Some(Self::Sha256(hex)),
            _ => None,
        }
    }

    /// Finds the MD5 in the text of an `.md5` file: `HEX  NAME` or `MD5 (NAME) = HEX`.
    pub(super) fn in_md5_file(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .find_map(|word| Self::parse(&format!("md5:{word}")))
    }

    /// `MD5` or `SHA-256`.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Md5(_) => "MD5",
            Self::Sha256(_) => "SHA-256",
        }
    }

    /// Whether a file has this digest.
    pub(super) fn holds(&self, digests: &Digests) -> bool {
        self.hex() == self.of(digests)
    }

    /// The digest of the same kind.
    pub(super) fn of<'a>(&self, digests: &'a Digests) -> &'a str {
        match self {
            Self::Md5(_) => &digests.md5,
            Self::Sha256(_) => &digests.sha256,
        }
    }

    fn hex(&self) -> &str {
        match self {
            Self::Md5(hex) | Self::Sha256(hex) => hex,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex())
    }
}

/// Size, digests and first bytes of a file.
#[derive(Clone, Debug)]
pub(super) struct Digests {
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) sha256: String,
    head: Vec<u8>,
}

impl Digests {
    /// Reads a file once.
    pub(super) fn of_file(path: &Path) -> Result<Self, FetchError> {
        let mut file = fs_err::File::open(path)?;
        let (mut md5, mut sha256, mut size) = (Md5::new(), Sha256::new(), 0);
        let (mut buffer, mut head) = (vec![0; 1 << 18], Vec::new());
        loop {
            let n = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            md5.update(bytes);
            sha256.update(bytes);
            size += n as u64;
            if head.len() < 512 {
                head.extend(bytes.iter().take(512));
            }
        }
        Ok(Self {
            size,
            md5: hex(&md5.finalize()),
            sha256: hex(&sha256.finalize()),
            head,
        })
    }

    /// What the file seems to be, as a part of a sentence, when it is none of what we fetch.
    pub(super) fn looks(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let what = if self.size == 0 {
            "; it is empty"
        } else if text.contains("<html") || text.contains("<!doctype html") {
            "; it is a web page, perhaps one that asks for a login"
        } else if text.trim_start().starts_with("version https://git-lfs") {
            "; it is a pointer of Git LFS in place of the file"
        } else {
            return None;
        };
        Some(what.to_owned())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_in_every_spelling() {
        let hex = "c4d9eecfca2ab87c1945afe126590906";
        let md5 = Some(Checksum::Md5(hex.to_owned()));
        assert_eq!(Checksum::parse(&format!("md5:{}", hex.to_uppercase())), md5);
        for text in [
            format!("{hex}  ml-1m.zip\n"),
            format!("{hex} *ml-1m.zip"),
            format!("MD5 (ml-1m.zip) = {hex}\n"),
            hex.to_owned(),
        ] {
            assert_eq!(Checksum::in_md5_file(&text), md5, "{text}");
        }
        for text in [
            "",
            "md5:",
            "md5:xyz",
            "sha1:00",
            hex,
            "sha256:c4d9",
            "<html>404</html>",
        ] {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
        assert_eq!(Checksum::in_md5_file("<html>not found</html>"), None);
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs_err::write(&path, "abc").unwrap();
        let digests = Digests::of_file(&path).unwrap();
        assert_eq!(digests.size, 3);
        // RFC 1321, appendix A.5, and FIPS 180-2, appendix B.1.
        assert_eq!(digests.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            digests.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        fs_err::write(&path, "<!DOCTYPE html><html>log in</html>").unwrap();
        let looks = Digests::of_file(&path).unwrap().looks().unwrap();
        assert!(looks.contains("web page"), "{looks}");
    }
}
