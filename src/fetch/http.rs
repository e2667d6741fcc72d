//! One HTTP request, in a thread of its own.
//!
//! The thread may sit in a connect or a read for as long as the operating system likes; the caller looks up every
//! tenth of a second to see whether it was asked to stop, and measures silence itself.

use crate::clock::Stopwatch;
use crate::progress::{Progress, Stopped};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use ureq::ResponseExt as _;
use ureq::http::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE,
    RETRY_AFTER,
};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// How often a waiting caller looks up.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Chunks between the connection and the disk.
const CHUNK: usize = 1 << 16;

/// The certificate bundles of the usual systems; a machine behind a company's proxy has the proxy's certificate there.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
];

/// How the network is used.
#[derive(Clone, Debug)]
pub struct Network {
    /// Failures in a row, none of which brought a new byte, before giving up is 1 more than this.
    pub retries: u32,
    /// Silence after which a connection counts as broken.
    pub timeout: Duration,
    /// Wait before the first retry; it doubles each time, up to 30 s.
    pub backoff: Duration,
    /// Certificates to trust in place of the system's.
    pub certificates: Option<PathBuf>,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Get {
    pub(super) url: String,
    /// What is asked for; anything when empty.
    pub(super) accept: &'static str,
    /// Bytes that are already here.
    pub(super) from: u64,
    /// ETag or date that the bytes here belong to.
    pub(super) validator: Option<String>,
}

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Code and name.
    pub(super) status_text: String,
    /// Where redirects ended.
    pub(super) url: String,
    pub(super) length: Option<u64>,
    /// First byte and whole length, of a part.
    pub(super) range: Option<(Option<u64>, Option<u64>)>,
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
    pub(super) encoding: Option<String>,
    pub(super) html: bool,
    /// Seconds.
    pub(super) retry_after: Option<u64>,
}

enum Event {
    Head(Box<Head>),
    Bytes(Vec<u8>),
    End,
    Failed(String),
}

/// An answer whose body is still coming.
pub(super) struct Answer {
    pub(super) head: Head,
    events: Receiver<Event>,
    timeout: Duration,
}

/// Why an answer broke off.
pub(super) enum Broken {
    /// The connection failed, in words.
    Failed(String),
    /// A person asked to stop.
    Stopped(Stopped),
}

/// Makes requests.
#[derive(Clone, Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    pub(super) network: Network,
}

impl Client {
    /// Sets up certificates, proxies (from the usual variables) and time limits.
    pub(super) fn new(network: Network) -> Self {
        let mut tls = TlsConfig::builder();
        if let Some(roots) = roots(network.certificates.as_deref()) {
            tls = tls.root_certs(roots);
        }
        let agent = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .user_agent(concat!("ilm-pipe/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(network.timeout))
            .timeout_connect(Some(network.timeout))
            .timeout_recv_response(Some(network.timeout))
            .timeout_per_read(Some(network.timeout))
            .max_redirects(8)
            .build()
            .new_agent();
        Self { agent, network }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) fn send(&self, get: &Get, progress: &dyn Progress) -> Result<Answer, Broken> {
        let (sender, events) = sync_channel(16);
        let (agent, request) = (self.agent.clone(), get.clone());
        std::thread::spawn(move || converse(&agent, &request, &sender));
        // The thread has limits of its own for each step; this one only has to outlast their sum.
        let mut answer = Answer {
            head: Head::default(),
            events,
            timeout: 4 * self.network.timeout,
        };
        match answer.next(progress)? {
            Event::Head(head) => {
                answer.head = *head;
                answer.timeout = self.network.timeout;
                Ok(answer)
            }
            Event::Failed(reason) => Err(Broken::Failed(reason)),
            Event::Bytes(_) | Event::End => Err(Broken::Failed("no answer".to_owned())),
        }
    }
}

impl Answer {
    fn next(&self, progress: &dyn Progress) -> Result<Event, Broken> {
        let silence = Stopwatch::start();
        loop {
            match self.events.recv_timeout(LOOK_UP) {
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Broken::Failed("the connection was given up".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    alive(progress).map_err(Broken::Stopped)?;
                    if silence.elapsed() > self.timeout {
                        return Err(Broken::Failed(silent(self.timeout)));
                    }
                }
            }
        }
    }

    /// The next bytes of the body; none at its end.
    pub(super) fn bytes(&self, progress: &dyn Progress) -> Result<Option<Vec<u8>>, Broken> {
        match self.next(progress)? {
            Event::Bytes(bytes) => Ok(Some(bytes)),
            Event::End => Ok(None),
            Event::Failed(reason) => Err(Broken::Failed(reason)),
            Event::Head(_) => Err(Broken::Failed("a second answer came".to_owned())),
        }
    }
}

/// Asks whether to go on; nothing is shown.
pub(super) fn alive(progress: &dyn Progress) -> Result<(), Stopped> {
    progress.tick("", 0, 0)
}

/// Waits, looking up in between.
pub(super) fn wait(time: Duration, progress: &dyn Progress) -> Result<(), Stopped> {
    let watch = Stopwatch::start();
    while let Some(left) = time
        .checked_sub(watch.elapsed())
        .filter(|left| !left.is_zero())
    {
        alive(progress)?;
        std::thread::sleep(left.min(LOOK_UP));
    }
    alive(progress)
}

fn silent(timeout: Duration) -> String {
    format!("nothing came for {} s", timeout.as_secs_f64())
}

/// In the thread: the request, the head, the body. Ends when nobody listens any more.
fn converse(agent: &ureq::Agent, get: &Get, events: &SyncSender<Event>) {
    let failed = |error: ureq::Error| Event::Failed(words(error));
    let mut request = agent.get(&get.url);
    if !get.accept.is_empty() {
        request = request.header(ACCEPT, get.accept);
    }
    if get.from > 0 {
        request = request.header(RANGE, format!("bytes={}-", get.from));
        if let Some(validator) = &get.validator {
            request = request.header(IF_RANGE, validator);
        }
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => {
            let _ = events.send(failed(error));
            return;
        }
    };
    if events.send(Event::Head(Box::new(head(&response)))).is_err() {
        return;
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut bytes = vec![0; CHUNK];
        let event = match body.read(&mut bytes) {
            Ok(0) => Event::End,
            Ok(n) => {
                bytes.truncate(n);
                Event::Bytes(bytes)
            }
            Err(error) => Event::Failed(words(ureq::Error::from(error))),
        };
        let more = matches!(event, Event::Bytes(_));
        if events.send(event).is_err() || !more {
            return;
        }
    }
}

fn head(response: &ureq::http::Response<ureq::Body>) -> Head {
    let text = |name: HeaderName| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let status = response.status();
    Head {
        status: status.as_u16(),
        status_text: status.to_string(),
        url: response.get_uri().to_string(),
        length: response.body().content_length(),
        range: text(CONTENT_RANGE).and_then(|range| content_range(&range)),
        etag: text(ETAG).filter(|tag| !tag.starts_with("W/")),
        modified: text(LAST_MODIFIED),
        encoding: text(CONTENT_ENCODING).filter(|name| name != "identity"),
        html: response.body().mime_type() == Some("text/html"),
        retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
    }
}

/// First byte and whole length in `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = range
        .split_once('-')
        .and_then(|(first, _)| first.parse().ok());
    Some((first, whole.parse().ok()))
}

fn words(error: ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => {
            "the server's name is not known here: no network, or no such server".to_owned()
        }
        ureq::Error::Timeout(ureq::Timeout::Connect) => {
            "the server could not be reached in time".to_owned()
        }
        ureq::Error::Timeout(_) => "the server was silent for too long".to_owned(),
        ureq::Error::TooManyRedirects => "the server redirects in circles".to_owned(),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the connection was cut".to_owned()
        }
        ureq::Error::Io(error) => match error
            .get_ref()
            .map(|inner| inner.downcast_ref::<ureq::Error>())
        {
            Some(Some(ureq::Error::Timeout(_))) => "the server was silent for too long".to_owned(),
            // The standard library's own kind for this is not stable.
            _ if error.to_string().contains("lookup address") => {
                "the server's name is not known here: no network, or no such server".to_owned()
            }
            _ => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// The certificates to trust: those that were named, else the system's, else (none) those built in.
fn roots(named: Option<&Path>) -> Option<RootCerts> {
    let bundles = named.into_iter().chain(BUNDLES.iter().map(Path::new));
    bundles
        .map(certificates)
        .find(|found| !found.is_empty())
        .map(|found| RootCerts::new_with_certs(&found))
}

fn certificates(bundle: &Path) -> Vec<Certificate<'static>> {
    let Ok(text) = fs_err::read(bundle) else {
        return Vec::new();
    };
    parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}

/// An address without name and password, for people and manifests.
pub(super) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    // A query may carry a signature that opens the file to whoever reads it.
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(content_range("bytes */10"), Some((None, Some(10))));
        assert_eq!(content_range("lines 5-9/10"), None);
        assert_eq!(content_range("bytes"), None);
    }

    #[test]
    fn credentials_are_never_shown() {
        for (url, shown) in [
            (
                "https://me:secret@host:8080/a/b.zip?sig=1#x",
                "https://host:8080/a/b.zip",
            ),
            ("http://host", "http://host"),
            ("https://host?token=1", "https://host"),
            ("folder/file", "folder/file"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
