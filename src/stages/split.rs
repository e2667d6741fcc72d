//! `split`: interactions are cut by time, the last of each user for test.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data;
use crate::data::Interactions;
use crate::formats::json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `split` has no parameters: leave-one-out as in OpenP5. A user with fewer than three interactions is in train only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {}

impl Stage for Split {
    const NAME: &'static str = "split";
    const ABOUT: &'static str =
        "Keeps each user's last item for test and the one before for validation";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::one("catalog", &[ArtifactKind::Catalog])];
    const OUTPUT: ArtifactKind = ArtifactKind::Split;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let all = Interactions::read(&context.input("catalog")?.file("interactions.parquet"))?;
        let split = data::Split::leave_one_out(&all);
        split.write(&context.output)?;
        let mut trained = vec![false; split.n_items()];
        for &item in &split.train.items {
            trained[item as usize] = true;
        }
        let strangers = split
            .test
            .items
            .iter()
            .filter(|item| !trained[**item as usize]);
        json::write(
            &context.out("summary.json"),
            &BTreeMap::from([
                ("users", split.n_users()),
                ("items", split.n_items()),
                ("train", split.train.len()),
                ("validation", split.validation.len()),
                ("test", split.test.len()),
                ("train_items", trained.iter().filter(|seen| **seen).count()),
                ("test_items_not_in_train", strangers.count()),
            ]),
        )?;
        Ok(())
    }
}
