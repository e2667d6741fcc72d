//! `openp5`: a catalogue becomes a data folder of OpenP5, with ids for users and items.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::Catalog;
use crate::formats::json;
use crate::openp5::{
    Collaborative, Folder, How, Index, LastToken, Order, Prompts, Sequences, user_ids,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How items are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Indexing {
    /// 1001, 1002 … in random order.
    Random,
    /// 1001, 1002 … in the order of first mention.
    Sequential,
    /// A path of clusters of items that occur together: `<CI3><CI41><CI7>`.
    Collaborative,
}

/// Parameters of `openp5`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenP5 {
    /// How items are numbered: any of `random`, `sequential`, `collaborative`; each gives a pair of files. Default `random`, as in
    /// the ILM paper.
    pub items: Vec<Indexing>,
    /// Sequential: users as in the catalogue (`original`), or by rising or falling number of items (`short2long`,
    /// `long2short`). Default `original`.
    pub order: Order,
    /// Collaborative: number of different tokens, and the most items of a last cluster, 2 to 100000. Default 500, as OpenP5
    /// has for Beauty (100 for ML-1M).
    pub token_size: u32,
    /// Collaborative: clusters that a set of items is cut into, 2 to 200 and at most `token_size`. Default 20, as in OpenP5.
    pub clusters: u32,
    /// Collaborative: the last token is the place within the cluster (`sequential`) or drawn (`random`). Default `sequential`.
    pub last_token: LastToken,
    /// Whether ids and prompts that the source brought along are taken as they are. Default true.
    pub shipped: bool,
}

impl Default for OpenP5 {
    fn default() -> Self {
        Self {
            items: vec![Indexing::Random],
            order: Order::Original,
            token_size: 500,
            clusters: 20,
            last_token: LastToken::Sequential,
            shipped: true,
        }
    }
}

impl OpenP5 {
    fn how(&self, indexing: Indexing) -> How {
        match indexing {
            Indexing::Random => How::Random,
            Indexing::Sequential => How::Sequential(self.order),
            Indexing::Collaborative => How::Collaborative(Collaborative {
                token_size: self.token_size as usize,
                clusters: self.clusters as usize,
                last: self.last_token,
            }),
        }
    }
}

impl Stage for OpenP5 {
    const NAME: &'static str = "openp5";
    const ABOUT: &'static str = "Numbers users and items as OpenP5 does, and writes its files";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::one("catalog", &[ArtifactKind::Catalog])];
    const OUTPUT: ArtifactKind = ArtifactKind::OpenP5;
    const SEEDED: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = [
            Problem::within("token_size", self.token_size, 2, 100_000),
            Problem::within("clusters", self.clusters, 2, 200),
        ]
        .into_iter()
        .flatten()
        .collect();
        if problems.is_empty() && self.clusters > self.token_size {
            let message = format!(
                "is {}, but must be at most `token_size`, which is {}",
                self.clusters, self.token_size
            );
            problems.push(Problem::new("clusters", message));
        }
        let different: BTreeSet<&Indexing> = self.items.iter().collect();
        if self.items.is_empty() || different.len() < self.items.len() {
            let message =
                "must have at least one of `random`, `sequential`, `collaborative`, each once";
            problems.push(Problem::new("items", message));
        }
        problems
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let input = context.input("catalog")?;
        let catalog = Catalog::read(&input.folder)?;
        let sequences = Sequences::of(&catalog.interactions);
        let shipped = Folder::shipped(&input.folder);
        let folder = Folder::new(&context.output);
        let mut summary: BTreeMap<String, serde_json::Value> = BTreeMap::from([
            ("users".to_owned(), catalog.users.len().into()),
            ("items".to_owned(), catalog.items.len().into()),
            ("interactions".to_owned(), catalog.interactions.len().into()),
        ]);
        let mut origin = |what: &str, found: bool| {
            let origin = if found { "of the source" } else { "made" };
            summary.insert(what.to_owned(), origin.into());
        };

        let users = if self.shipped {
            shipped.users(&catalog)?
        } else {
            None
        };
        origin("user_indexing", users.is_some());
        let users = users.unwrap_or_else(|| user_ids(catalog.users.len()));
        folder.write_catalog(&catalog, &sequences, &users)?;

        let prompts = if self.shipped {
            shipped.prompts()?
        } else {
            None
        };
        origin("prompts", prompts.is_some());
        folder.write_prompts(&prompts.unwrap_or_else(Prompts::own))?;

        for &indexing in &self.items {
            let how = self.how(indexing);
            let suffix = how.suffix();
            let index = if self.shipped {
                shipped.items(&catalog, &suffix)?
            } else {
                None
            };
            origin(&suffix, index.is_some());
            let index = match index {
                Some(index) => index,
                None => Index::make(
                    how,
                    &sequences,
                    catalog.items.len(),
                    context.seed.child(&suffix),
                    context.progress,
                )?,
            };
            folder.write_items(&catalog, &sequences, &users, &index)?;
        }
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
