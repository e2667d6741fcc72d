//! A web server on localhost that does what it is told, also what no server should.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    /// First byte of `Range: bytes=N-`.
    pub fn from(&self) -> Option<usize> {
        let range = self.headers.get("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// What is sent, before the connection is closed.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
    /// Send it in ten pieces, with pauses of this many milliseconds.
    pub pause: u64,
    /// Send nothing more, but keep the connection until the other side closes it.
    pub stall: bool,
}

impl Answer {
    /// `status` and headers, each with its end of line; no length unless it is among them.
    pub fn new(status: &str, headers: &str, body: &[u8]) -> Self {
        Self {
            head: format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n"),
            body: body.to_vec(),
            pause: 0,
            stall: false,
        }
    }

    /// A whole file.
    pub fn whole(body: &[u8], etag: &str) -> Self {
        let headers = format!("Content-Length: {}\r\nETag: \"{etag}\"\r\n", body.len());
        Self::new("200 OK", &headers, body)
    }

    /// The file from a byte on.
    pub fn part(body: &[u8], etag: &str, from: usize) -> Self {
        let rest = &body[from..];
        let headers = format!(
            "Content-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \"{etag}\"\r\n",
            rest.len(),
            body.len() - 1,
            body.len()
        );
        Self::new("206 Partial Content", &headers, rest)
    }

    /// What a good server sends: a part when it is asked for and is of the same file.
    pub fn fair(asked: &Asked, body: &[u8], etag: &str) -> Self {
        let same = asked
            .headers
            .get("if-range")
            .is_none_or(|tag| tag == &format!("\"{etag}\""));
        match asked.from() {
            Some(from) if same && from < body.len() => Self::part(body, etag, from),
            _ => Self::whole(body, etag),
        }
    }

    pub fn status(status: &str) -> Self {
        Self::new(status, "Content-Length: 0\r\n", b"")
    }

    /// Closes the connection after so many bytes of the body.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// Falls silent after so many bytes of the body.
    pub fn stall(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self.stall = true;
        self
    }
}

/// Takes a question and how many for the same path came before.
type Respond = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn new(respond: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, respond): (_, Arc<Respond>) = (Arc::clone(&asked), Arc::new(respond));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                std::thread::spawn(move || serve(stream, &log, respond.as_ref()));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// What was asked for this path, in order.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("not poisoned");
        asked
            .iter()
            .filter(|asked| asked.path == path)
            .cloned()
            .collect()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, respond: &Respond) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line);
    }
    let path = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let headers = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let asked = Asked { path, headers };
    let before = {
        let mut log = log.lock().expect("not poisoned");
        log.push(asked.clone());
        log.iter().filter(|other| other.path == asked.path).count() - 1
    };
    let answer = respond(&asked, before);
    let mut stream = reader.into_inner();
    let mut sent = stream.write_all(answer.head.as_bytes());
    let size = if answer.pause > 0 { 10 } else { 1 };
    for piece in answer.body.chunks((answer.body.len() / size).max(1)) {
        sent = sent.and_then(|()| stream.write_all(piece));
        if answer.pause > 0 {
            std::thread::sleep(std::time::Duration::from_millis(answer.pause));
        }
    }
    if sent.is_ok() && answer.stall {
        let _ = stream.read(&mut [0]);
    }
}
