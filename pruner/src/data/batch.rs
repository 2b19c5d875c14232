//! Batches of row indices, and the normalisation that turns raw values into the network's input.
//!
//! Every sampler takes its random numbers from the caller: the same seed gives the same batches.

use super::groups::GroupSet;
use crate::contract::InputNorm;
use crate::error::{Error, Result};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

/// Fewest rows of a batch, where there are as many: batch statistics of one row do not exist.
const MIN_BATCH: usize = 2;

/// One pass over `n` rows in random order, in batches of `batch` (at least 1) rows. The last batch is shorter
/// where `batch` does not divide `n`; a single left-over row joins the batch before it.
pub fn epoch_batches(n: usize, batch: usize, rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    merge_short(order.chunks(batch.max(1)).map(<[usize]>::to_vec).collect(), batch)
}

/// `batches` batches of `batch` rows of group `g` alone, for scores per group. A group of at least `batch` rows
/// is walked through in random order, again and again, without a repetition inside a batch; of a smaller group
/// rows are drawn with replacement. A group without rows has no batches.
///
/// # Panics
/// If the set has no group `g`.
pub fn group_batches(groups: &GroupSet, g: usize, batch: usize, batches: usize, rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let rows = &groups.groups[g].rows;
    if rows.is_empty() || batch == 0 {
        return Vec::new();
    }
    if rows.len() < batch {
        let draw = |_| (0..batch).filter_map(|_| rows.choose(rng).copied()).collect();
        return (0..batches).map(draw).collect();
    }
    let mut order = rows.clone();
    let mut at = order.len();
    let mut next = |_| {
        if at + batch > order.len() {
            order.shuffle(rng);
            at = 0;
        }
        at += batch;
        order[at - batch..at].to_vec()
    };
    (0..batches).map(&mut next).collect()
}

/// One pass over all rows in batches that hold the groups of the contract's first entry in proportion.
///
/// The rows of each group are dealt evenly over `n / batch` batches (rounded up), so each batch has between the
/// floor and the ceiling of its fair share of every group: at least one row of every group that has as many rows
/// as there are batches, and a size that differs from the mean by less than the number of groups.
pub fn stratified_batches(groups: &GroupSet, batch: usize, rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let count = groups.of_row.len().div_ceil(batch.max(1));
    let mut batches = vec![Vec::new(); count];
    for g in groups.of_entry(0) {
        let mut rows = groups.groups[g].rows.clone();
        rows.shuffle(rng);
        // Each group starts at a batch of its own, so that the surplus rows do not all meet in the same ones.
        let first = (0..count).collect::<Vec<_>>().choose(rng).copied().unwrap_or(0);
        let share = rows.len();
        for (k, row) in rows.into_iter().enumerate() {
            batches[(first + k * count / share) % count].push(row);
        }
    }
    for b in &mut batches {
        b.shuffle(rng);
    }
    batches.shuffle(rng);
    merge_short(batches, batch)
}

/// Adds batches that are too short to the one before (the first to the one after).
fn merge_short(batches: Vec<Vec<usize>>, batch: usize) -> Vec<Vec<usize>> {
    let fewest = MIN_BATCH.min(batch.max(1));
    let mut out: Vec<Vec<usize>> = Vec::with_capacity(batches.len());
    for b in batches {
        match out.last_mut() {
            Some(last) if b.len() < fewest || last.len() < fewest => last.extend(b),
            _ => out.push(b),
        }
    }
    out.retain(|b| !b.is_empty());
    out
}

/// The contract's `[input]`, checked against the data: `(value * scale - mean) / std` per channel, where the
/// channel is the first dimension of a sample (so a vector has one per feature).
#[derive(Clone, Debug, PartialEq)]
pub struct Normaliser {
    scale: f32,
    /// One per channel.
    mean: Vec<f32>,
    /// One per channel.
    std: Vec<f32>,
    /// Elements of one channel.
    plane: usize,
}

impl Normaliser {
    /// Fits `norm` to samples of dimensions `sample`.
    ///
    /// # Errors
    /// Says how many values `mean` or `std` has and how many channels there are.
    pub fn new(norm: &InputNorm, sample: &[usize]) -> Result<Self> {
        let channels = *sample.first().ok_or_else(|| Error::new("a sample has no dimensions"))?;
        let spread = |name: &str, values: &[f32]| match values {
            [one] => Ok(vec![*one; channels]),
            many if many.len() == channels => Ok(many.to_vec()),
            many => {
                Err(Error::new(format!("[input] {name} has {} values, the data has {channels} channels", many.len()))
                    .help(format!("give one value for all channels, or {channels} values")))
            }
        };
        if !norm.scale.is_finite() || norm.mean.iter().any(|m| !m.is_finite()) {
            return Err(Error::new("[input] scale and mean must be finite"));
        }
        if !norm.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err(Error::new("[input] std must be finite and positive"));
        }
        Ok(Normaliser {
            scale: norm.scale,
            mean: spread("mean", &norm.mean)?,
            std: spread("std", &norm.std)?,
            plane: sample[1..].iter().product(),
        })
    }

    /// Factor on raw values, then per channel mean and standard deviation.
    pub fn parameters(&self) -> (f32, &[f32], &[f32]) {
        (self.scale, &self.mean, &self.std)
    }

    /// Appends the normalised values of one sample to `out`.
    pub fn apply(&self, row: &[f32], out: &mut Vec<f32>) {
        debug_assert_eq!(row.len(), self.mean.len() * self.plane);
        let channels = row.chunks_exact(self.plane.max(1)).zip(self.mean.iter().zip(&self.std));
        for (channel, (mean, std)) in channels {
            out.extend(channel.iter().map(|v| (v * self.scale - mean) / std));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::Group;
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// Groups of one entry from a code per row.
    fn groups(codes: &[u32]) -> GroupSet {
        let count = codes.iter().max().map_or(0, |m| m + 1);
        let rows = |g| (0..codes.len()).filter(|&i| codes[i] == g).collect();
        GroupSet {
            groups: (0..count).map(|g| Group { name: g.to_string(), rows: rows(g) }).collect(),
            of_row: codes.iter().map(|&c| vec![c]).collect(),
        }
    }

    fn is_epoch(batches: &[Vec<usize>], n: usize) -> bool {
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        all == (0..n).collect::<Vec<_>>()
    }

    #[test]
    fn epochs_are_seeded_and_merge_a_single_row() {
        let b = epoch_batches(65, 32, &mut rng(1));
        assert_eq!(b.iter().map(Vec::len).collect::<Vec<_>>(), [32, 33]);
        assert_eq!(b, epoch_batches(65, 32, &mut rng(1)));
        assert_ne!(b, epoch_batches(65, 32, &mut rng(2)));
        assert!(epoch_batches(0, 32, &mut rng(1)).is_empty());
        assert_eq!(epoch_batches(3, 1, &mut rng(1)).len(), 3);
    }

    #[test]
    fn group_batches_repeat_only_in_small_groups() {
        let g = groups(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 0]);
        for b in group_batches(&g, 0, 3, 5, &mut rng(3)) {
            let mut rows = b.clone();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows.len(), 3);
            assert!(rows.iter().all(|r| g.groups[0].rows.contains(r)));
        }
        let two = group_batches(&g, 0, 3, 2, &mut rng(4)).concat();
        assert_eq!(two.iter().collect::<std::collections::BTreeSet<_>>().len(), 6, "a pass sees every row");
        let small = group_batches(&g, 1, 9, 2, &mut rng(3));
        assert!(small.iter().all(|b| b.len() == 9 && b.iter().all(|r| r % 2 == 1)));
        let none = GroupSet { groups: vec![Group { name: "empty".into(), rows: vec![] }], of_row: vec![] };
        assert!(group_batches(&none, 0, 4, 3, &mut rng(3)).is_empty());
    }

    #[test]
    fn normalises_per_channel_or_all_at_once() {
        let norm = InputNorm { scale: 0.5, mean: vec![1.0, 2.0], std: vec![1.0, 4.0] };
        let mut out = vec![9.0];
        Normaliser::new(&norm, &[2, 2]).unwrap().apply(&[2.0, 4.0, 4.0, 12.0], &mut out);
        assert_eq!(out, [9.0, 0.0, 1.0, 0.0, 1.0]);
        let e = Normaliser::new(&norm, &[3, 2]).unwrap_err().to_string();
        assert!(e.contains("mean has 2 values") && e.contains("3 channels"), "{e}");
        let one = InputNorm { scale: 1.0, mean: vec![1.0], std: vec![2.0] };
        let mut out = Vec::new();
        Normaliser::new(&one, &[3]).unwrap().apply(&[1.0, 3.0, 5.0], &mut out);
        assert_eq!(out, [0.0, 1.0, 2.0]);
        assert!(Normaliser::new(&InputNorm { std: vec![0.0], ..one }, &[3]).is_err());
    }

    proptest! {
        #[test]
        fn epochs_hold_every_row_once(n in 0usize..300, batch in 1usize..70, seed: u64) {
            let b = epoch_batches(n, batch, &mut rng(seed));
            prop_assert!(is_epoch(&b, n));
            prop_assert!(b.iter().all(|b| b.len() <= batch + 1 && b.len() >= batch.min(n).min(2)));
        }

        #[test]
        fn stratified_batches_hold_every_group_in_proportion(
            codes in prop::collection::vec(prop_oneof![6 => Just(0u32), 2 => Just(1), 1 => Just(2)], 1..400),
            batch in 8usize..64,
            seed: u64,
        ) {
            let g = groups(&codes);
            let b = stratified_batches(&g, batch, &mut rng(seed));
            prop_assert!(is_epoch(&b, codes.len()));
            let count = codes.len().div_ceil(batch);
            for group in g.groups.iter().filter(|_| b.len() == count) {
                let share = group.rows.len() as f64 / count as f64;
                for batch in &b {
                    let held = batch.iter().filter(|r| group.rows.contains(r)).count() as f64;
                    prop_assert!(held >= share.floor() && held <= share.ceil(), "{} of {}", held, share);
                }
            }
        }
    }
}
