//! Data sets and models from their official places into `datasets/`.
//!
//! ```text
//! datasets/
//!   ml-1m/                     a data set: what its archive holds, without the archive's own top folder
//!     .ilm-pipe.json           where it came from, and the BLAKE3 of every file
//!   .download/                 only while something is unfinished
//!     ml-1m.zip.part           what a broken download left; the next one goes on from here
//!     ml-1m.zip.part.json      its address and ETag, so that no other file is continued
//!     ml-1m.unpack/            what is being unpacked
//!     ml-1m.lock               held while the data set is fetched; dies with its process
//! ```
//!
//! A data set appears in its folder by one rename, after its archive's checksum was compared and every entry of the
//! archive was found harmless. What a server says is never believed: not its length, not its range, not its bytes.
//! Folders and links that a person made are used as they are and never written to.
//!
//! | file | idea |
//! | --- | --- |
//! | `catalogue` | what can be had: address, checksum, licence, citation, files |
//! | `source` | which address: the official one, `--url`, a mirror, or what the package registry says (`registry`) |
//! | `http`, `download` | one request; a whole file with retries and resuming |
//! | `checksum`, `unpack` | is it the file that was meant, and is it harmless |
//! | `obtain` | one file, from its source and proven |
//! | `manifest`, `status` | what is installed, and whether it is intact |
//! | `install` | all of it in order |

pub mod catalogue;
mod checksum;
mod download;
mod error;
mod http;
mod install;
mod manifest;
mod obtain;
mod registry;
mod source;
mod status;
mod unpack;

pub use checksum::Checksum;
pub use error::{FetchError, WrongFile};
pub use http::Network;
pub use install::{Installed, Order, Outcome, get};
pub use manifest::{Damage, MANIFEST_FILE, Manifest, Received, StoredFile};
pub use registry::Registry;
pub use status::{State, status};
