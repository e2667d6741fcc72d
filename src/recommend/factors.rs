//! Inner products of vectors of users and items.

use super::{Query, RecommendError, Scorer};
use crate::cf::Factors;
use crate::nn::{Graph, Matrix, ops};
use dfdx::tensor::Cpu;
use std::path::Path;

/// Scores by [`Factors`]: a user's vector times each item's. The history plays no part.
pub struct FactorScorer {
    factors: Factors,
    items: Matrix<Cpu>,
}

impl FactorScorer {
    /// Takes fitted vectors.
    pub fn new(factors: Factors) -> Result<Self, RecommendError> {
        let shape = (factors.items.shape[0], factors.width());
        let items = Matrix::constant(&Cpu::default(), factors.items.data.clone(), shape)?;
        Ok(Self { factors, items })
    }

    /// Reads `factors.safetensors` of a folder.
    pub fn load(folder: &Path) -> Result<Self, RecommendError> {
        Self::new(Factors::load(&folder.join("factors.safetensors"))?)
    }
}

impl Scorer for FactorScorer {
    fn n_items(&self) -> usize {
        self.factors.items.shape[0]
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        let (n_users, width) = (self.factors.users.shape[0], self.factors.width());
        let mut users = Vec::with_capacity(queries.len() * width);
        for query in queries {
            let id = query.user as usize;
            if id >= n_users {
                return Err(RecommendError::Unknown {
                    side: "user",
                    id: query.user,
                    size: n_users,
                });
            }
            users.extend_from_slice(&self.factors.users.data[id * width..][..width]);
        }
        let g = Graph::inference(&Cpu::default());
        let users = g.constant(users, (queries.len(), width))?;
        let found = ops::matmul_nt(&g, &users, &self.items)?;
        scores.copy_from_slice(&found.to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tensors::Array;

    #[test]
    fn scores_are_inner_products() {
        let folder = tempfile::tempdir().unwrap();
        let factors = Factors {
            users: Array::new(&[2, 2], vec![1.0, 2.0, 0.0, -1.0]),
            items: Array::new(&[3, 2], vec![1.0, 0.0, 0.5, 1.0, 0.0, 3.0]),
        };
        factors
            .save(&folder.path().join("factors.safetensors"))
            .unwrap();
        let scorer = super::super::load(folder.path()).unwrap();
        let query = |user| Query { user, history: &[] };
        let mut scores = [0.0; 6];
        scorer.score(&[query(1), query(0)], &mut scores).unwrap();
        assert_eq!(scores, [0.0, -1.0, -3.0, 1.0, 2.5, 6.0]);
        let error = scorer.score(&[query(2)], &mut [0.0; 3]).unwrap_err();
        insta::assert_snapshot!(error, @"the split has the user 2, but the method was fitted for 2 users");
    }
}
