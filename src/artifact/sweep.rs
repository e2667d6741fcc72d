//! Takes away what nobody needs.

use super::eviction::{Decision, Demand, Needs, Removal, Why, decide};
use super::in_use::{self, Gate};
use super::{Limits, Record, Store, StoreError, leftovers, object, records};
use crate::clock;
use std::path::{Path, PathBuf};

impl Store {
    /// What a sweep would do. Changes nothing.
    pub fn consider_collecting(
        &self,
        limits: &Limits,
        needs: &Needs,
    ) -> Result<Decision, StoreError> {
        let running = in_use::read_all(self.root(), false)?;
        self.decide(
            limits,
            &Demand {
                needs,
                running: &running,
            },
        )
    }

    /// Whether a sweep would take a result or checkpoints if no pipeline needed any: only then it matters what they
    /// need.
    pub fn collecting_asks_pipelines(&self, limits: &Limits) -> Result<bool, StoreError> {
        let decision = self.consider_collecting(limits, &Needs::default())?;
        Ok(decision.removals.iter().any(|removal| {
            matches!(
                removal.why,
                Why::Age
                    | Why::Size
                    | Why::OutputGone
                    | Why::OldCheckpoints
                    | Why::OldLog
                    | Why::Forgotten
            )
        }))
    }

    /// Takes away what nobody needs. Returns what went.
    ///
    /// A record goes before its output, and each by one rename into `tmp/`: a sweep that is killed leaves results whole
    /// or gone. Other processes wait to look things up until everything is renamed; removing takes place after that.
    pub fn collect(&self, limits: &Limits, needs: &Needs) -> Result<Decision, StoreError> {
        if !self.root().is_dir() {
            return Ok(Decision::default());
        }
        let tmp = self.root().join("tmp");
        fs_err::create_dir_all(&tmp)?;
        let gate = Gate::close(self.root())?;
        let running = in_use::read_all(self.root(), true)?;
        let mut decision = self.decide(
            limits,
            &Demand {
                needs,
                running: &running,
            },
        )?;
        let trash = tempfile::Builder::new().prefix("gone-").tempdir_in(&tmp)?;
        let mut done = Vec::with_capacity(decision.removals.len());
        let mut place = 0;
        for removal in std::mem::take(&mut decision.removals) {
            // A process may have begun with this key a moment ago; only entering needs the gate.
            let lock = match removal.lock {
                None => None,
                Some(key) => match self.try_lock(&key)? {
                    None => continue,
                    lock => lock,
                },
            };
            match &lock {
                // An attempt that is dead may have left programs that still write to it.
                Some(_) if removal.paths.iter().all(|path| path.starts_with(&tmp)) => {
                    for path in &removal.paths {
                        leftovers::remove_attempt(path)?;
                    }
                }
                _ => take(&removal, trash.path(), &mut place)?,
            }
            drop(lock);
            done.push(removal);
        }
        decision.removals = done;
        self.note_collected(decision.bytes_after)?;
        drop(gate);
        object::remove_folder(trash.path())?;
        Ok(decision)
    }

    fn decide(&self, limits: &Limits, demand: &Demand<'_>) -> Result<Decision, StoreError> {
        let inventory = self.inventory()?;
        let paths = |record: &Record| {
            let record_path = records::path(self.root(), &record.key);
            (record_path, self.object_path(&record.output))
        };
        let now = clock::since_epoch_ns();
        let mut decision = decide(&inventory, demand, limits, now, &paths);
        for path in self.forgotten_pipelines()? {
            decision.removals.push(Removal {
                why: Why::Forgotten,
                what: name(&path),
                key: None,
                bytes: 0,
                unused_seconds: 0.0,
                paths: vec![path],
                lock: None,
            });
        }
        Ok(decision)
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("pipelines/{}", name.to_string_lossy())
}

/// Renames everything of a removal into the folder `trash`; what is gone already is no error.
fn take(removal: &Removal, trash: &Path, place: &mut usize) -> Result<(), StoreError> {
    for path in &removal.paths {
        let aside: PathBuf = trash.join(place.to_string());
        *place += 1;
        match fs_err::rename(path, aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing::{commit, commit_as, store};
    use crate::artifact::{Need, folder};
    use crate::key::Hash;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const DAY: i128 = 24 * 3600 * 1_000_000_000;

    fn used_days_ago(store: &Store, record: &Record, days: i128) {
        let file = fs_err::File::open(records::path(store.root(), &record.key)).expect("opened");
        let then = clock::file_time(clock::since_epoch_ns() - days * DAY);
        file.file().set_modified(then).expect("set");
    }

    fn make_old(path: &Path) {
        let then = clock::file_time(clock::since_epoch_ns() - 40 * DAY);
        for path in folder::files_below(path)
            .expect("listed")
            .iter()
            .chain([&path.to_owned()])
        {
            let file = fs_err::File::open(path).expect("opened");
            file.file().set_modified(then).expect("set");
        }
    }

    fn limits(max_size: Option<u64>, days: Option<u64>) -> Limits {
        Limits {
            max_size,
            max_age: days.map(|days| Duration::from_hours(24 * days)),
        }
    }

    fn sweep(store: &Store, limits: &Limits, needs: &Needs) -> Vec<(Why, String)> {
        let considered = store
            .consider_collecting(limits, needs)
            .expect("considered");
        let done = store.collect(limits, needs).expect("swept");
        let lines = |decision: &Decision| -> Vec<(Why, String)> {
            let removals = decision.removals.iter();
            removals.map(|r| (r.why, r.what.clone())).collect()
        };
        assert_eq!(
            lines(&considered),
            lines(&done),
            "a dry run says what happens"
        );
        assert!(
            folder::entries(&store.root().join("tmp"))
                .expect("listed")
                .is_empty(),
            "nothing is left in tmp"
        );
        lines(&done)
    }

    fn needed(key: Hash, need: Need) -> Needs {
        let mut needs = Needs::default();
        needs.keys.entry(key).or_default().insert(need);
        needs
    }

    fn stage() -> Need {
        Need::Stage {
            pipeline: "p".into(),
            profile: None,
            stage: "s".into(),
        }
    }

    #[test]
    fn what_is_older_than_the_limit_goes_unless_it_is_needed() {
        let (_folder, store) = store();
        let records = ["old", "needed", "young"].map(|x| commit(&store, x));
        used_days_ago(&store, &records[0], 100);
        used_days_ago(&store, &records[1], 100);
        let needs = needed(records[1].key, stage());
        let gone = sweep(&store, &limits(None, Some(90)), &needs);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].0, Why::Age);
        assert!(store.record(&records[0].key).is_none());
        assert!(!store.object_path(&records[0].output).exists());
        for stays in &records[1..] {
            assert!(store.record(&stays.key).is_some());
            assert_eq!(store.verify(stays).expect("verified"), None);
        }
    }

    #[test]
    fn above_the_limit_of_size_the_longest_unused_goes_first() {
        let (_folder, store) = store();
        // 101 bytes each, with the `b`.
        let records: Vec<Record> = (0..10)
            .map(|i| commit(&store, &format!("{i}").repeat(100)))
            .collect();
        for (i, record) in records.iter().enumerate() {
            used_days_ago(&store, record, 20 - i as i128);
        }
        let needs = needed(records[0].key, stage());
        assert!(sweep(&store, &limits(Some(1010), None), &needs).is_empty());
        let gone = sweep(&store, &limits(Some(900), None), &needs);
        // Down to 810: two and a bit of 1010 bytes go, and not the one that is needed.
        assert_eq!(gone.len(), 2);
        let left: Vec<bool> = records
            .iter()
            .map(|record| store.record(&record.key).is_some())
            .collect();
        assert_eq!(left[..4], [true, false, false, true]);
        assert!(left[4..].iter().all(|&there| there));
    }

    #[test]
    fn an_output_stays_as_long_as_one_record_names_it() {
        let (_folder, store) = store();
        let (one, two) = (commit_as(&store, "1", "x"), commit_as(&store, "2", "x"));
        used_days_ago(&store, &one, 100);
        let gone = sweep(&store, &limits(None, Some(90)), &Needs::default());
        assert_eq!(gone.len(), 1);
        assert_eq!(store.verify(&two).expect("verified"), None);
        // Taking the other one would free nothing while its output is needed.
        let one = commit_as(&store, "1", "x");
        let gone = sweep(&store, &limits(Some(1), None), &needed(two.key, stage()));
        assert!(gone.is_empty() && store.record(&one.key).is_some());
    }

    #[test]
    fn what_a_process_found_or_made_stays_until_it_ends() {
        let (_folder, store) = store();
        let found = commit(&store, "found");
        let working = store.enter("run-1");
        assert!(working.record(&found.key).is_some());
        let made = commit(&working, "made");
        let strict = limits(Some(1), Some(0));
        assert!(sweep(&store, &strict, &Needs::default()).is_empty());
        let kept = store
            .consider_collecting(&strict, &Needs::default())
            .expect("considered")
            .kept;
        let running = Need::Running {
            run: "run-1".into(),
        };
        assert!(kept.iter().all(|kept| kept.needs == [running.clone()]));
        drop(working);
        assert_eq!(sweep(&store, &strict, &Needs::default()).len(), 2);
        assert!(store.record(&made.key).is_none());
    }

    #[test]
    fn an_output_whose_record_is_being_written_stays() {
        let (_folder, store) = store();
        let working = store.enter("run-1");
        let key = commit(&working, "x").key;
        store.forget(&key).expect("forgotten");
        assert!(sweep(&store, &Limits::NONE, &Needs::default()).is_empty());
        drop(working);
        let gone = sweep(&store, &Limits::NONE, &Needs::default());
        assert_eq!(gone[0].0, Why::NoRecord);
    }

    #[test]
    fn leftovers_of_every_sort_go_and_what_is_alive_stays() {
        let (_folder, store) = store();
        let dead = commit(&store, "dead").key;
        let alive = commit(&store, "alive").key;
        for key in [dead, alive] {
            let (output, scratch) = store.begin(&key).expect("begun");
            fs_err::write(output.join("half"), "half").expect("written");
            fs_err::write(scratch.join("checkpoint"), "step 7").expect("written");
            fs_err::write(store.log_path(&key), "{}").expect("written");
            store.forget(&key).expect("forgotten");
            make_old(&scratch);
            make_old(&store.log_path(&key));
        }
        let lock = store.try_lock(&alive).expect("tried");
        assert!(lock.is_some());
        fs_err::write(store.root().join("locks").join(dead.hex()), "").expect("written");
        fs_err::write(store.root().join("uses/dead"), dead.hex()).unwrap_or_else(|_| {
            fs_err::create_dir_all(store.root().join("uses")).expect("made");
            fs_err::write(store.root().join("uses/dead"), dead.hex()).expect("written");
        });
        fs_err::write(store.root().join("records/junk"), "{").expect("written");
        store.last_keys("gone").note("s", dead).expect("noted");
        store.last_keys("p").note("s", dead).expect("noted");
        let needs = Needs {
            pipelines: BTreeSet::from(["p".to_owned()]),
            ..Needs::default()
        };
        let considered = store
            .consider_collecting(&Limits::NONE, &needs)
            .expect("considered");
        let mut whys: Vec<Why> = considered.removals.iter().map(|r| r.why).collect();
        whys.sort_unstable();
        assert_eq!(
            whys,
            [
                Why::Unreadable,
                Why::NoRecord,
                Why::NoRecord,
                Why::OldCheckpoints,
                Why::OldLog,
                Why::Leftover,
                Why::Leftover,
                Why::Forgotten
            ]
        );
        store.collect(&Limits::NONE, &needs).expect("swept");
        assert!(store.scratch_path(&alive).exists() && !store.scratch_path(&dead).exists());
        assert!(store.log_path(&alive).exists() && !store.log_path(&dead).exists());
        assert!(!store.root().join("uses/dead").exists());
        assert_eq!(store.last_keys("p").get("s"), Some(dead));
        assert_eq!(store.last_keys("gone").get("s"), None);
        drop(lock);
    }

    #[test]
    fn checkpoints_that_the_next_run_wants_stay_however_old() {
        let (_folder, store) = store();
        let key = commit(&store, "x").key;
        let (_, scratch) = store.begin(&key).expect("begun");
        store.abandon(&key).expect("abandoned");
        make_old(&scratch);
        let wanted = Needs {
            wanted: BTreeSet::from([key]),
            ..Needs::default()
        };
        assert!(sweep(&store, &Limits::NONE, &wanted).is_empty());
        let gone = sweep(&store, &Limits::NONE, &Needs::default());
        assert_eq!(gone[0].0, Why::OldCheckpoints);
    }

    #[test]
    fn logs_of_runs_are_kept_by_number_and_age() {
        let (_folder, store) = store();
        let working = store.enter("old-but-running");
        for run in 0..crate::artifact::eviction::RUNS_KEPT + 5 {
            fs_err::write(store.run_path(&format!("{run:04}")), "{}").expect("written");
        }
        for run in ["old", "old-but-running"] {
            fs_err::write(store.run_path(run), "{}").expect("written");
            make_old(&store.run_path(run));
        }
        let gone = sweep(&store, &Limits::NONE, &Needs::default());
        assert_eq!(gone.len(), 6);
        assert!(gone.iter().all(|(why, _)| *why == Why::OldRun));
        assert!(store.run_path("old-but-running").exists());
        assert!(!store.run_path("old").exists());
        drop(working);
    }

    #[test]
    fn every_reason_to_go_and_to_stay_reads_well() {
        let whys = [
            Why::Age,
            Why::Size,
            Why::Unreadable,
            Why::OutputGone,
            Why::NoRecord,
            Why::OldCheckpoints,
            Why::OldLog,
            Why::OldRun,
            Why::Leftover,
            Why::Forgotten,
        ];
        let profile = Some("small".to_owned());
        let (pipeline, stage) = ("table3".to_owned(), "cf".to_owned());
        let needs = [
            Need::Stage {
                pipeline: pipeline.clone(),
                profile: None,
                stage: stage.clone(),
            },
            Need::Perhaps {
                pipeline: pipeline.clone(),
                profile,
                stage: stage.clone(),
            },
            Need::Last {
                pipeline: pipeline.clone(),
                stage: stage.clone(),
                broken: None,
            },
            Need::Last {
                pipeline,
                stage,
                broken: Some("`table3.toml` has 2 problems".to_owned()),
            },
            Need::Running {
                run: "20261123T060000Z-17".to_owned(),
            },
        ];
        let text: Vec<String> = whys
            .iter()
            .map(ToString::to_string)
            .chain(needs.iter().map(ToString::to_string))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
