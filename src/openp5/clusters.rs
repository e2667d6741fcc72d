//! Collaborative ids: a path of clusters, each a token `<CI…>`.

use super::Sequences;
use super::spectral::cluster;
use crate::progress::{Progress, Stopped};
use crate::seed::Seed;
use crate::text::sparse::Sparse;
use rand::Rng as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How the last token of an id is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastToken {
    /// The place within the cluster.
    #[default]
    Sequential,
    /// A number drawn without repeats.
    Random,
}

impl LastToken {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
        }
    }
}

/// How collaborative ids are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collaborative {
    /// Number of different tokens, and the most items of a last cluster. At least `clusters`.
    pub token_size: usize,
    /// Clusters that a set of items is cut into, at least 2.
    pub clusters: usize,
    /// See [`LastToken`].
    pub last: LastToken,
}

impl Collaborative {
    /// The id of each item, in the order in which `OpenP5` writes them.
    ///
    /// Items of training sequences are the nodes of a graph; an edge weighs how often its two items stand in the same user's
    /// sequence. All nodes are clustered, then every cluster of more than `token_size` items again, breadth first. A
    /// cluster's token is a number that runs on through all clusters, modulo `token_size`; the last token tells items of a
    /// cluster apart. Items outside training have a last token only.
    ///
    /// Differs from `OpenP5`'s `generate_collaborative_id`: nodes are in order of first mention (there: of a Python set, another
    /// one each run), so tokens are reproducible; clusters do not depend on the order. A set that the clustering leaves in
    /// one piece is cut into equal parts (there: an endless loop).
    pub fn ids(
        self,
        sequences: &Sequences,
        n_items: usize,
        seed: Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<(u32, String)>, Stopped> {
        let nodes = first_mentions(sequences, n_items);
        let graph = co_occurrence(sequences, &nodes, n_items);
        let mut paths: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        let mut written: Vec<u32> = Vec::with_capacity(nodes.len());
        let mut token = 0;
        let mut done = 0;
        let mut queue: VecDeque<Vec<u32>> = VecDeque::new();
        let mut part: Vec<u32> = (0..nodes.len() as u32).collect();
        let mut number = 0;
        loop {
            let seed = seed.at(number);
            number += 1;
            let groups = self.groups(&graph, &part, seed, progress)?;
            for group in &groups {
                token %= self.token_size;
                for &node in group {
                    paths[node as usize].push(token);
                }
                token += 1;
            }
            if written.is_empty() {
                written.extend(groups.iter().flatten());
            }
            queue.extend(groups);
            // Small groups are done; the next large one is cut.
            let next = loop {
                let Some(group) = queue.pop_front() else {
                    break None;
                };
                if group.len() > self.token_size {
                    break Some(group);
                }
                done += group.len() as u64;
                progress.tick("items indexed", done, nodes.len() as u64)?;
                let lasts = self.lasts(group.len(), seed.child("last"));
                for (node, last) in group.into_iter().zip(lasts) {
                    paths[node as usize].push(last);
                }
            };
            match next {
                Some(group) => part = group,
                None => break,
            }
        }
        let mut ids: Vec<(u32, String)> = written
            .into_iter()
            .map(|node| (nodes[node as usize], tokens(&paths[node as usize])))
            .collect();
        let mut trained = vec![false; n_items];
        for &item in &nodes {
            trained[item as usize] = true;
        }
        let others: Vec<u32> = (0..n_items as u32)
            .filter(|&item| !trained[item as usize])
            .collect();
        let lasts = self.lasts(others.len(), seed.child("others"));
        ids.extend(
            others
                .into_iter()
                .zip(lasts)
                .map(|(item, last)| (item, tokens(&[last]))),
        );
        Ok(ids)
    }

    /// Cuts a set of nodes into clusters, in the order in which the set mentions them.
    fn groups(
        self,
        graph: &Sparse,
        part: &[u32],
        seed: Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<u32>>, Stopped> {
        let labels = cluster(&within(graph, part), self.clusters, seed, progress)?;
        let mut groups: Vec<(usize, Vec<u32>)> = Vec::new();
        for (&node, label) in part.iter().zip(labels) {
            match groups.iter_mut().find(|(known, _)| *known == label) {
                Some((_, group)) => group.push(node),
                None => groups.push((label, vec![node])),
            }
        }
        if groups.len() == 1 && part.len() > self.token_size {
            let size = part.len().div_ceil(self.clusters);
            return Ok(part.chunks(size).map(<[u32]>::to_vec).collect());
        }
        Ok(groups.into_iter().map(|(_, group)| group).collect())
    }

    /// Different last tokens for `count` items.
    fn lasts(self, count: usize, seed: Seed) -> Vec<usize> {
        match self.last {
            LastToken::Sequential => (0..count).collect(),
            LastToken::Random => {
                let mut rng = seed.rng();
                let mut all: Vec<usize> = (0..self.token_size.max(count)).collect();
                for place in 0..count {
                    let other = rng.gen_range(place..all.len());
                    all.swap(place, other);
                }
                all.truncate(count);
                all
            }
        }
    }
}

fn tokens(path: &[usize]) -> String {
    path.iter().map(|token| format!("<CI{token}>")).collect()
}

/// The items of training sequences in order of first mention.
fn first_mentions(sequences: &Sequences, n_items: usize) -> Vec<u32> {
    let mut seen = vec![false; n_items];
    let mut nodes = Vec::new();
    for user in sequences.users() {
        for &item in sequences.train(user) {
            if !std::mem::replace(&mut seen[item as usize], true) {
                nodes.push(item);
            }
        }
    }
    nodes
}

/// How often two items stand in the same user's training sequence; a row per node, without the diagonal. Rows are
/// counted one by one, so memory is that of the result.
fn co_occurrence(sequences: &Sequences, nodes: &[u32], n_items: usize) -> Sparse {
    let mut node_of = vec![u32::MAX; n_items];
    for (node, &item) in nodes.iter().enumerate() {
        node_of[item as usize] = node as u32;
    }
    let mut users_of: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    for user in sequences.users() {
        for &item in sequences.train(user) {
            users_of[node_of[item as usize] as usize].push(user as u32);
        }
    }
    let rows: Vec<Vec<(u32, f64)>> = (0..nodes.len())
        .into_par_iter()
        .map_init(
            || vec![0_u32; nodes.len()],
            |counts, node| {
                let mut touched = Vec::new();
                for &user in &users_of[node] {
                    for &item in sequences.train(user as usize) {
                        let other = node_of[item as usize];
                        if other as usize == node {
                            continue;
                        }
                        if counts[other as usize] == 0 {
                            touched.push(other);
                        }
                        counts[other as usize] += 1;
                    }
                }
                touched.sort_unstable();
                let row = touched.into_iter();
                row.map(|other| {
                    (
                        other,
                        f64::from(std::mem::take(&mut counts[other as usize])),
                    )
                })
                .collect()
            },
        )
        .collect();
    Sparse::from_rows(nodes.len(), &rows)
}

/// The graph of a part of the nodes, numbered by place in `part`.
fn within(graph: &Sparse, part: &[u32]) -> Sparse {
    let mut place = vec![u32::MAX; graph.n_rows()];
    for (at, &node) in part.iter().enumerate() {
        place[node as usize] = at as u32;
    }
    let rows: Vec<Vec<(u32, f64)>> = part
        .par_iter()
        .map(|&node| {
            let row = graph.row(node as usize).iter();
            let mut row: Vec<(u32, f64)> = row
                .map(|&(other, weight)| (place[other as usize], weight))
                .filter(|(other, _)| *other != u32::MAX)
                .collect();
            row.sort_unstable_by_key(|(other, _)| *other);
            row
        })
        .collect();
    Sparse::from_rows(part.len(), &rows)
}

#[cfg(test)]
mod tests {
    use super::super::sequences::tests::sequences;
    use super::*;
    use crate::progress::Silent;
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    /// Users of `groups` groups; each takes items of its own group, the last two of any.
    fn crowd(groups: u32, items: u32, users: u32) -> Sequences {
        let mut rng = Seed::new(9).rng();
        let all: Vec<Vec<u32>> = (0..users)
            .map(|user| {
                let mut sequence: Vec<u32> = (0..6)
                    .map(|_| rng.gen_range(0..items) * groups + user % groups)
                    .collect();
                sequence.extend((0..2).map(|_| rng.gen_range(0..items * groups)));
                sequence
            })
            .collect();
        let all: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
        sequences(&all)
    }

    fn path(id: &str) -> Vec<usize> {
        let words = id.trim_start_matches("<CI").trim_end_matches('>');
        words.split("><CI").map(|n| n.parse().unwrap()).collect()
    }

    #[test]
    fn counts_are_those_of_all_pairs() {
        let sequences = sequences(&[&[3, 1, 3, 2, 0, 0], &[1, 2, 9, 9], &[4, 4, 4]]);
        let nodes = first_mentions(&sequences, 10);
        assert_eq!(nodes, [3, 1, 2, 4]);
        let graph = co_occurrence(&sequences, &nodes, 10);
        let mut twin: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for user in sequences.users() {
            let train = sequences.train(user);
            for (at, a) in train.iter().enumerate() {
                for b in &train[at + 1..] {
                    if a != b {
                        *twin.entry((*a, *b)).or_default() += 1.0;
                        *twin.entry((*b, *a)).or_default() += 1.0;
                    }
                }
            }
        }
        let mut found = BTreeMap::new();
        for (row, &item) in nodes.iter().enumerate() {
            for &(column, weight) in graph.row(row) {
                found.insert((item, nodes[column as usize]), weight);
            }
        }
        assert_eq!(found, twin);
    }

    #[test]
    fn ids_are_unique_and_no_last_cluster_is_larger_than_the_tokens() {
        let sequences = crowd(4, 60, 900);
        for last in [LastToken::Sequential, LastToken::Random] {
            let config = Collaborative {
                token_size: 40,
                clusters: 4,
                last,
            };
            let ids = config.ids(&sequences, 240, Seed::new(1), &Silent).unwrap();
            assert_eq!(
                ids,
                config.ids(&sequences, 240, Seed::new(1), &Silent).unwrap()
            );
            let items: BTreeSet<u32> = ids.iter().map(|(item, _)| *item).collect();
            let texts: BTreeSet<&str> = ids.iter().map(|(_, id)| id.as_str()).collect();
            assert_eq!((items.len(), texts.len()), (240, 240));
            let mut leaves: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
            for (_, id) in &ids {
                let path = path(id);
                assert!(path.iter().all(|&token| token < 40), "{id}");
                *leaves.entry(path[..path.len() - 1].to_vec()).or_default() += 1;
            }
            assert!(leaves.values().all(|&size| size <= 40), "{leaves:?}");
            assert!(leaves.keys().any(|path| path.len() > 1), "{leaves:?}");
        }
    }

    #[test]
    fn the_first_token_tells_the_group() {
        let config = Collaborative {
            token_size: 100,
            clusters: 4,
            last: LastToken::Sequential,
        };
        let ids = config
            .ids(&crowd(4, 50, 800), 200, Seed::new(1), &Silent)
            .unwrap();
        let mut groups: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for (item, id) in &ids {
            groups.entry(path(id)[0]).or_default().insert(item % 4);
        }
        assert!(groups.values().all(|group| group.len() == 1), "{groups:?}");
    }

    #[test]
    fn a_set_that_stays_whole_is_cut_evenly() {
        // One item a user: no edges at all.
        let all: Vec<Vec<u32>> = (0..50).map(|user| vec![user, user, user]).collect();
        let all: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
        let config = Collaborative {
            token_size: 10,
            clusters: 3,
            last: LastToken::Sequential,
        };
        let ids = config
            .ids(&sequences(&all), 50, Seed::new(1), &Silent)
            .unwrap();
        let texts: BTreeSet<&str> = ids.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(texts.len(), 50);
    }
}
