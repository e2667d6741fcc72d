//! Which scores a column shows, and which values of a sweep make a table of their own.

use std::collections::{BTreeMap, BTreeSet};

/// An arm that was scored.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// The id of its stage.
    pub stage: &'a str,
    /// The values of its matrix: axis -> value.
    pub matrix: &'a BTreeMap<String, String>,
}

/// A column: the arms whose matrix has all these values.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// Its header.
    pub label: &'a str,
    /// Axis -> value.
    pub matches: &'a BTreeMap<String, String>,
}

impl Chosen<'_> {
    /// Whether an arm belongs to the column.
    pub fn fits(&self, arm: &Scored<'_>) -> bool {
        self.matches
            .iter()
            .all(|(axis, value)| arm.matrix.get(axis) == Some(value))
    }
}

/// One table of several: all columns with the same values on the swept axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The value on each swept axis.
    pub values: Vec<String>,
    /// Of each column its runs: which repetition, and the position of the arm. Empty where there is none.
    pub columns: Vec<Vec<(String, usize)>>,
}

/// The tables that arms make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panels {
    /// The axes on which a column has several values; without any there is one table.
    pub axes: Vec<String>,
    /// The tables, in the order of the arms.
    pub panels: Vec<Panel>,
}

/// Why arms do not make tables.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PanelError {
    /// A column has no arm.
    #[error("`{column}` wants `{wanted}`, but `rows` has {known}")]
    NoArm {
        /// Its header.
        column: String,
        /// The values that it wants.
        wanted: String,
        /// The arms that there are, quoted.
        known: String,
    },
    /// Two arms of a column cannot be told apart.
    #[error(
        "`{column}` has both `{first}` and `{second}`, which differ on no axis; `match` must choose one"
    )]
    Ambiguous {
        /// Its header.
        column: String,
        /// A stage.
        first: String,
        /// The other.
        second: String,
    },
}

/// Sorts arms into columns and tables.
///
/// The arms of a column that differ only on axes of `replicates` (seeds) are its runs. An axis on which the arms of a
/// column have several values otherwise is swept: each value is a table. An arm without such an axis, or of a column that
/// chooses a value on it, is in all of these tables.
///
/// # Errors
/// A column without arms, or with two that cannot be told apart.
pub fn panels(
    columns: &[Chosen<'_>],
    arms: &[Scored<'_>],
    replicates: &[String],
) -> Result<Panels, PanelError> {
    let mut members: Vec<Vec<usize>> = Vec::new();
    for column in columns {
        let found: Vec<usize> = (0..arms.len())
            .filter(|&arm| column.fits(&arms[arm]))
            .collect();
        if found.is_empty() {
            return Err(no_arm(column, arms));
        }
        members.push(found);
    }
    let mut swept: BTreeSet<&String> = BTreeSet::new();
    for (column, members) in columns.iter().zip(&members) {
        let mut values: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
        for (axis, value) in members.iter().flat_map(|&arm| arms[arm].matrix) {
            if !replicates.contains(axis) && !column.matches.contains_key(axis) {
                values.entry(axis).or_default().insert(value);
            }
        }
        swept.extend(
            values
                .into_iter()
                .filter(|(_, values)| values.len() > 1)
                .map(|(axis, _)| axis),
        );
    }
    let axes: Vec<String> = swept.into_iter().cloned().collect();
    let mut panels = Vec::new();
    for values in combinations(&axes, &members, arms) {
        let columns = columns
            .iter()
            .zip(&members)
            .map(|(column, members)| runs(column, members, arms, replicates, &axes, &values))
            .collect::<Result<_, _>>()?;
        panels.push(Panel { values, columns });
    }
    Ok(Panels { axes, panels })
}

/// Every combination of values on the swept axes that some arm with a swept axis fits, in the order of the arms.
fn combinations(axes: &[String], members: &[Vec<usize>], arms: &[Scored<'_>]) -> Vec<Vec<String>> {
    let used: BTreeSet<usize> = members.iter().flatten().copied().collect();
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for axis in axes {
        let mut values: Vec<&String> = Vec::new();
        for value in used.iter().filter_map(|&arm| arms[arm].matrix.get(axis)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        all = all
            .iter()
            .flat_map(|start| {
                values.iter().map(|value| {
                    let mut next = start.clone();
                    next.push((*value).clone());
                    next
                })
            })
            .collect();
    }
    all.retain(|values| {
        axes.is_empty()
            || used.iter().any(|&arm| {
                let matrix = arms[arm].matrix;
                let mut own = axes.iter().zip(values).filter_map(|(axis, value)| {
                    let own = matrix.get(axis)?;
                    Some(own == value)
                });
                own.next() == Some(true) && own.all(|equal| equal)
            })
    });
    all
}

fn runs(
    column: &Chosen<'_>,
    members: &[usize],
    arms: &[Scored<'_>],
    replicates: &[String],
    axes: &[String],
    values: &[String],
) -> Result<Vec<(String, usize)>, PanelError> {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for &arm in members {
        let matrix = arms[arm].matrix;
        let fits = axes.iter().zip(values).all(|(axis, value)| {
            column.matches.contains_key(axis) || matrix.get(axis).is_none_or(|own| own == value)
        });
        if !fits {
            continue;
        }
        let seed: Vec<&str> = replicates
            .iter()
            .filter_map(|axis| matrix.get(axis).map(String::as_str))
            .collect();
        let seed = seed.join(",");
        if let Some((_, first)) = runs.iter().find(|(known, _)| *known == seed) {
            return Err(PanelError::Ambiguous {
                column: column.label.to_owned(),
                first: arms[*first].stage.to_owned(),
                second: arms[arm].stage.to_owned(),
            });
        }
        runs.push((seed, arm));
    }
    Ok(runs)
}

/// Says what was looked for and what there is.
fn no_arm(column: &Chosen<'_>, arms: &[Scored<'_>]) -> PanelError {
    let wanted: Vec<String> = column
        .matches
        .iter()
        .map(|(axis, value)| format!("{axis}={value}"))
        .collect();
    let known: Vec<String> = arms.iter().map(|arm| format!("`{}`", arm.stage)).collect();
    PanelError::NoArm {
        column: column.label.to_owned(),
        wanted: wanted.join(","),
        known: known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(text: &str) -> BTreeMap<String, String> {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(axis, value)| (axis.to_owned(), value.to_owned()))
            .collect()
    }

    /// Columns as `label: axis=value`, arms as their matrices.
    fn sorted(columns: &[(&str, &str)], arms: &[&str]) -> Result<Panels, PanelError> {
        let wanted: Vec<_> = columns.iter().map(|(_, values)| matrix(values)).collect();
        let chosen: Vec<Chosen<'_>> = columns
            .iter()
            .zip(&wanted)
            .map(|((label, _), matches)| Chosen { label, matches })
            .collect();
        let matrices: Vec<_> = arms.iter().map(|text| matrix(text)).collect();
        let scored: Vec<Scored<'_>> = arms
            .iter()
            .zip(&matrices)
            .map(|(stage, matrix)| Scored { stage, matrix })
            .collect();
        panels(&chosen, &scored, &["seed".to_owned()])
    }

    /// The arms of each column of each table.
    fn shown(found: &Panels) -> Vec<(String, Vec<Vec<usize>>)> {
        found
            .panels
            .iter()
            .map(|panel| {
                let columns = panel.columns.iter();
                let arms = columns.map(|runs| runs.iter().map(|(_, arm)| *arm).collect());
                (panel.values.join(","), arms.collect())
            })
            .collect()
    }

    #[test]
    fn seeds_are_runs_of_one_column() {
        let found = sorted(
            &[("A", "arm=a"), ("B", "arm=b")],
            &[
                "arm=a,seed=1",
                "arm=a,seed=2",
                "arm=b,seed=2",
                "arm=b,seed=1",
            ],
        )
        .unwrap();
        assert!(found.axes.is_empty());
        assert_eq!(
            shown(&found),
            [(String::new(), vec![vec![0, 1], vec![2, 3]])]
        );
        assert_eq!(found.panels[0].columns[1][0], ("2".to_owned(), 2));
    }

    #[test]
    fn a_swept_axis_makes_a_table_a_value() {
        let found = sorted(
            &[("A", "arm=a"), ("B", "arm=b"), ("base", "arm=base")],
            &[
                "arm=a,q=8,seed=1",
                "arm=a,q=8,seed=2",
                "arm=a,q=4,seed=1",
                "arm=b,q=8,seed=1",
                "arm=base,seed=1",
            ],
        )
        .unwrap();
        assert_eq!(found.axes, ["q"]);
        // In the order of the arms; the base has no such axis and is in both; B has no arm with 4.
        assert_eq!(
            shown(&found),
            [
                ("8".to_owned(), vec![vec![0, 1], vec![3], vec![4]]),
                ("4".to_owned(), vec![vec![2], vec![], vec![4]]),
            ]
        );
    }

    #[test]
    fn a_column_that_chooses_the_value_is_in_every_table() {
        let found = sorted(
            &[("A", "arm=a"), ("B at 8", "arm=b,q=8")],
            &["arm=a,q=8", "arm=a,q=4", "arm=b,q=8", "arm=b,q=4"],
        )
        .unwrap();
        assert_eq!(
            shown(&found),
            [
                ("8".to_owned(), vec![vec![0], vec![2]]),
                ("4".to_owned(), vec![vec![1], vec![2]]),
            ]
        );
        let all = sorted(
            &[("A at 8", "arm=a,q=8"), ("A at 4", "arm=a,q=4")],
            &["arm=a,q=8", "arm=a,q=4"],
        );
        assert!(all.unwrap().axes.is_empty());
    }

    #[test]
    fn combinations_that_no_arm_has_are_no_tables() {
        let found = sorted(
            &[("A", "arm=a"), ("base", "arm=base")],
            &[
                "arm=a,q=1,w=1",
                "arm=a,q=1,w=2",
                "arm=a,q=2,w=1",
                "arm=base",
            ],
        )
        .unwrap();
        let values: Vec<String> = shown(&found)
            .into_iter()
            .map(|(values, _)| values)
            .collect();
        assert_eq!(values, ["1,1", "1,2", "2,1"]);
    }

    #[test]
    fn what_cannot_be_sorted_is_named() {
        let error = sorted(&[("A", "arm=x")], &["arm=a", "arm=b"]).unwrap_err();
        insta::assert_snapshot!(error, @"`A` wants `arm=x`, but `rows` has `arm=a`, `arm=b`");
        let error = sorted(&[("A", "")], &["arm=a", "other", "third"]).unwrap_err();
        insta::assert_snapshot!(error, @"`A` has both `arm=a` and `other`, which differ on no axis; `match` must choose one");
    }
}
