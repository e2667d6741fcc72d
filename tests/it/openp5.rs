//! OpenP5 in and out, and Table 5 counted by a plain twin.

use crate::support::Project;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

const FOLDER: &str = r#"
name = "p"

[params]
source = "demo"
min    = 5
write  = "none"
policy = "fail"

[stage.catalog]
kind = "ingest"
source = "${source}"
on_error = "${policy}"
min_interactions = "${min}"
demo_films = 60
demo_users = 50
demo_interactions_per_user = 12

[stage.openp5]
kind = "openp5"
inputs = { catalog = "catalog" }
items = ["random", "sequential", "collaborative"]
token_size = 20
clusters = 4

[stage.prompts]
kind = "prompts"
inputs = { catalog = "catalog", openp5 = "openp5" }
dataset = "Demo"
indexing = "collaborative"
max_history = 3
write = "${write}"
"#;

fn text(path: &Path) -> String {
    fs_err::read_to_string(path).expect("a file")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = text(path);
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect()
}

/// Every file of a folder.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fs_err::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), text(&path))
        })
        .collect()
}

#[test]
fn what_is_written_for_openp5_is_read_back_to_the_same_catalogue_and_files() {
    let project = Project::new(FOLDER);
    project.run(&[]);
    let items = |project: &Project| text(&project.artifact("catalog").join("items.jsonl"));
    let users = |project: &Project| text(&project.artifact("catalog").join("users.jsonl"));
    let (first_items, first_users) = (items(&project), users(&project));
    let mut written = files(&project.artifact("openp5"));
    written.remove("summary.json");
    let names: Vec<&str> = written.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "item_attributes.tsv",
            "item_collaborative_indexing_20_4_sequential.txt",
            "item_random_indexing.txt",
            "item_sequential_indexing_original.txt",
            "prompt.txt",
            "user_indexing.txt",
            "user_sequence.txt",
            "user_sequence_collaborative_indexing_20_4_sequential.txt",
            "user_sequence_random_indexing.txt",
            "user_sequence_sequential_indexing_original.txt",
        ]
    );
    for (name, content) in &written {
        project.write(&format!("datasets/again/{name}"), content);
    }
    // One index file has no usual name: it is made again, with a warning. The others are taken as they are.
    let again = FOLDER.replace("source = \"demo\"", "source = \"again\"");
    project.write("p.toml", &again);
    let ran = project.call(&["run", "p.toml"]).ok();
    let warning = "item_collaborative_indexing_20_4_sequential.txt` is not read; to read it, name it in `index_files`";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    assert_eq!(items(&project), first_items);
    assert_eq!(users(&project), first_users);
    let mut second = files(&project.artifact("openp5"));
    let summary: Value = serde_json::from_str(&second["summary.json"]).expect("json");
    assert_eq!(summary["random_indexing"], "of the source");
    assert_eq!(
        summary["collaborative_indexing_20_4_sequential"], "made",
        "not one of OpenP5's usual names"
    );
    second.remove("summary.json");
    assert_eq!(
        second, written,
        "the collaborative ids are reproducible too"
    );
}

#[test]
fn examples_are_written_as_lines_and_as_openp5s_json() {
    let project = Project::new(FOLDER);
    project.run(&["--set", "write=jsonl"]);
    let show = ["show", "p.toml", "prompts", "--json", "--set"];
    let folder = |write: &str| {
        let mut arguments = show.to_vec();
        arguments.push(write);
        let shown = project.call(&arguments).ok().json();
        project.file(shown[0]["folder"].as_str().expect("a folder"))
    };
    let jsonl = folder("write=jsonl");
    let summary: Value = serde_json::from_str(&text(&jsonl.join("summary.json"))).expect("json");
    let train = lines(&jsonl.join("train.jsonl"));
    assert_eq!(summary["train"], train.len());
    assert_eq!(lines(&jsonl.join("test_unseen.jsonl")).len(), 100);
    for line in &train {
        let (history, target) = (line["history"].as_array().expect("ids"), &line["target"]);
        assert!((1..=3).contains(&history.len()) && !history.contains(target));
    }
    project.run(&["--set", "write=openp5"]);
    let json = folder("write=openp5");
    let name = "Demo_sequential,straightforward_collaborative_train.json";
    let data: Value = serde_json::from_str(&text(&json.join(name))).expect("json");
    let data = data["data"].as_array().expect("a list");
    assert_eq!(data.len(), train.len());
    for (point, line) in data.iter().zip(&train) {
        assert_eq!(
            (&point["input"], &point["output"]),
            (&line["input"], &line["output"])
        );
        assert!(point["data_id"].is_u64() && point["instruction"].is_string());
    }
    let first = data[0]["output"].as_str().expect("text");
    assert!(first.starts_with("Demo item_<CI"), "{first}");
    let name = "Demo_sequential,straightforward_collaborative_20_4_sequential_test_seen:0.json";
    let test: Value = serde_json::from_str(&text(&json.join(name))).expect("json");
    assert_eq!(test["data"].as_array().expect("a list").len(), 100);
}

/// A number below `below` from a simple generator.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// What the twin counts.
struct Twin {
    users: usize,
    items: usize,
    interactions: usize,
    item_item: usize,
    user_item: usize,
    train: usize,
    test: usize,
}

/// Counts as the paper does, one step after the other, from (user, item, time) in the order of the file.
fn twin(ratings: &[(u64, u64, u64)]) -> Twin {
    let mut left = ratings.to_vec();
    loop {
        let count = |wanted: &dyn Fn(&(u64, u64, u64)) -> u64| {
            let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
            for rating in &left {
                *counts.entry(wanted(rating)).or_default() += 1;
            }
            counts
        };
        let (users, items) = (count(&|r| r.0), count(&|r| r.1));
        let before = left.len();
        left.retain(|(user, item, _)| users[user] >= 5 && items[item] >= 5);
        if left.len() == before {
            break;
        }
    }
    let mut sequences: BTreeMap<u64, Vec<(u64, usize, u64)>> = BTreeMap::new();
    for (line, (user, item, time)) in left.iter().enumerate() {
        sequences
            .entry(*user)
            .or_default()
            .push((*time, line, *item));
    }
    let items: BTreeSet<u64> = left.iter().map(|rating| rating.1).collect();
    let (mut pairs, mut user_item, mut train) = (BTreeSet::new(), 0, 0);
    for sequence in sequences.values_mut() {
        sequence.sort_unstable();
        let known = &sequence[..sequence.len() - 2];
        for (place, target) in known.iter().enumerate() {
            user_item += 1;
            if place > 0 {
                pairs.insert((known[place - 1].2, target.2));
                for _task in 0..2 {
                    for _prompt in 0..10 {
                        train += 1;
                    }
                }
            }
        }
    }
    Twin {
        users: sequences.len(),
        items: items.len(),
        interactions: left.len(),
        item_item: pairs.len(),
        user_item,
        train,
        test: 2 * sequences.len(),
    }
}

#[test]
fn table_5_of_files_in_the_format_of_movielens_1m_is_that_of_a_plain_twin() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/table5.toml");
    let project = Project::new(&text(&shipped));
    let mut state = 7;
    let (mut ratings, mut seen) = (Vec::new(), BTreeSet::new());
    for _ in 0..1500 {
        // Popular items are small numbers; many ratings of a user share a second.
        let item = 1 + draw(&mut state, 60) * draw(&mut state, 60) / 20;
        let user = 1 + draw(&mut state, 70) * draw(&mut state, 70) / 30;
        let time = 978_300_000 + draw(&mut state, 12);
        if seen.insert((user, item)) {
            ratings.push((user, item, time));
        }
    }
    let mut dat = String::new();
    for (user, item, time) in &ratings {
        let stars = 1 + draw(&mut state, 5);
        dat.push_str(&format!("{user}::{item}::{stars}::{time}\n"));
    }
    let movies: String = (1..=180)
        .map(|id| format!("{id}::Film {id} (1990)::Drama|Comedy\n"))
        .collect();
    project.write("datasets/ml-1m/ratings.dat", &dat);
    project.write("datasets/ml-1m/movies.dat", &movies);
    let expected = twin(&ratings);
    assert!(
        expected.interactions < ratings.len(),
        "the 5-core removes something"
    );
    let by_set = project
        .call(&["run", "p.toml", "--set", "dataset=ml-1m"])
        .ok()
        .stdout;
    let by_profile = project
        .call(&["run", "p.toml", "--profile", "ml-1m"])
        .ok()
        .stdout;
    assert_eq!(by_set, by_profile);
    let shown = project
        .call(&["show", "p.toml", "table", "--json", "--profile", "ml-1m"])
        .ok()
        .json();
    let folder = project.file(shown[0]["folder"].as_str().expect("a folder"));
    let csv = text(&folder.join("table.csv"));
    let mut found = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        found.insert(fields[0], (fields[2], fields[6]));
    }
    for (row, count, paper) in [
        ("users", expected.users, "6040"),
        ("items", expected.items, "3416"),
        ("interactions", expected.interactions, ""),
        ("item-text pairs", expected.items, ""),
        ("item-item pairs", expected.item_item, ""),
        ("user-item pairs", expected.user_item, ""),
        ("training examples", expected.train, "19629820"),
        ("validation examples", expected.test, ""),
        ("test examples", expected.test, "12080"),
    ] {
        assert_eq!(found[row], (count.to_string().as_str(), paper), "{row}");
    }
    for name in ["table.txt", "table.md", "table.tex"] {
        assert!(text(&folder.join(name)).contains("19,629,820"), "{name}");
    }
}

#[test]
fn amazons_reviews_are_read_and_wrong_lines_are_counted_where_allowed() {
    let project = Project::new(FOLDER);
    let mut reviews = String::new();
    for user in 0..6 {
        for item in 0..6 {
            reviews.push_str(&format!(
                "{{\"reviewerID\": \"U{user}\", \"asin\": \"B{item}\", \"overall\": 4.0, \"unixReviewTime\": {}}}\n",
                1_300_000_000 + (user * 7 + item * 5) % 11
            ));
        }
    }
    reviews.push_str("{\"reviewerID\": \"U1\"}\nnothing\n");
    let folder = project.file("datasets/amazon-beauty");
    fs_err::create_dir_all(&folder).expect("made");
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(reviews.as_bytes()).expect("memory");
    fs_err::write(
        folder.join("reviews_Beauty_5.json.gz"),
        gz.finish().expect("memory"),
    )
    .expect("written");
    project.write(
        "datasets/amazon-beauty/meta_Beauty.json",
        "{'asin': 'B0', 'title': u'Caf\\xe9 Soap', 'brand': \"O'Two\", 'categories': [['Beauty', 'Bath & Body']]}\n",
    );
    let arguments = [
        "run",
        "p.toml",
        "--target",
        "catalog",
        "--set",
        "source=amazon-beauty",
    ];
    let failed = project.call(&arguments).fails(1);
    let told = format!("{}{}", failed.stdout, failed.stderr);
    assert!(
        told.contains("reviews_Beauty_5.json.gz` has 2 problems"),
        "{told}"
    );
    assert!(
        told.contains("line 37: is no review: missing field `asin`"),
        "{told}"
    );
    let mut skipping = arguments.to_vec();
    skipping.extend(["--set", "policy=skip"]);
    let ran = project.call(&skipping).ok();
    assert!(ran.stderr.contains("left out"), "{}", ran.stderr);
    let shown = project
        .call(&[
            "show",
            "p.toml",
            "catalog",
            "--json",
            "--set",
            "source=amazon-beauty",
            "--set",
            "policy=skip",
        ])
        .ok()
        .json();
    let folder = project.file(shown[0]["folder"].as_str().expect("a folder"));
    let summary: Value = serde_json::from_str(&text(&folder.join("summary.json"))).expect("json");
    assert_eq!(summary["lines_skipped"], 2);
    assert_eq!(summary["lines_skipped.reviews_Beauty_5.json.gz"], 2);
    assert_eq!(summary["interactions"], 36);
    assert_eq!(summary["items_without_text"], 5);
    let items = lines(&folder.join("items.jsonl"));
    let soap = items
        .iter()
        .find(|item| item["raw_id"] == "B0")
        .expect("B0");
    assert_eq!(soap["title"], "Café Soap");
    assert_eq!(soap["traits"]["brand"][0], "O'Two");
}
