//! Labelled data with groups of people: loading, splits, groups, batches.
//!
//! The verdict split is a type of its own. [`load`] hands out train and selection rows as [`Rows`] and the
//! test rows as a [`VerdictSplit`], which only the verdict can open, and only by consuming it.

use crate::certify;
use crate::contract::Fairness;
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::Path;

mod archive;
pub mod batch;
pub mod groups;
mod npy;
mod npz;
pub mod synth;
#[cfg(test)]
mod tests;

pub use batch::Normaliser;
pub use groups::{GroupSet, check_cluster, cluster_codes, parse_groups};
pub use npz::{Parts, Values, array_from_bytes, load_array, load_bytes, save, to_bytes};

/// A column of the data set: a value per row, as a code into its distinct values.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Distinct values, sorted (integers by number).
    pub values: Vec<String>,
    /// Per row, the index of its value.
    pub codes: Vec<u32>,
}

impl Column {
    /// The column of the rows `indices`, with the same values.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn subset(&self, indices: &[usize]) -> Column {
        Column { values: self.values.clone(), codes: indices.iter().map(|&i| self.codes[i]).collect() }
    }
}

/// Rows of one split, held apart from all other splits.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Dimensions of one sample, as in the file (without the row axis): `[C, L]`, `[C, H, W]` or `[F]`.
    pub sample: Vec<usize>,
    /// `rows × sample`, as in the file, before the network's input normalisation.
    pub x: Vec<f32>,
    /// Class index per row.
    pub y: Vec<usize>,
    /// Number of classes of the whole data set.
    pub classes: usize,
    /// Every other column by name. Values are those of the whole data set, so codes agree between splits.
    pub columns: BTreeMap<String, Column>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }

    /// Elements of one sample.
    pub fn width(&self) -> usize {
        self.sample.iter().product()
    }

    /// The sample of one row.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.x[i * self.width()..(i + 1) * self.width()]
    }

    /// The rows `indices`, in that order and as often as they are named.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn subset(&self, indices: &[usize]) -> Rows {
        let mut x = Vec::with_capacity(indices.len() * self.width());
        for &i in indices {
            x.extend_from_slice(self.row(i));
        }
        Rows {
            sample: self.sample.clone(),
            x,
            y: indices.iter().map(|&i| self.y[i]).collect(),
            classes: self.classes,
            columns: self.columns.iter().map(|(name, c)| (name.clone(), c.subset(indices))).collect(),
        }
    }

    /// Number of rows of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &y in &self.y {
            counts[y] += 1;
        }
        counts
    }
}

/// The rows that a verdict is made on. Nothing can read their labels but [`crate::fair`], which consumes them.
#[derive(Debug)]
pub struct VerdictSplit(Rows);

impl VerdictSplit {
    /// Opens the split for the one verdict.
    pub(crate) fn open(self) -> Rows {
        self.0
    }

    /// The rows of a certificate that was made already, told by their fingerprint: for streams that show how a monitor
    /// does where the field is what was certified. `None` for other rows.
    pub fn certified(self, hash: [u32; 2], fairness: &Fairness) -> Option<Rows> {
        (certify::fingerprint(&self.0, fairness) == hash).then_some(self.0)
    }

    /// The inputs alone, without labels and groups: enough to compare the bytes of two machines on rows that nobody
    /// has trained on, not enough to choose by.
    pub fn unlabelled(self) -> Vec<f32> {
        self.0.x
    }

    /// Number of rows (a count gives nothing away).
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A data set, already split.
#[derive(Debug)]
pub struct Data {
    /// Rows to train and to calibrate on.
    pub train: Rows,
    /// Rows to select on.
    pub select: Rows,
    /// Rows for the verdict.
    pub verdict: VerdictSplit,
}

/// Loads a `.npz` file (compressed or not) with the arrays
///
/// - `x`: numbers, `(N, F)`, `(N, C, L)` or `(N, C, H, W)`, either memory order, without missing values;
/// - `y`: class indices from 0, as integers of any width or floats without a fraction;
/// - `split`: `train`/`val`/`test` per row, or 0/1/2 (`valid`, `validation`, `select` and `verdict` do too);
///
/// and every other array as a column of N texts, integers or booleans. A value that is missing (an empty text, `nan`,
/// see [`groups::is_unknown`]) becomes `unknown`. The column `class`, where the file has none of that name, is `y` itself:
/// classes as groups, where nobody knows the groups of people. A split may have no rows: a file of test
/// rows alone is good for a verdict.
///
/// # Errors
/// Names the file, the array, the shape or type found and the one wanted.
pub fn load(path: &Path) -> Result<Data> {
    npz::load(path)
}
