//! Weights of a model in a safetensors file.

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
