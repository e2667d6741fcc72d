//! Named `f32` arrays in safetensors files, which Python opens without us.

use super::FormatError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// A row-major array of any rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// `shape.product()` values, row-major.
    pub data: Vec<f32>,
}

impl Array {
    /// Makes an array, checking that the sizes fit the data.
    ///
    /// # Panics
    /// When they do not: that is a bug of the caller.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{shape:?}");
        Self {
            shape: shape.to_vec(),
            data,
        }
    }
}

/// Writes named arrays, in the order of their names.
pub fn write(path: &Path, arrays: &BTreeMap<String, Array>) -> Result<(), FormatError> {
    let bytes: BTreeMap<&str, (Vec<usize>, Vec<u8>)> = arrays
        .iter()
        .map(|(name, array)| {
            let bytes = array.data.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name.as_str(), (array.shape.clone(), bytes))
        })
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, (shape, bytes)) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .map_err(|error| broken(path, &error))?;
        views.push((*name, view));
    }
    let file = safetensors::serialize(views, None).map_err(|error| broken(path, &error))?;
    fs_err::write(path, file)?;
    Ok(())
}

/// Reads every array of a file.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>, FormatError> {
    let bytes = fs_err::read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(path, &error))?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(FormatError::Tensors {
                path: path.to_owned(),
                message: format!("`{name}` is {:?}, but must be F32", view.dtype()),
            });
        }
        let data = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        arrays.insert(name.to_owned(), Array::new(view.shape(), data));
    }
    Ok(arrays)
}

/// Reads one array of a file and checks its rank.
pub fn read_one(path: &Path, name: &str, rank: usize) -> Result<Array, FormatError> {
    let mut arrays = read(path)?;
    let known = arrays.keys().cloned().collect::<Vec<_>>().join("`, `");
    let array = arrays.remove(name).ok_or_else(|| FormatError::Tensors {
        path: path.to_owned(),
        message: format!("has no array `{name}`; it has `{known}`"),
    })?;
    if array.shape.len() != rank {
        return Err(FormatError::Tensors {
            path: path.to_owned(),
            message: format!(
                "`{name}` has the shape {:?}, but must have {rank} axes",
                array.shape
            ),
        });
    }
    Ok(array)
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> FormatError {
    FormatError::Tensors {
        path: path.to_owned(),
        message: error.to_string(),
    }
}
