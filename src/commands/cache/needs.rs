//! What the pipelines of a cache need.

use crate::artifact::{KnownPipeline, Need, Needs, Record, Store, StoreError, own_part};
use crate::cli::Settings;
use crate::graph::StageGraph;
use crate::key::{Fingerprint, Hash, input_name};
use crate::plan::{Cause, Planner, Resolved, Verdict};
use crate::report::count;
use crate::spec::{self, LoadOptions, Pipeline, StageSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A pipeline file that keeps what it needs.
struct Root {
    project: PathBuf,
    /// The name under which it ran with this cache, when it did.
    name: Option<String>,
}

/// What is needed by the pipelines in the project's folder `pipelines/`, by those that ran with this cache and still
/// exist, and by the files `more`; each with every profile.
///
/// A pipeline that cannot be asked keeps the last success of each of its stages. So does every other one: changes are
/// told by comparing with it.
pub(super) fn needs(
    store: &Store,
    settings: &Settings,
    more: &[PathBuf],
) -> Result<Needs, StoreError> {
    let mut needs = Needs::default();
    let results = Results::read(store)?;
    for (file, root) in roots(store, settings, more)? {
        let mut names: BTreeSet<String> = root.name.iter().cloned().collect();
        let mut broken = None;
        let profiles = spec::profiles(&file);
        for profile in std::iter::once(None).chain(profiles.into_iter().map(Some)) {
            let options = LoadOptions {
                profile: profile.clone(),
                ..LoadOptions::default()
            };
            match spec::load(&file, &options) {
                Ok(pipeline) => {
                    names.insert(pipeline.name.clone());
                    match StageGraph::build(&pipeline) {
                        Ok(graph) => ask(
                            &pipeline,
                            &graph,
                            store,
                            &root.project,
                            &results,
                            &mut needs,
                        ),
                        Err(error) => broken = Some(format!("`{}`: {error}", file.display())),
                    }
                }
                Err(errors) => {
                    let n = count(errors.problems().len(), "problem");
                    let profile =
                        profile.map_or_else(String::new, |name| format!(" with profile `{name}`"));
                    broken = Some(format!("`{}` has {n}{profile}", file.display()));
                }
            }
        }
        if names.is_empty() {
            names.extend(
                file.file_stem()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
        for name in names {
            for (stage, key) in store.last_keys(&name).iter() {
                needs.keys.entry(key).or_default().insert(Need::Last {
                    pipeline: name.clone(),
                    stage: stage.to_owned(),
                    broken: broken.clone(),
                });
            }
            needs.pipelines.insert(name);
        }
    }
    Ok(needs)
}

/// Pipeline files by their path, absolute and without links, so that none is asked twice.
fn roots(
    store: &Store,
    settings: &Settings,
    more: &[PathBuf],
) -> Result<BTreeMap<PathBuf, Root>, StoreError> {
    let project = std::path::absolute(&settings.project)?;
    let mut roots = BTreeMap::new();
    for KnownPipeline {
        file,
        project,
        name,
    } in store.known_pipelines()?
    {
        let name = Some(name);
        roots.insert(plain(&file), Root { project, name });
    }
    let folder = project.join("pipelines");
    let in_folder = fs_err::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    for file in in_folder.chain(more.iter().cloned()) {
        roots.entry(plain(&file)).or_insert_with(|| Root {
            project: project.clone(),
            name: None,
        });
    }
    Ok(roots)
}

fn plain(path: &Path) -> PathBuf {
    fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The results in the cache by what their stages depend on apart from inputs and files.
struct Results(BTreeMap<Hash, Vec<Record>>);

impl Results {
    fn read(store: &Store) -> Result<Self, StoreError> {
        let mut results: BTreeMap<Hash, Vec<Record>> = BTreeMap::new();
        for cached in store.inventory()?.cached {
            let part = own_part(&cached.record.fingerprint);
            results.entry(part).or_default().push(cached.record);
        }
        Ok(Self(results))
    }

    /// The results that a stage may turn out to have: its own part is the same, and each input is one of those that it
    /// may get.
    fn of(&self, stage: &StageSpec, inputs: &[(String, &Outputs)]) -> Vec<&Record> {
        let own = Fingerprint::of_stage(stage.kind, &stage.params, stage.seed);
        let fits = |record: &&Record| {
            inputs.iter().all(|(name, outputs)| match outputs {
                Outputs::Any => true,
                Outputs::These(these) => record
                    .fingerprint
                    .leaves()
                    .get(name)
                    .and_then(|hash| Hash::parse(hash))
                    .is_some_and(|hash| these.contains(&hash)),
            })
        };
        let same = self.0.get(&own_part(&own)).into_iter().flatten();
        same.filter(fits).collect()
    }
}

/// What a stage may put out in the next run, as far as that is in the cache.
enum Outputs {
    These(BTreeSet<Hash>),
    /// Its result was here and is lost: computed again, it may fit any result after it.
    Any,
}

/// Adds what one pipeline needs with one profile: the results of its stages, and where a stage cannot be judged before
/// others have run, those that it may then turn out to have.
fn ask(
    pipeline: &Pipeline,
    graph: &StageGraph,
    store: &Store,
    project: &Path,
    results: &Results,
    needs: &mut Needs,
) {
    let mut planner = Planner::new(pipeline, store, project);
    let last = store.last_keys(&pipeline.name);
    let mut resolved: Vec<Option<Resolved>> = vec![None; pipeline.stages.len()];
    let mut outputs: Vec<Outputs> = pipeline
        .stages
        .iter()
        .map(|_| Outputs::These(BTreeSet::new()))
        .collect();
    for &index in graph.order() {
        let stage = &pipeline.stages[index];
        match planner.judge(index, graph.inputs(index), &resolved) {
            Ok(Verdict::Fresh { record }) => {
                resolved[index] = Some(Resolved::of(&record));
                outputs[index] = Outputs::These(BTreeSet::from([record.output]));
                let need = Need::Stage {
                    pipeline: pipeline.name.clone(),
                    profile: pipeline.profile.clone(),
                    stage: stage.id.clone(),
                };
                needs.keys.entry(record.key).or_default().insert(need);
            }
            Ok(Verdict::Dirty { key, causes, .. }) => {
                needs.wanted.insert(key);
                let lost = |cause: &Cause| matches!(cause, Cause::Forgotten | Cause::Damaged(_));
                outputs[index] = if causes.iter().any(lost) {
                    Outputs::Any
                } else {
                    // It may put out what it did before: then everything after it is as it was.
                    let before = last.get(&stage.id).and_then(|key| store.record(&key));
                    Outputs::These(before.iter().map(|record| record.output).collect())
                };
            }
            // A file that it reads may be missing today and back tomorrow.
            Ok(Verdict::Pending { .. }) | Err(_) => {
                let names = stage
                    .inputs
                    .iter()
                    .flat_map(|(port, ids)| (0..ids.len()).map(move |at| input_name(port, at)));
                let inputs: Vec<(String, &Outputs)> = names
                    .zip(graph.inputs(index))
                    .map(|(name, &input)| (name, &outputs[input]))
                    .collect();
                let mut these = BTreeSet::new();
                for record in results.of(stage, &inputs) {
                    these.insert(record.output);
                    let need = Need::Perhaps {
                        pipeline: pipeline.name.clone(),
                        profile: pipeline.profile.clone(),
                        stage: stage.id.clone(),
                    };
                    needs.keys.entry(record.key).or_default().insert(need);
                }
                outputs[index] = Outputs::These(these);
            }
        }
    }
    planner.save();
}
