//! The header of safetensors files, read without believing it, and files in several shards.
//!
//! Eight bytes say how long the header is, the header is a JSON object of `name: {dtype, shape, data_offsets}`, the arrays follow
//! without gaps (`safetensors` format, version 0.6 of its library). Nothing is reserved for a size before the file is known to have it.

use super::archive::{Archive, Dtype, Entry, all_problems, broken, overlaps};
use super::{FormatError, json};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The longest header that the format allows.
const LONGEST: u64 = 100_000_000;

/// Types of the format: names, and what they are here.
const TYPES: &[(&str, Dtype)] = &[
    ("F32", Dtype::F32),
    ("F16", Dtype::F16),
    ("BF16", Dtype::BF16),
    ("F64", Dtype::F64),
    ("I64", Dtype::Other("I64", 8)),
    ("U64", Dtype::Other("U64", 8)),
    ("I32", Dtype::Other("I32", 4)),
    ("U32", Dtype::Other("U32", 4)),
    ("I16", Dtype::Other("I16", 2)),
    ("U16", Dtype::Other("U16", 2)),
    ("I8", Dtype::Other("I8", 1)),
    ("U8", Dtype::Other("U8", 1)),
    ("BOOL", Dtype::Other("BOOL", 1)),
    ("F8_E4M3", Dtype::Other("F8_E4M3", 1)),
    ("F8_E5M2", Dtype::Other("F8_E5M2", 1)),
];

/// A JSON object in the order of the file, with names that are there twice.
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Reads and checks the header of one file.
pub(super) fn read_header(path: &Path) -> Result<BTreeMap<String, Entry>, FormatError> {
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    if length < 8 {
        return Err(broken(
            path,
            format!("has {length} bytes, too few for a safetensors file"),
        ));
    }
    let mut size = [0; 8];
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > length - 8 || size > LONGEST {
        return Err(broken(
            path,
            format!(
                "says that its header has {size} bytes, but the file has {length}; it is cut short or no safetensors file"
            ),
        ));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header)?;
    let Members(members) = serde_json::from_slice(&header)
        .map_err(|error| broken(path, format!("its header is no JSON object: {error}")))?;
    entries(path, members, 8 + size, length)
}

/// The arrays that a header names, of a file whose data is the bytes `from .. to`.
fn entries(
    path: &Path,
    members: Vec<(String, serde_json::Value)>,
    from: u64,
    to: u64,
) -> Result<BTreeMap<String, Entry>, FormatError> {
    let mut problems = Vec::new();
    let mut entries = BTreeMap::new();
    for (name, value) in members {
        if name == "__metadata__" {
            continue;
        }
        match entry(&value, from, to) {
            Err(problem) => problems.push(format!("`{name}` {problem}")),
            Ok(entry) => {
                if entries.insert(name.clone(), entry).is_some() {
                    problems.push(format!("`{name}` is there twice"));
                }
            }
        }
    }
    let places: Vec<_> = entries
        .iter()
        .map(|(name, e): (&String, &Entry)| (e.start, e.start + e.bytes, name.as_str()))
        .collect();
    let used: u64 = places.iter().map(|(start, end, _)| end - start).sum();
    overlaps(places, &mut problems);
    if problems.is_empty() && used != to - from {
        problems.push(format!(
            "its arrays take {used} bytes, but {} follow the header",
            to - from
        ));
    }
    all_problems(path, &problems)?;
    Ok(entries)
}

/// One array, or what is wrong with it, to follow its name.
fn entry(value: &serde_json::Value, from: u64, to: u64) -> Result<Entry, String> {
    let name = value["dtype"].as_str().ok_or("has no `dtype`")?;
    let (_, dtype) = TYPES
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| {
            let known: Vec<_> = TYPES.iter().map(|(known, _)| *known).collect();
            format!(
                "has the dtype `{name}`, which is unknown; known are {}",
                known.join(", ")
            )
        })?;
    let whole = |value: &serde_json::Value| -> Option<Vec<u64>> {
        value
            .as_array()?
            .iter()
            .map(serde_json::Value::as_u64)
            .collect()
    };
    let sizes = whole(&value["shape"]).ok_or("has no `shape` of whole numbers")?;
    let shape: Vec<usize> = sizes
        .iter()
        .map(|&size| usize::try_from(size))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("has the shape {sizes:?}, too large for this machine"))?;
    let bytes = dtype
        .bytes(&shape)
        .ok_or_else(|| format!("has the shape {sizes:?}, too large to be true"))?;
    let Some([start, end]) = whole(&value["data_offsets"])
        .as_deref()
        .map(|o| <[u64; 2]>::try_from(o).ok())
        .unwrap_or_default()
    else {
        return Err("has no two `data_offsets`".to_owned());
    };
    if start > end || end > to - from {
        return Err(format!(
            "lies at bytes {start} to {end}, but {} follow the header; the file is cut short or its header is wrong",
            to - from
        ));
    }
    if end - start != bytes {
        return Err(format!(
            "has {} bytes, but {name} {sizes:?} takes {bytes}",
            end - start
        ));
    }
    Ok(Entry {
        shape,
        dtype: *dtype,
        start: from + start,
        bytes,
        file: 0,
    })
}

/// `model.safetensors.index.json`.
#[derive(serde::Deserialize)]
struct Index {
    /// Array -> file, beside the index.
    weight_map: BTreeMap<String, String>,
}

/// Opens the shards that an index names.
pub(super) fn open_shards(path: &Path) -> Result<Archive, FormatError> {
    let index: Index = json::read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort_unstable();
    names.dedup();
    let mut problems = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    let mut all: BTreeMap<String, Entry> = BTreeMap::new();
    for name in names {
        if name.is_empty() || name.contains(['/', '\\']) || name == ".." {
            problems.push(format!("`{name}` is no name of a file beside the index"));
            continue;
        }
        let shard = folder.join(name);
        if !shard.is_file() {
            problems.push(format!("the shard `{name}` is missing"));
            continue;
        }
        for (array, entry) in read_header(&shard)? {
            match index.weight_map.get(&array) {
                Some(place) if place == name => {}
                Some(place) => problems.push(format!(
                    "`{array}` is in `{name}`, but the index says `{place}`"
                )),
                None => problems.push(format!("`{array}` of `{name}` is not in the index")),
            }
            let file = files.len();
            all.insert(array, Entry { file, ..entry });
        }
        files.push(shard);
    }
    for (array, place) in &index.weight_map {
        let there = all.contains_key(array);
        if !there && files.iter().any(|file| file.ends_with(place)) {
            problems.push(format!(
                "`{array}` is not in `{place}`, where the index says it is"
            ));
        }
    }
    all_problems(path, &problems)?;
    Ok(Archive::new(path, files, all))
}

#[cfg(test)]
mod tests;
