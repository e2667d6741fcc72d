use super::*;
use crate::data::Filter;
use crate::data::raw::{OnError, RawFormat, TagConfig, Where};
use crate::progress::Silent;
use proptest::prelude::*;

const SEQUENCE: &[u8] = b"u2 b a c\nu1 a d\n";

fn catalog(sequences: &[u8], attributes: Option<&[u8]>) -> Result<Catalog, DataError> {
    let raw = read_catalog(
        Input::bytes("user_sequence.txt", sequences),
        attributes.map(|bytes| Input::bytes("item_attributes.tsv", bytes)),
        &Reading::strict(&Silent),
    )?;
    let all = Filter {
        min_rating: 0.0,
        min_interactions: 0,
    };
    Catalog::new(raw, all)
}

fn names(catalog: &Catalog) -> Vec<&str> {
    let items = catalog.items.iter();
    items.map(|item| item.raw_id.as_str()).collect()
}

#[test]
fn sequences_keep_the_order_of_users_items_and_time() {
    let read = catalog(SEQUENCE, None).unwrap();
    assert_eq!(names(&read), ["b", "a", "c", "d"]);
    assert_eq!(read.users[0].raw_id, "u2");
    assert_eq!(read.interactions.users, [0, 0, 0, 1, 1]);
    assert_eq!(read.interactions.items, [0, 1, 2, 1, 3]);
    assert_eq!(read.interactions.timestamps, [0, 1, 2, 0, 1]);
    assert_eq!(read.items[0].title, "b");
}

#[test]
fn attributes_name_the_items_and_order_them() {
    let table = b"asin\ttitle\tcategories\tbrand\tyear\nz\tNobody\t\t\t\na\tSoap\tUnknown|Bath\tAcme\t1999\nb\t\tFace\t\t\n";
    let read = catalog(SEQUENCE, Some(table)).unwrap();
    assert_eq!(names(&read), ["a", "b", "c", "d"]);
    let item = &read.items[0];
    assert_eq!((item.title.as_str(), item.year), ("Soap", Some(1999)));
    assert_eq!(item.genres, ["Bath"]);
    assert_eq!(item.values("brand"), ["Acme"]);
    assert_eq!(read.items[1].title, "b");
    // What is written is read again.
    let text = attribute_lines(&read);
    assert_eq!(catalog(SEQUENCE, Some(text.as_bytes())).unwrap(), read);
}

#[test]
fn each_bad_line_is_told() {
    for (line, expected) in [
        ("u1", "has only the user `u1`, but must have items after it"),
        ("", "is blank, but must have a user and items"),
        (
            "u1  a",
            "has a space at an end or two in a row, but must have single spaces between words",
        ),
        (
            "u2 a",
            "user `u2` has a line already, 1; a user may have one",
        ),
    ] {
        let text = format!("u2 b a c\n{line}\nu3 a\n");
        assert_eq!(
            catalog(text.as_bytes(), None).unwrap_err().to_string(),
            format!("`user_sequence.txt`, line 2: {expected}")
        );
    }
    for (line, expected) in [
        ("a", "is `a`, but must be a name, a space and an id"),
        ("a 1 2", "is `a 1 2`, but must be a name, a space and an id"),
        ("b 1002", "`b` has an id already, on line 1"),
        ("c 1001", "the id `1001` is given already, on line 1"),
    ] {
        let text = format!("b 1001\n{line}\n");
        let input = Input::bytes("item_random_indexing.txt", text.as_bytes());
        let error = read_index(input, &Reading::strict(&Silent)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`item_random_indexing.txt`, line 2: {expected}")
        );
    }
    for (line, expected) in [
        (
            "sequential; seen; What ?",
            "has 3 parts, but must have 4 separated by `;`: task, `seen` or `unseen`, input, output",
        ),
        (
            "sequential; old; What ?; {target}",
            "has `old`, but must have `seen` or `unseen` there",
        ),
        (
            "sequential; seen; {user} ?; {target}",
            "has `{user} ?`, but braces must stand around one of `dataset`, `user_id`, `history`, `target`",
        ),
        ("; seen; a; b", "has an empty task, but must name one"),
    ] {
        assert_eq!(parse_prompt(line.as_bytes()).unwrap_err(), expected);
    }
    for (table, expected) in [
        (
            "item\tcolour\na\tred",
            "line 1: the header is `item\tcolour`, but must name the item and then any of `title`, `year`, `categories`, `tags`, \
             `brand`, `sort`, `trait:…`, separated by tabs",
        ),
        (
            "item\tyear\na\tx",
            "line 2: `year` is `x`, but must be a year",
        ),
        (
            "item\ttitle\na",
            "line 2: has 1 columns, but the header has 2",
        ),
        (
            "item\ttitle\na\tx\na\ty",
            "line 3: item `a` is listed already, on line 2; an item may be listed once",
        ),
    ] {
        let error = catalog(SEQUENCE, Some(table.as_bytes())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`item_attributes.tsv`, {expected}")
        );
    }
}

#[test]
fn an_index_must_number_everything_and_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    write(SEQUENCES, "u2 b a c\nu1 a d\n");
    write(USERS, "u2 1\nu1 2\nu9 3\n");
    write("item_random_indexing.txt", "d 1001\na 1002\nb 1003\n");
    write("item_own_indexing.txt", "d 1\na 2\nb 3\nc 4\n");
    let wanted = Where {
        tags: TagConfig {
            max_tags: 8,
            min_relevance: 0.8,
        },
        category: None,
        index_files: vec!["item_own_indexing.txt".to_owned()],
    };
    let read = || {
        let reading = Reading::new(OnError::Fail, &Silent);
        RawFormat::OpenP5.read(folder.path(), &wanted, &reading)
    };
    let error = read().unwrap_err().to_string();
    assert!(
        error.ends_with(
            "item_random_indexing.txt` has no id for 1 of the items in `user_sequence.txt`: `c`"
        ),
        "{error}"
    );
    write(
        "item_random_indexing.txt",
        "d 1001\na 1002\nb 1003\nc 1004\n",
    );
    let found = read().unwrap();
    let two = Filter {
        min_rating: 0.0,
        min_interactions: 2,
    };
    // The 2-core of these is empty; without a filter all is kept.
    assert!(Catalog::new(found.catalog.clone(), two).is_err());
    let all = Filter {
        min_interactions: 0,
        ..two
    };
    let catalog = Catalog::new(found.catalog, all).unwrap();
    found.shipped.write(&catalog, folder.path()).unwrap();
    let written =
        |name: &str| fs_err::read_to_string(folder.path().join(SHIPPED).join(name)).unwrap();
    assert_eq!(written(USERS), "u2 1\nu1 2\n");
    assert_eq!(written("item_own_indexing.txt"), "d 1\na 2\nb 3\nc 4\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_line_gives_a_value_or_an_error(line in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = (parse_sequence(&line), parse_index(&line), parse_prompt(&line));
    }
}
