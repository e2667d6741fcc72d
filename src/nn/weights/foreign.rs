//! Weights that others saved, under their names and in their layouts.

use crate::formats::archive::{Archive, Dtype};
use crate::formats::tensors::Array;
use crate::nn::{Backend, Module, NnError};
use std::collections::{BTreeMap, BTreeSet};

/// How a parameter lies in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As here.
    #[default]
    Same,
    /// Transposed: GPT-2's `Conv1D` keeps `[in, out]`.
    Transposed,
    /// Some of the rows, from one on: GPT-2 keeps queries, keys and values in one matrix. Counted as we see them, after the
    /// transposition.
    TransposedRows {
        /// The first row.
        start: usize,
        /// All rows in the file.
        of: usize,
    },
    /// The rows of each head in pairs `(0, 1), (2, 3), …` that rotate together; ours are `(0, d/2), (1, d/2 + 1), …`. llama.cpp stores
    /// the query and key weights of Llama so.
    Interleaved {
        /// Heads.
        heads: usize,
    },
}

/// Where a parameter comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name in the file.
    pub name: String,
    /// The layout in the file.
    pub form: Form,
}

impl Source {
    /// The array of this name as it is.
    pub fn same(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            form: Form::Same,
        }
    }
}

/// The shape in the file of a parameter that is `shape` here.
fn shape_there(form: Form, shape: &[usize]) -> Vec<usize> {
    match (form, shape) {
        (Form::Transposed, [rows, columns]) => vec![*columns, *rows],
        (Form::TransposedRows { of, .. }, [_, columns]) => vec![*columns, of],
        (Form::TransposedRows { of, .. }, [_]) => vec![of],
        _ => shape.to_vec(),
    }
}

/// The numbers of a parameter of `shape`, row-major, from those of the file.
fn arranged(form: Form, shape: &[usize], array: Array) -> Vec<f32> {
    let (rows, columns) = match shape {
        [rows, columns] => (*rows, *columns),
        _ => (shape.iter().product(), 1),
    };
    match form {
        Form::Same => array.data,
        // A vector has no transpose.
        Form::Transposed if shape.len() < 2 => array.data,
        Form::Transposed => transposed_rows(&array.data, 0, rows, columns, rows),
        Form::TransposedRows { start, .. } if shape.len() < 2 => {
            array.data[start..start + rows].to_vec()
        }
        Form::TransposedRows { start, of } => {
            transposed_rows(&array.data, start, rows, columns, of)
        }
        Form::Interleaved { heads } => {
            let head = rows / heads;
            let half = head / 2;
            let mut data = Vec::with_capacity(array.data.len());
            for row in 0..rows {
                let (at, within) = (row / head * head, row % head);
                let there = at + within % half * 2 + within / half;
                data.extend_from_slice(&array.data[there * columns..][..columns]);
            }
            data
        }
    }
}

/// Rows `start .. start + rows` of the transpose of a `[columns, of]` matrix.
fn transposed_rows(data: &[f32], start: usize, rows: usize, columns: usize, of: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows * columns);
    for row in start..start + rows {
        out.extend((0..columns).map(|column| data[column * of + row]));
    }
    out
}

/// Fills every parameter of `module` from an archive.
///
/// `source` says where a parameter of a name is to be found; `ignored` names arrays that are no parameters, such as masks that some
/// versions of a library saved. One array may feed several parameters.
///
/// # Errors
/// [`NnError::Weights`] with every difference between the file and the model: missing, extra and wrongly shaped arrays, and those that
/// are no weights. The model is unchanged then. A file that shrinks while it is read leaves it half filled.
pub fn fill_from<D: Backend, M: Module<D> + ?Sized>(
    module: &mut M,
    archive: &Archive,
    source: &dyn Fn(&str) -> Source,
    ignored: &dyn Fn(&str) -> bool,
) -> Result<(), NnError> {
    let mut wanted: BTreeMap<String, (Source, Vec<usize>)> = BTreeMap::new();
    module.visit("", &mut |name, param| {
        wanted.insert(name.to_owned(), (source(name), param.saved_shape()));
    });
    let problems = differences(&wanted, archive, ignored);
    if !problems.is_empty() {
        return Err(NnError::Weights {
            path: archive.path().to_owned(),
            problems,
        });
    }
    let mut result = Ok(());
    module.visit_mut("", &mut |name, param| {
        if result.is_err() {
            return;
        }
        if let Some((source, shape)) = wanted.get(name) {
            result = archive
                .read(&source.name)
                .map_err(NnError::from)
                .and_then(|array| param.value.overwrite(&arranged(source.form, shape, array)));
        }
    });
    result
}

/// Every difference between an archive and what a model wants of it, one sentence each.
fn differences(
    wanted: &BTreeMap<String, (Source, Vec<usize>)>,
    archive: &Archive,
    ignored: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for (source, shape) in wanted.values() {
        let name = &source.name;
        let first = used.insert(name.as_str());
        let expected = shape_there(source.form, shape);
        match archive.entries().get(name) {
            // Queries, keys and values of one array are missing once.
            None if first => problems.push(format!("`{name}` is missing")),
            None => {}
            Some(entry) if first && entry.shape != expected => problems.push(format!(
                "`{name}` is {:?} in the file, but the model has {expected:?}",
                entry.shape
            )),
            Some(entry) => {
                if let (true, Dtype::Other(dtype, _)) = (first, entry.dtype) {
                    problems.push(format!("`{name}` is {dtype}, which are no weights"));
                }
            }
        }
    }
    for name in archive.entries().keys() {
        if !used.contains(name.as_str()) && !ignored(name) {
            problems.push(format!("`{name}` is not in the model"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tensors;
    use crate::nn::layers::Linear;
    use crate::nn::weights::to_arrays;
    use crate::seed::Seed;
    use dfdx::tensor::Cpu;

    fn archive(arrays: &[(&str, &[usize])]) -> (tempfile::TempDir, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let arrays = arrays
            .iter()
            .map(|(name, shape)| {
                let count = shape.iter().product::<usize>();
                let data = (0..count).map(|i| i as f32).collect();
                ((*name).to_owned(), Array::new(shape, data))
            })
            .collect();
        tensors::write(&path, &arrays).unwrap();
        let archive = Archive::open(&path).unwrap();
        (folder, archive)
    }

    fn linear(inputs: usize, outputs: usize) -> Linear<Cpu> {
        Linear::new(&Cpu::default(), inputs, outputs, true, 1.0, Seed::new(1)).unwrap()
    }

    #[test]
    fn every_form_is_undone() {
        let (_folder, archive) =
            archive(&[("w", &[2, 6]), ("b", &[6]), ("p", &[8, 1]), ("pb", &[8])]);
        let mut middle = linear(2, 2);
        let source = |name: &str| Source {
            name: name[..1].to_owned(),
            form: Form::TransposedRows { start: 2, of: 6 },
        };
        fill_from(&mut middle, &archive, &source, &|name| {
            name.starts_with('p')
        })
        .unwrap();
        let arrays = to_arrays(&middle);
        assert_eq!(arrays["weight"].data, [2.0, 8.0, 3.0, 9.0]);
        assert_eq!(arrays["bias"].data, [2.0, 3.0]);

        // Two heads of four rows: pairs (0, 1) and (2, 3) become (0, 2) and (1, 3).
        let mut heads = linear(1, 8);
        let source = |name: &str| Source {
            name: if name == "bias" { "pb" } else { "p" }.to_owned(),
            form: Form::Interleaved { heads: 2 },
        };
        fill_from(&mut heads, &archive, &source, &|name| name.len() == 1).unwrap();
        let arrays = to_arrays(&heads);
        assert_eq!(
            arrays["weight"].data,
            [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
        );
        assert_eq!(arrays["bias"].data, arrays["weight"].data);

        let mut turned = linear(2, 6);
        let source = |name: &str| Source {
            name: name[..1].to_owned(),
            form: Form::Transposed,
        };
        let source = |name: &str| match name {
            "weight" => source("w"),
            _ => Source::same("b"),
        };
        fill_from(&mut turned, &archive, &source, &|name| {
            name.starts_with('p')
        })
        .unwrap();
        assert_eq!(to_arrays(&turned)["weight"].data[..4], [0.0, 6.0, 1.0, 7.0]);
    }

    #[test]
    fn every_difference_is_listed_and_nothing_is_changed() {
        let (_folder, archive) =
            archive(&[("weight", &[2, 3]), ("masked_bias", &[1]), ("more", &[1])]);
        let mut model = linear(2, 2);
        let before = to_arrays(&model);
        let error = fill_from(&mut model, &archive, &|name| Source::same(name), &|name| {
            name == "masked_bias"
        });
        let message = error.unwrap_err().to_string();
        assert!(
            message.ends_with(
                "does not fit the model: `bias` is missing; `weight` is [2, 3] in the file, but the model has [2, 2]; \
                 `more` is not in the model"
            ),
            "{message}"
        );
        assert_eq!(to_arrays(&model), before);
    }
}
