//! The cache on disk.
//!
//! ```text
//! cache/
//!   CACHEDIR.TAG                 backup programs skip the folder
//!   v1/
//!     records/4f/<key>.json      what a stage with this key made: output, fingerprint, timings, host
//!     objects/9a/<hash>/         an artifact, under the hash of its content; read-only, never changed
//!     last/<pipeline>.jsonl      key of each stage's last success, so that `plan` can say what changed
//!     scratch/<key>/             checkpoints of a stage that has not finished; kept when it is killed
//!     logs/<key>.jsonl           what the stage reported, attempt after attempt
//!     runs/<run>.jsonl           event log of a run
//!     locks/<key>                held while the stage runs; dies with its process
//!     tmp/                       artifacts being written
//!     files.json                 remembered hashes of files outside the cache
//! ```
//!
//! An object appears by a rename, complete or not at all. A record is written after its object, which is on disk by then if it
//! took a second or more to make; one without an intact object is a miss. Nothing here is ever trusted because it is there: sizes and times are compared
//! when a plan is made, content is hashed before a stage reads it or a person is shown it. Records, `last`, `files.json`
//! and the lines of logs carry a check of their own bytes ([`crate::formats::checked`]).
//!
//! Whatever is written aside is in `tmp/`, under the lock of its key or of its file, and swept by the next run.
//!
//! Collecting garbage ([`Store::collect`]) takes what is older than a limit, or makes the cache larger than one, and what nobody can
//! use. It never takes what a pipeline needs ([`Needs`], gathered by whoever can read pipelines) or a running process
//! found or made. A record goes before its output, each by a rename: what is there is whole, also after a crash. When a
//! result was last used is the time of modification of its record, noted at most once a day.

mod audit;
mod error;
mod eviction;
mod folder;
mod growth;
mod in_use;
mod inventory;
mod last;
mod leftovers;
mod limits;
mod lock;
mod object;
mod record;
mod records;
mod roots;
mod store;
mod sweep;
#[cfg(test)]
mod testing;

pub use audit::{Audit, AuditProgress, Finding};
pub use error::StoreError;
pub use eviction::{Decision, Kept, Need, Needs, Removal, Why, own_part};
pub use inventory::{Cached, Inventory, Thing};
pub use last::LastKeys;
pub use limits::{Limit, Limits, SetLimits};
pub use lock::KeyLock;
pub use object::{Damage, ObjectFile};
pub use record::{Accepted, GitState, Lookup, Origin, Record, Timings};
pub use roots::KnownPipeline;
pub use store::Store;
