//! Fits factors to a file of pairs and prints when each epoch ended: our side of `benches/cf.py`, which makes the pairs
//! and runs the peer.
//!
//! ```text
//! cargo build --release --bench cf        # benches/cf.py does this and finds the program
//! cf pairs=FILE users=N items=N [solver=exact|subspace] [block=16] [factors=64] [epochs=15] [regularization=0.007]
//!    [nu=1] [alpha0=0.3] [init_std=0.1] [seed=1] [threads=2] [out=FACTORS.safetensors]
//! ```
//!
//! `FILE` holds pairs of little-endian `u32`: user, item. One JSON line an epoch: `epoch` (0 is the start), `seconds` since the fit
//! began, the process's `cpu_seconds`
//! so far (Linux; in hundredths), `objective`.

use ilm_pipe::cf::Csr;
use ilm_pipe::cf::ials::{self, IalsConfig, Solver};
use ilm_pipe::clock::Stopwatch;
use ilm_pipe::progress::{Progress, Report, Stopped};
use ilm_pipe::seed::Seed;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::str::FromStr;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Prints each metric with the time since the fit began.
struct Timed(Stopwatch);

impl Progress for Timed {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        let seconds = self.0.seconds();
        if let Report::Metric { step, value, .. } = report {
            let line = serde_json::json!({
                "epoch": step, "seconds": seconds, "cpu_seconds": cpu_seconds(), "objective": value,
            });
            // A reader that went away ends the measurement.
            writeln!(std::io::stdout(), "{line}").map_err(|_| Stopped)?;
        }
        Ok(())
    }
}

/// User and system time of all threads: fields 14 and 15 of `/proc/self/stat`, in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let line = fs_err::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold spaces.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let hundredths = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some((hundredths(14)? + hundredths(15)?) / 100.0)
}

fn main() -> Outcome<()> {
    // `cargo bench` adds `--bench`.
    let mut words: BTreeMap<String, String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .map(|word| match word.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("`{word}` is not `name=value`")),
        })
        .collect::<Result<_, _>>()?;
    if words.is_empty() {
        writeln!(
            std::io::stderr(),
            "run `python3 benches/cf.py`; see its --help"
        )?;
        return Ok(());
    }
    let file = fs_err::read(words.remove("pairs").ok_or("`pairs` is missing")?)?;
    let (users, items) = (take(&mut words, "users", 0)?, take(&mut words, "items", 0)?);
    let threads = take(&mut words, "threads", 2)?;
    let seed = Seed::new(take(&mut words, "seed", 1)?);
    let out = words.remove("out");
    let block = take(&mut words, "block", 16)?;
    let config = IalsConfig {
        solver: match words.remove("solver").as_deref() {
            None | Some("exact") => Solver::Exact,
            Some("subspace") => Solver::Subspace { block },
            Some(other) => return Err(format!("`{other}` is not a solver").into()),
        },
        factors: take(&mut words, "factors", 64)?,
        epochs: take(&mut words, "epochs", 15)?,
        regularization: take(&mut words, "regularization", 0.007)?,
        nu: take(&mut words, "nu", 1.0)?,
        alpha0: take(&mut words, "alpha0", 0.3)?,
        init_std: take(&mut words, "init_std", 0.1)?,
    };
    if let Some(name) = words.keys().next() {
        return Err(format!("`{name}` is not known").into());
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let interactions = Csr::from_pairs(users, items, pairs(&file))?;
    drop(file);
    let fit = ials::fit(&interactions, &config, seed, &Timed(Stopwatch::start()))?;
    if let Some(out) = out {
        fit.factors.save(out.as_ref())?;
    }
    Ok(())
}

/// Takes the value of a word, or its default.
fn take<T: FromStr>(words: &mut BTreeMap<String, String>, name: &str, default: T) -> Outcome<T> {
    match words.remove(name) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|_| format!("`{name}` is `{value}`, which is not a value of its type").into()),
    }
}

/// The pairs in a file's bytes.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> + Clone {
    let (numbers, _) = bytes.as_chunks::<4>();
    let (pairs, _) = numbers.as_chunks::<2>();
    pairs
        .iter()
        .map(|&[user, item]| (u32::from_le_bytes(user), u32::from_le_bytes(item)))
}
