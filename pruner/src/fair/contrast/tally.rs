//! Counts of values in rows that weigh the same: all that a bound needs to know of them.

/// Rows with values in {-1, 0, 1}.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Number of rows.
    pub rows: f64,
    /// Rows with value 1.
    pub pos: f64,
    /// Rows with value -1.
    pub neg: f64,
    /// Clusters by ascending code; `None` when rows are independent.
    pub clusters: Option<Vec<Cluster>>,
}

/// One cluster's rows in a tally.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// Its code.
    pub code: u32,
    /// Its rows here, at least one.
    pub rows: f64,
    /// Sum of their values.
    pub sum: f64,
}

impl Tally {
    /// Counts `values` (per row of the split) over the rows `rows`; `clusters` is per row of the split, too.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn of(rows: &[usize], values: &[f64], clusters: Option<&[u32]>) -> Self {
        let count = |sign: f64| rows.iter().filter(|&&i| values[i] == sign).count() as f64;
        let clusters = clusters.map(|codes| {
            let mut found = Vec::<Cluster>::new();
            for &i in rows {
                // Rows of a cluster mostly lie together.
                match found.last_mut().filter(|c| c.code == codes[i]) {
                    Some(c) => (c.rows, c.sum) = (c.rows + 1.0, c.sum + values[i]),
                    None => found.push(Cluster { code: codes[i], rows: 1.0, sum: values[i] }),
                }
            }
            merge(found)
        });
        Tally { rows: rows.len() as f64, pos: count(1.0), neg: count(-1.0), clusters }
    }

    /// What is left without the rows of `part`, which must be among these.
    pub fn without(&self, part: &Tally) -> Self {
        let clusters = self.clusters.as_ref().map(|all| {
            let gone = part.clusters.iter().flatten().map(|c| Cluster { rows: -c.rows, sum: -c.sum, ..*c });
            merge(all.iter().copied().chain(gone).collect())
        });
        Tally { rows: self.rows - part.rows, pos: self.pos - part.pos, neg: self.neg - part.neg, clusters }
    }
}

/// One entry for each code; those without rows go.
fn merge(mut clusters: Vec<Cluster>) -> Vec<Cluster> {
    clusters.sort_by_key(|c| c.code);
    let sum = |c: &[Cluster]| Cluster {
        code: c[0].code,
        rows: c.iter().map(|c| c.rows).sum(),
        sum: c.iter().map(|c| c.sum).sum(),
    };
    clusters.chunk_by(|a, b| a.code == b.code).map(sum).filter(|c| c.rows > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_whole_without_a_part_is_the_rest(rows in prop::collection::vec((-1i8..=1, 0u32..5, any::<bool>()), 1..80)) {
            let values: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let codes: Vec<u32> = rows.iter().map(|r| r.1).collect();
            let (part, rest): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|&i| rows[i].2);
            let all: Vec<usize> = (0..rows.len()).collect();
            for clusters in [None, Some(&codes[..])] {
                let of = |rows: &[usize]| Tally::of(rows, &values, clusters);
                prop_assert_eq!(of(&all).without(&of(&part)), of(&rest));
            }
        }
    }
}
