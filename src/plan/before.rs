//! What a verdict is compared with.

use crate::artifact::Record;
use crate::key::{Fingerprint, Hash};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// The last success of a stage of a pipeline.
#[derive(Clone, Debug)]
pub struct Before {
    /// Its key.
    pub key: Hash,
    /// Its record; none when the cache no longer has it.
    pub record: Option<Arc<Record>>,
}

impl Before {
    /// What that result depended on.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.record.as_ref().map(|record| &record.fingerprint)
    }
}

impl Serialize for Before {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let origin = self.record.as_ref().map(|record| &record.origin);
        let mut out = serializer.serialize_struct("Before", 4)?;
        out.serialize_field("key", &self.key)?;
        out.serialize_field("run", &origin.map(|origin| &origin.run))?;
        out.serialize_field("started", &origin.map(|origin| &origin.started))?;
        out.serialize_field("fingerprint", &self.fingerprint())?;
        out.end()
    }
}
