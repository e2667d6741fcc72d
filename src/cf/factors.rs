//! The result of a fit: one vector a user, one an item.

use super::CfError;
use crate::formats::tensors::{self, Array};
use std::collections::BTreeMap;
use std::path::Path;

/// Vectors of users and items in one space: the score of an item for a user is their inner product.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// `[n_users, d]`; zero for a user without training interactions.
    pub users: Array,
    /// `[n_items, d]`; zero for an item without training interactions.
    pub items: Array,
}

impl Factors {
    /// The width `d`.
    pub fn width(&self) -> usize {
        self.items.shape[1]
    }

    /// Writes `users` and `items` to a safetensors file.
    pub fn save(&self, path: &Path) -> Result<(), CfError> {
        let arrays = BTreeMap::from([
            ("users".to_owned(), self.users.clone()),
            ("items".to_owned(), self.items.clone()),
        ]);
        tensors::write(path, &arrays)?;
        Ok(())
    }

    /// Reads what [`Factors::save`] wrote.
    pub fn load(path: &Path) -> Result<Self, CfError> {
        let users = tensors::read_one(path, "users", 2)?;
        let items = tensors::read_one(path, "items", 2)?;
        if users.shape[1] != items.shape[1] {
            return Err(CfError::Widths {
                path: path.to_owned(),
                users: users.shape[1],
                items: items.shape[1],
            });
        }
        Ok(Self { users, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors.safetensors");
        let factors = Factors {
            users: Array::new(&[1, 2], vec![1.0, -2.5]),
            items: Array::new(&[2, 2], vec![0.0, 3.0, 4.0, 5.0]),
        };
        factors.save(&path).unwrap();
        assert_eq!(Factors::load(&path).unwrap(), factors);
        assert_eq!(factors.width(), 2);
    }
}
