//! A small project of random stages for tests of the engine: what each stage makes is known without running it.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Reads the first line of each file and of each input, and writes them with its parameters; built-ins only.
const SCRIPT: &str = r#"
case $MODE in deaf) x=$B ;; seeded) x=$A.$B.$ILM_SEED ;; *) x=$A.$B ;; esac
for f in "$@"; do IFS= read -r l < "$f"; x="$x/$l"; done
i=0
while eval "d=\${ILM_INPUT_$i-}"; [ -n "$d" ]; do IFS= read -r l < "$d/out"; x="$x($l)"; i=$((i+1)); done
case $MODE in length) x=$((${#x} % 3)) ;; esac
printf '%s\n' "$x" > "$ILM_OUTPUT/out"
case $MODE in two) mkdir "$ILM_OUTPUT/sub"; printf '%s\n' "$B" > "$ILM_OUTPUT/sub/more" ;; esac
"#;

/// How a stage uses what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Everything counts but the seed.
    All,
    /// The parameter `A` does not.
    Deaf,
    /// The seed counts, too.
    Seeded,
    /// Only the length of everything, modulo 3: it often reruns to equal bytes.
    Length,
    /// A second file, in a folder, with `B`.
    Two,
}

pub const MODES: [Mode; 5] = [Mode::All, Mode::Deaf, Mode::Seeded, Mode::Length, Mode::Two];

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Deaf => "deaf",
            Self::Seeded => "seeded",
            Self::Length => "length",
            Self::Two => "two",
        }
    }
}

/// One stage.
#[derive(Clone, Debug)]
pub struct Stage {
    pub name: String,
    pub mode: Mode,
    pub a: u32,
    pub b: u32,
    pub files: Vec<String>,
    /// Names of stages before it.
    pub inputs: Vec<String>,
    /// The version of its kind.
    pub version: u32,
}

/// The files of an artifact, as one text.
pub type Artifact = String;
/// Everything that a stage's result depends on, by the engine's names.
pub type Identity = BTreeMap<String, String>;

/// A pipeline, its files, and the folder that they are in.
pub struct World {
    folder: tempfile::TempDir,
    pub name: String,
    pub seed: u32,
    pub stages: Vec<Stage>,
    /// Stages that were taken out, to be put back.
    pub removed: Vec<Stage>,
    pub files: BTreeMap<String, String>,
    pub comment: u32,
    next: u32,
}

/// The files that stages may read.
pub const FILES: [&str; 3] = ["data/x.txt", "data/y.txt", "z.txt"];

impl World {
    pub fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut world = Self {
            folder: fast_folder(),
            name: "p".to_owned(),
            seed: 1,
            stages: Vec::new(),
            removed: Vec::new(),
            files: BTreeMap::new(),
            comment: 0,
            next: 0,
        };
        for file in FILES {
            world.set_file(file, "0", false);
        }
        for _ in 0..rng.gen_range(2..=6) {
            world.add(rng);
        }
        world
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    pub fn pipeline(&self) -> PathBuf {
        self.path().join("p.toml")
    }

    /// Adds a stage that reads stages before it; sometimes the twin of one that is there.
    pub fn add(&mut self, rng: &mut ChaCha8Rng) -> String {
        let name = format!("s{}", self.next);
        self.next += 1;
        if !self.stages.is_empty() && rng.gen_ratio(1, 5) {
            let mut twin = self.stages[rng.gen_range(0..self.stages.len())].clone();
            twin.name.clone_from(&name);
            self.stages.push(twin);
            return name;
        }
        let inputs = self
            .stages
            .iter()
            .filter(|_| rng.gen_ratio(2, 5))
            .map(|stage| stage.name.clone())
            .take(3)
            .collect();
        let files = FILES
            .iter()
            .filter(|_| rng.gen_ratio(1, 4))
            .map(|&file| file.to_owned())
            .collect();
        self.stages.push(Stage {
            name: name.clone(),
            mode: MODES[rng.gen_range(0..MODES.len())],
            a: rng.gen_range(0..2),
            b: rng.gen_range(0..2),
            files,
            inputs,
            version: 1,
        });
        name
    }

    /// Takes a stage out, and out of the inputs of others.
    pub fn remove(&mut self, at: usize) {
        let stage = self.stages.remove(at);
        for other in &mut self.stages {
            other.inputs.retain(|input| *input != stage.name);
        }
        self.removed.push(stage);
    }

    /// Puts a stage back that was taken out, without the inputs that are gone.
    pub fn put_back(&mut self) -> Option<String> {
        let mut stage = self.removed.pop()?;
        stage
            .inputs
            .retain(|input| self.stages.iter().any(|other| other.name == *input));
        self.stages.push(stage.clone());
        Some(stage.name)
    }

    /// Gives a stage a new name everywhere.
    pub fn rename(&mut self, at: usize) -> String {
        let name = format!("s{}", self.next);
        self.next += 1;
        let old = std::mem::replace(&mut self.stages[at].name, name.clone());
        for input in self.stages.iter_mut().flat_map(|stage| &mut stage.inputs) {
            if *input == old {
                input.clone_from(&name);
            }
        }
        name
    }

    /// Writes a file; with `keep_time`, its modification time is put back.
    pub fn set_file(&mut self, name: &str, content: &str, keep_time: bool) {
        let path = self.path().join(name);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("made");
        rewrite(&path, format!("{content}\n").as_bytes(), keep_time);
        self.files.insert(name.to_owned(), content.to_owned());
    }

    /// Writes the pipeline file.
    pub fn write(&self) {
        let mut text = format!(
            "# {}\nname = \"{}\"\nseed = {}\n",
            self.comment, self.name, self.seed
        );
        for stage in &self.stages {
            let mut command = vec![
                "sh".to_owned(),
                "-c".to_owned(),
                SCRIPT.to_owned(),
                "sh".to_owned(),
            ];
            command.extend(stage.files.iter().cloned());
            let _ = write!(
                text,
                "\n[stage.{}]\nkind = \"command\"\ncommand = {}\nfiles = {}\nenv = {{ MODE = \"{}\", A = \"{}\", B = \"{}\" }}\n",
                stage.name,
                json(&command).replace("${", "$${"),
                json(&stage.files),
                stage.mode.name(),
                stage.a,
                stage.b,
            );
            if !stage.inputs.is_empty() {
                let _ = writeln!(text, "inputs = {{ from = {} }}", json(&stage.inputs));
            }
        }
        fs_err::write(self.pipeline(), text).expect("written");
    }

    pub fn stage(&self, name: &str) -> &Stage {
        self.stages
            .iter()
            .find(|stage| stage.name == name)
            .expect("a stage of the pipeline")
    }

    /// What the result of a stage depends on, given the artifacts that it reads; none when one is not there yet.
    pub fn identity(
        &self,
        stage: &Stage,
        artifacts: &BTreeMap<String, Artifact>,
    ) -> Option<Identity> {
        let leaf = |name: &str, value: String| (name.to_owned(), value);
        let mut identity = Identity::from([
            leaf("version", stage.version.to_string()),
            leaf("seed", self.seed.to_string()),
            leaf("params.command", json(&stage.files)),
            leaf("params.files", json(&stage.files)),
            leaf("params.env.MODE", stage.mode.name().to_owned()),
            leaf("params.env.A", stage.a.to_string()),
            leaf("params.env.B", stage.b.to_string()),
        ]);
        for file in &stage.files {
            identity.insert(format!("files.{file}"), self.files[file].clone());
        }
        for (at, input) in stage.inputs.iter().enumerate() {
            identity.insert(format!("inputs.from[{at}]"), artifacts.get(input)?.clone());
        }
        Some(identity)
    }

    /// What a stage makes of its inputs' artifacts: the script, once more.
    pub fn make(&self, stage: &Stage, artifacts: &BTreeMap<String, Artifact>) -> Artifact {
        let mut x = match stage.mode {
            Mode::Deaf => stage.b.to_string(),
            Mode::Seeded => format!("{}.{}.{}", stage.a, stage.b, self.seed),
            _ => format!("{}.{}", stage.a, stage.b),
        };
        for file in &stage.files {
            let _ = write!(x, "/{}", self.files[file]);
        }
        for input in &stage.inputs {
            let line = artifacts[input].lines().next().unwrap_or_default();
            let _ = write!(x, "({line})");
        }
        match stage.mode {
            Mode::Length => format!("{}\n", x.len() % 3),
            Mode::Two => format!("{x}\nsub/more: {}\n", stage.b),
            _ => format!("{x}\n"),
        }
    }
}

/// The artifact in a folder of the cache, as [`World::make`] describes it.
pub fn read_artifact(folder: &Path) -> Artifact {
    let mut text = fs_err::read_to_string(folder.join("out")).expect("an artifact");
    if let Ok(more) = fs_err::read_to_string(folder.join("sub/more")) {
        let _ = write!(text, "sub/more: {more}");
    }
    text
}

fn json(list: &[String]) -> String {
    serde_json::to_string(list).expect("strings")
}

/// A folder in memory where there is one: these tests sync thousands of files.
pub fn fast_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

fn changed(path: &Path) -> Option<(i64, i64, u64)> {
    let metadata = fs_err::metadata(path).ok()?;
    Some((metadata.ctime(), metadata.ctime_nsec(), metadata.ino()))
}

/// Writes a file in place. The kernel's clock for files ticks every few milliseconds: the file is written again until its change time
/// is another than before, as it is whenever a person edits it.
pub fn rewrite(path: &Path, content: &[u8], keep_time: bool) {
    let before = changed(path);
    let time = fs_err::metadata(path)
        .ok()
        .and_then(|metadata| metadata.modified().ok());
    loop {
        fs_err::write(path, content).expect("written");
        if let (true, Some(time)) = (keep_time, time) {
            set_modified(path, time);
        }
        if changed(path) != before {
            return;
        }
    }
}

/// Sets the modification time.
pub fn set_modified(path: &Path, time: SystemTime) {
    let file = fs_err::File::open(path).expect("opened");
    file.file().set_modified(time).expect("set");
}
