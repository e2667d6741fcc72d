//! Weights of a model in files: our own ([`load`], [`save`]) and those of others ([`fill_from`]).

mod foreign;

pub use foreign::{Form, Source, fill_from};

use super::{Backend, Module, NnError};
use crate::formats::tensors::{self, Array};
use std::collections::BTreeMap;
use std::path::Path;

/// Copies every parameter of `module` to the host, by name.
pub fn to_arrays<D: Backend, M: Module<D> + ?Sized>(module: &M) -> BTreeMap<String, Array> {
    let mut arrays = BTreeMap::new();
    module.visit("", &mut |name, param| {
        let array = Array::new(&param.saved_shape(), param.value.to_vec());
        let before = arrays.insert(name.to_owned(), array);
        assert!(before.is_none(), "two parameters are named `{name}`");
    });
    arrays
}

/// Saves every parameter of `module`.
pub fn save<D: Backend, M: Module<D> + ?Sized>(module: &M, path: &Path) -> Result<(), NnError> {
    tensors::write(path, &to_arrays(module))?;
    Ok(())
}

/// Fills every parameter of `module` from a file.
///
/// # Errors
/// [`NnError::Weights`] with every difference between the file and the model: missing, extra and wrongly shaped arrays. The model
/// is unchanged then.
pub fn load<D: Backend, M: Module<D> + ?Sized>(module: &mut M, path: &Path) -> Result<(), NnError> {
    fill(module, tensors::read(path)?, path)
}

/// Fills every parameter of `module` from named arrays; `path` is where they came from, for messages.
pub fn fill<D: Backend, M: Module<D> + ?Sized>(
    module: &mut M,
    mut arrays: BTreeMap<String, Array>,
    path: &Path,
) -> Result<(), NnError> {
    let problems = differences(module, &arrays);
    if !problems.is_empty() {
        return Err(NnError::Weights {
            path: path.to_owned(),
            problems,
        });
    }
    let mut result = Ok(());
    module.visit_mut("", &mut |name, param| {
        if let Some(array) = arrays.remove(name)
            && result.is_ok()
        {
            result = param.value.overwrite(&array.data);
        }
    });
    result
}

/// Every difference between named arrays and a model, one sentence each.
fn differences<D: Backend, M: Module<D> + ?Sized>(
    module: &M,
    arrays: &BTreeMap<String, Array>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut known = BTreeMap::new();
    module.visit("", &mut |name, param| {
        known.insert(name.to_owned(), param.saved_shape());
    });
    for (name, shape) in &known {
        match arrays.get(name) {
            None => problems.push(format!("`{name}` is missing")),
            Some(array) if array.shape != *shape => problems.push(format!(
                "`{name}` is {:?} in the file, but the model has {shape:?}",
                array.shape
            )),
            Some(_) => {}
        }
    }
    for name in arrays.keys() {
        if !known.contains_key(name) {
            problems.push(format!("`{name}` is not in the model"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{LayerNorm, Linear};
    use crate::seed::Seed;
    use dfdx::tensor::Cpu;

    struct Pair<D: Backend> {
        norm: LayerNorm<D>,
        layers: Vec<Linear<D>>,
    }

    crate::module!(Pair {
        norm: "norm",
        layers: "layers",
    });

    fn pair(seed: u64, bias: bool) -> Pair<Cpu> {
        let device = Cpu::default();
        let seed = Seed::new(seed);
        let layer = |at| Linear::new(&device, 3, 2, bias, 1.0, seed.at(at)).unwrap();
        Pair {
            norm: LayerNorm::new(&device, 3, 1e-5).unwrap(),
            layers: vec![layer(0), layer(1)],
        }
    }

    #[test]
    fn weights_come_back_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let saved = pair(1, true);
        save(&saved, &path).unwrap();
        let arrays = tensors::read(&path).unwrap();
        let shapes: Vec<_> = arrays
            .iter()
            .map(|(name, array)| (name.as_str(), array.shape.clone()))
            .collect();
        assert_eq!(
            shapes,
            [
                ("layers.0.bias", vec![2]),
                ("layers.0.weight", vec![2, 3]),
                ("layers.1.bias", vec![2]),
                ("layers.1.weight", vec![2, 3]),
                ("norm.bias", vec![3]),
                ("norm.weight", vec![3]),
            ]
        );
        let mut loaded = pair(2, true);
        load(&mut loaded, &path).unwrap();
        assert_eq!(to_arrays(&loaded), to_arrays(&saved));
    }

    #[test]
    fn every_difference_is_listed_and_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut arrays = to_arrays(&pair(1, false));
        arrays.insert("extra".to_owned(), Array::new(&[1], vec![0.0]));
        arrays.insert("norm.bias".to_owned(), Array::new(&[4], vec![0.0; 4]));
        tensors::write(&path, &arrays).unwrap();
        let mut model = pair(2, true);
        let message = load(&mut model, &path).unwrap_err().to_string();
        assert!(
            message.ends_with(
                "does not fit the model: `layers.0.bias` is missing; `layers.1.bias` is missing; \
                 `norm.bias` is [4] in the file, but the model has [3]; `extra` is not in the model"
            ),
            "{message}"
        );
        assert_eq!(to_arrays(&model), to_arrays(&pair(2, true)));
    }
}
