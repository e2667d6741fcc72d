//! What stages leave opens without this program: safetensors read by the format's rules alone, Parquet by polars.

use crate::support::Project;
use polars::prelude::{DataType, ParquetReader, SerReader as _};
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;

const VECTORS: &str = r#"
name = "p"

[stage.catalog]
kind = "ingest"
source = "demo"
demo_films = 40
demo_users = 30
demo_interactions_per_user = 10

[stage.split]
kind = "split"
inputs = { catalog = "catalog" }

[stage.cf]
kind = "fit-cf"
inputs = { catalog = "catalog", split = "split" }
method = "ials++"
block = 16
factors = 20
epochs = 2

[stage.encoder]
kind = "fit-encoder"
inputs = { texts = "catalog" }
dim = 8

[stage.text]
kind = "embed-text"
inputs = { catalog = "catalog", encoder = "encoder" }

[stage.tokens]
kind = "combine"
inputs = { behavioural = "cf", semantic = "text" }
"#;

/// Name, shape and numbers of every array of a file, by the rules: eight bytes of little-endian header length, the header
/// in JSON with the type, the shape and the place of each array, then the numbers, row-major.
fn arrays(path: &Path) -> Vec<(String, Vec<u64>, Vec<f32>)> {
    let bytes = fs_err::read(path).expect("a file");
    let (length, rest) = bytes.split_first_chunk::<8>().expect("eight bytes");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).expect("json");
    let mut end = 0;
    let arrays = header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, about)| {
            assert_eq!(about["dtype"], "F32", "{name}");
            let place = |index: usize| about["data_offsets"][index].as_u64().expect("a place");
            let numbers: Vec<f32> = data[place(0) as usize..place(1) as usize]
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            end = end.max(place(1));
            let shape: Vec<u64> = serde_json::from_value(about["shape"].clone()).expect("a shape");
            assert_eq!(
                shape.iter().product::<u64>(),
                numbers.len() as u64,
                "{name}"
            );
            assert!(numbers.iter().all(|x| x.is_finite()), "{name}");
            (name, shape, numbers)
        })
        .collect();
    assert_eq!(end, data.len() as u64, "nothing follows the last array");
    arrays
}

fn shapes(path: &Path) -> Value {
    arrays(path)
        .into_iter()
        .map(|(name, shape, _)| (name, json!(shape)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn vectors_and_tables_open_without_us() {
    let project = Project::new(VECTORS);
    project.call(&["run", "p.toml"]).ok();
    let lines = |stage: &str, file: &str| {
        let text = fs_err::read_to_string(project.artifact(stage).join(file)).expect("a file");
        text.lines().count()
    };
    // A row a line of the catalogue: what the example in README counts on.
    let (users, items) = (
        lines("catalog", "users.jsonl"),
        lines("catalog", "items.jsonl"),
    );

    let factors = project.artifact("cf").join("factors.safetensors");
    assert_eq!(
        shapes(&factors),
        json!({"items": [items, 20], "users": [users, 20]})
    );
    assert_eq!(
        shapes(&project.artifact("text").join("embeddings.safetensors")),
        json!({"items": [items, 8]})
    );
    assert_eq!(
        shapes(&project.artifact("tokens").join("item_tokens.safetensors"))["items"],
        json!([items, 2, 20])
    );

    let bytes = fs_err::read(project.artifact("split").join("train.parquet")).expect("a file");
    let table = ParquetReader::new(Cursor::new(bytes))
        .finish()
        .expect("a table");
    let mut seen = vec![false; users];
    for user in table
        .column("user")
        .expect("users")
        .u32()
        .expect("ids")
        .iter()
    {
        seen[user.expect("an id") as usize] = true;
    }
    assert_eq!(
        table.column("item").expect("items").dtype(),
        &DataType::UInt32
    );

    // The vectors are those of the rows they are said to be: zero where, and only where, a user has no training item.
    let (name, _, numbers) = arrays(&factors).pop().expect("an array");
    assert_eq!(name, "users");
    for (user, vector) in numbers.chunks_exact(20).enumerate() {
        assert_eq!(vector.iter().any(|&x| x != 0.0), seen[user], "user {user}");
    }
}
