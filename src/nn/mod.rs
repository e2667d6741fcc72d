//! Networks on dfdx tensors.
