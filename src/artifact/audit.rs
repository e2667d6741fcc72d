//! Reads every byte of a cache and compares it with what was stored.

use super::in_use::{self, Gate};
use super::{Store, StoreError, object};
use crate::key::Hash;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How far an audit is.
#[derive(Clone, Copy, Debug)]
pub struct AuditProgress {
    /// Outputs read.
    pub done: usize,
    /// Outputs in all.
    pub total: usize,
    /// Bytes read.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// One result, or one file, that is not as it was stored.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The stage that made it and its key, or the file.
    pub what: String,
    /// Key of the result; none for a file that is no record.
    pub key: Option<Hash>,
    /// Hash of its output.
    pub output: Option<Hash>,
    /// What is wrong, for people.
    pub problem: String,
    /// Whether it was removed, so that the next run makes it anew.
    pub repaired: bool,
    /// The running process that uses it, for which it was left.
    pub used_by: Option<String>,
    #[serde(skip)]
    paths: Vec<PathBuf>,
}

/// What an audit found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Results looked at.
    pub results: usize,
    /// Outputs read; several results may have the same.
    pub outputs: usize,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Hashes every output and checks every record.
    pub fn audit(
        &self,
        progress: &mut dyn FnMut(AuditProgress, Option<&Finding>),
    ) -> Result<Audit, StoreError> {
        let inventory = self.inventory()?;
        let mut audit = Audit {
            results: inventory.cached.len(),
            ..Audit::default()
        };
        let mut by_output: BTreeMap<Hash, Vec<usize>> = BTreeMap::new();
        for (at, cached) in inventory.cached.iter().enumerate() {
            by_output.entry(cached.record.output).or_default().push(at);
        }
        let mut at = AuditProgress {
            done: 0,
            total: by_output.len(),
            bytes_done: 0,
            bytes_total: inventory.output_bytes(),
        };
        for thing in &inventory.unreadable {
            let finding = Finding {
                what: format!("records/{}", thing.name),
                key: None,
                output: None,
                problem: "it is no readable record: damaged, or of another key".to_owned(),
                repaired: false,
                used_by: None,
                paths: vec![thing.path.clone()],
            };
            progress(at, Some(&finding));
            audit.findings.push(finding);
        }
        for (output, users) in by_output {
            let place = self.object_path(&output);
            let mut read = false;
            for &user in &users {
                let cached = &inventory.cached[user];
                let record = &cached.record;
                // The files of two records of one output have the same hashes: their bytes are read once, unless the
                // first record's list is itself not what the output's name says.
                let listed = object::content_hash(&record.files) == output;
                let damage = if !listed {
                    Some("the list of its files is not the one that was stored".to_owned())
                } else if read {
                    continue;
                } else {
                    read = true;
                    object::verify(&place, &record.files)?.map(|damage| damage.to_string())
                };
                let Some(problem) = damage else { continue };
                // What one record finds of the output is true for all of them.
                let hit: &[usize] = if listed {
                    &users
                } else {
                    std::slice::from_ref(&user)
                };
                for &user in hit {
                    let record = &inventory.cached[user].record;
                    let mut paths = vec![super::records::path(self.root(), &record.key)];
                    if listed {
                        paths.push(place.clone());
                    }
                    let finding = Finding {
                        what: format!(
                            "{} of {} ({})",
                            record.origin.stage,
                            record.origin.pipeline,
                            record.key.short()
                        ),
                        key: Some(record.key),
                        output: Some(output),
                        problem: problem.clone(),
                        repaired: false,
                        used_by: None,
                        paths,
                    };
                    progress(at, Some(&finding));
                    audit.findings.push(finding);
                }
            }
            at.done += 1;
            if let Some(&user) = users.first() {
                let cached = &inventory.cached[user];
                if cached.has_output {
                    at.bytes_done += cached.record.size();
                }
            }
            progress(at, None);
        }
        audit.outputs = at.done;
        audit.bytes = at.bytes_done;
        Ok(audit)
    }

    /// Removes what an audit found, so that the next run makes it anew. What a running process uses is left and named.
    pub fn repair(&self, audit: &mut Audit) -> Result<(), StoreError> {
        let gate = Gate::close(self.root())?;
        let running = in_use::read_all(self.root(), true)?;
        for finding in &mut audit.findings {
            let hashes = [finding.key, finding.output];
            let user = running
                .iter()
                .find(|(_, used)| hashes.iter().flatten().any(|hash| used.contains(hash)));
            if let Some((run, _)) = user {
                finding.used_by = Some(run.clone());
                continue;
            }
            for path in &finding.paths {
                self.set_aside(path)?;
            }
            finding.repaired = true;
        }
        drop(gate);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::records;
    use crate::artifact::testing::{commit, commit_as, force_write, store};

    fn audit(store: &Store) -> Audit {
        store.audit(&mut |_, _| {}).expect("audited")
    }

    fn problems(audit: &Audit) -> String {
        let lines: Vec<String> = audit
            .findings
            .iter()
            .map(|finding| format!("{}: {}", finding.what, finding.problem))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn an_audit_finds_every_damage_and_names_it() {
        let (_folder, store) = store();
        let good = commit(&store, "good");
        for damaged in ["flipped", "extra", "gone", "short", "list"] {
            let record = commit(&store, damaged);
            let place = store.object_path(&record.output);
            let path = place.join("a.txt");
            match damaged {
                "flipped" => force_write(&path, "flippee"),
                "short" => force_write(&path, "s"),
                "gone" => fs_err::remove_file(&path).expect("removed"),
                "list" => {
                    let mut record = record.clone();
                    record.files.pop();
                    store.publish(&record).expect("published");
                }
                _ => fs_err::write(place.join("c.txt"), "c").expect("written"),
            }
        }
        let bad = records::path(store.root(), &commit(&store, "record").key);
        fs_err::write(bad, "{}").expect("written");
        let audit = audit(&store);
        assert_eq!((audit.results, audit.outputs), (6, 6));
        insta::assert_snapshot!(problems(&audit));
        assert!(
            audit
                .findings
                .iter()
                .all(|finding| finding.key != Some(good.key))
        );
    }

    #[test]
    fn a_repair_removes_all_that_share_a_damaged_output_and_nothing_else() {
        let (_folder, store) = store();
        let good = commit(&store, "good");
        let (one, two) = (commit_as(&store, "1", "x"), commit_as(&store, "2", "x"));
        assert_eq!(one.output, two.output);
        force_write(&store.object_path(&one.output).join("a.txt"), "y");
        let mut found = audit(&store);
        assert_eq!(found.findings.len(), 2);
        store.repair(&mut found).expect("repaired");
        assert!(found.findings.iter().all(|finding| finding.repaired));
        assert!(store.record(&one.key).is_none() && store.record(&two.key).is_none());
        assert!(!store.object_path(&one.output).exists());
        assert_eq!(store.record(&good.key), Some(good));
        assert!(audit(&store).findings.is_empty());
    }

    #[test]
    fn a_repair_leaves_what_a_process_uses() {
        let (_folder, store) = store();
        let record = commit(&store, "x");
        force_write(&store.object_path(&record.output).join("a.txt"), "y");
        let working = store.enter("run-1");
        assert!(working.record(&record.key).is_some());
        let mut found = audit(&store);
        store.repair(&mut found).expect("repaired");
        assert_eq!(found.findings[0].used_by.as_deref(), Some("run-1"));
        assert!(store.record(&record.key).is_some());
    }
}
