//! What the pipelines of a cache need.

use crate::artifact::{KnownPipeline, Need, Needs, Store, StoreError, own_part};
use crate::cli::Settings;
use crate::graph::StageGraph;
use crate::key::Fingerprint;
use crate::plan::{Planner, Resolved, Verdict};
use crate::report::count;
use crate::spec::{self, LoadOptions, Pipeline};
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
    for (file, root) in roots(store, settings, more)? {
        let mut names: BTreeSet<String> = root.name.iter().cloned().collect();
        let mut broken = None;
        let profiles = spec::profiles(&file);
        for profile in std::iter::once(None).chain(profiles.into_iter().map(Some)) {
            let options = LoadOptions {
                profile: profile.clone(),
                set: Vec::new(),
            };
            match spec::load(&file, &options) {
                Ok(pipeline) => {
                    names.insert(pipeline.name.clone());
                    match StageGraph::build(&pipeline) {
                        Ok(graph) => ask(&pipeline, &graph, store, &root.project, &mut needs),
                        Err(error) => broken = Some(format!("`{}`: {error}", file.display())),
                    }
                }
                Err(errors) => {
                    let n = count(errors.problems().len(), "problem");
                    let profile = profile.map_or_else(String::new, |name| {
                        format!(" with profile `{name}`")
                    });
                    broken = Some(format!("`{}` has {n}{profile}", file.display()));
                }
            }
        }
        if names.is_empty() {
            names.extend(file.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        for name in names {
            for (stage, key) in store.lasts(&name)? {
                needs.keys.entry(key).or_default().insert(Need::Last {
                    pipeline: name.clone(),
                    stage,
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

/// Adds what one pipeline needs with one profile.
fn ask(
    pipeline: &Pipeline,
    graph: &StageGraph,
    store: &Store,
    project: &Path,
    needs: &mut Needs,
) {
    let mut planner = Planner::new(pipeline, store, project);
    let mut resolved: Vec<Option<Resolved>> = vec![None; pipeline.stages.len()];
    for &index in graph.order() {
        let stage = &pipeline.stages[index];
        let place = (
            pipeline.name.clone(),
            pipeline.profile.clone(),
            stage.id.clone(),
        );
        match planner.judge(index, graph.inputs(index), &resolved) {
            Ok(Verdict::Fresh { record }) => {
                resolved[index] = Some(Resolved::of(&record));
                let (pipeline, profile, stage) = place;
                needs.keys.entry(record.key).or_default().insert(Need::Stage {
                    pipeline,
                    profile,
                    stage,
                });
            }
            Ok(Verdict::Dirty { key, .. }) => {
                needs.wanted.insert(key);
            }
            // A file that it reads may be missing today and back tomorrow.
            Ok(Verdict::Pending { .. }) | Err(_) => {
                let own = Fingerprint::of_stage(stage.kind, &stage.params, stage.seed);
                let (pipeline, profile, stage) = place;
                needs
                    .parts
                    .entry(own_part(&own))
                    .or_default()
                    .insert(Need::Perhaps {
                        pipeline,
                        profile,
                        stage,
                    });
            }
        }
    }
    planner.save();
}
