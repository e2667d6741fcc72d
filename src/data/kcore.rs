//! The k-core of the graph of users and items.

/// Marks the interactions that are in the `k`-core: those left when users and items with fewer than `k`
/// interactions are removed, again and again until nothing changes.
///
/// The result does not depend on the order of removal: the k-core is unique. `k` of 0 or 1 keeps everything.
///
/// # Shapes
/// - `users`, `items`: `[n]`, ids below `n_users` and `n_items`
/// - returns: `[n]`, true for what stays
///
/// Source: the 5-core filter of `OpenP5` (Xu et al. 2023, arXiv 2306.11134), as in S3-Rec's `data_process.py`.
pub fn k_core(users: &[u32], items: &[u32], n_users: usize, n_items: usize, k: u32) -> Vec<bool> {
    let mut kept = vec![true; users.len()];
    let mut of_user = vec![0u32; n_users];
    let mut of_item = vec![0u32; n_items];
    for (&user, &item) in users.iter().zip(items) {
        of_user[user as usize] += 1;
        of_item[item as usize] += 1;
    }
    let few = |&count: &u32| count > 0 && count < k;
    if !of_user.iter().any(few) && !of_item.iter().any(few) {
        return kept;
    }
    loop {
        let mut removed = false;
        for (index, kept) in kept.iter_mut().enumerate().filter(|(_, kept)| **kept) {
            let (user, item) = (users[index] as usize, items[index] as usize);
            // The counts fall at once, not after the pass: fewer passes to the same core.
            if of_user[user] < k || of_item[item] < k {
                of_user[user] -= 1;
                of_item[item] -= 1;
                *kept = false;
                removed = true;
            }
        }
        if !removed {
            return kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Removes one user or item at a time, the naive way.
    fn twin(pairs: &[(u32, u32)], k: usize) -> BTreeSet<usize> {
        let mut kept: BTreeSet<usize> = (0..pairs.len()).collect();
        loop {
            let lonely = kept.iter().copied().find(|&index| {
                let (user, item) = pairs[index];
                kept.iter().filter(|&&other| pairs[other].0 == user).count() < k
                    || kept.iter().filter(|&&other| pairs[other].1 == item).count() < k
            });
            match lonely {
                Some(index) => kept.remove(&index),
                None => return kept,
            };
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_core_is_that_of_one_by_one_removal(pairs in prop::collection::btree_set((0u32..9, 0u32..9), 0..60), k in 0u32..5) {
            let pairs: Vec<(u32, u32)> = pairs.into_iter().collect();
            let (users, items): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
            let kept = k_core(&users, &items, 9, 9, k);
            let kept: BTreeSet<usize> = (0..pairs.len()).filter(|&index| kept[index]).collect();
            prop_assert_eq!(kept, twin(&pairs, k as usize));
        }
    }
}
