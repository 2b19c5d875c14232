//! Draws of verdict data from a [`World`].

use super::world::{Class, World};
use crate::fair::evaluate::Entry;
use crate::fair::metrics::Predictions;
use rand::Rng;
use rand_distr::{Binomial, Distribution, Gamma, Uniform};

/// How the people of a verdict are sampled.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampling {
    /// So many rows of the whole population: the sizes of groups are random, too.
    Independent {
        /// Rows of all groups together.
        rows: usize,
    },
    /// So many clusters of each group.
    Clustered {
        /// Clusters per group. The groups' shares of the population are these over their sum.
        clusters: Vec<usize>,
        /// Fewest and most rows of a cluster; all sizes between are as likely.
        size: (usize, usize),
    },
}

/// Drawn rows, group by group.
pub(in crate::fair) struct Drawn {
    /// Class per row.
    pub y: Vec<usize>,
    /// What the models say.
    pub predictions: Predictions,
    /// Cluster per row, where rows are clustered.
    pub clusters: Option<Vec<u32>>,
    /// The one entry of the contract: group `k` is called `g=k`.
    pub entry: Entry,
}

/// Draws the data of one verdict.
pub(in crate::fair) fn draw(world: &World, sampling: &Sampling, rng: &mut impl Rng) -> Drawn {
    let mut out = Drawn {
        y: vec![],
        predictions: Predictions { dense: vec![], pruned: vec![], int8: vec![] },
        clusters: None,
        entry: Entry { name: "g".to_owned(), groups: vec![] },
    };
    let mut codes = vec![];
    let shares: Vec<f64> = world.groups.iter().map(|g| g.share).collect();
    let sizes = match sampling {
        Sampling::Independent { rows } => multinomial(*rows, &shares, rng),
        Sampling::Clustered { .. } => vec![],
    };
    let mut code = 0;
    for (g, group) in world.groups.iter().enumerate() {
        let start = out.y.len();
        match sampling {
            Sampling::Independent { .. } => {
                for (class, n) in multinomial(sizes[g], &mixes(&group.classes), rng).into_iter().enumerate() {
                    out.push(class, group.classes.len(), n, rates(&group.classes[class]), rng);
                }
            }
            Sampling::Clustered { clusters, size } => {
                for _ in 0..clusters[g] {
                    let n = between(*size, rng);
                    let mut own = (None, [0.0; 4]);
                    for (class, n) in multinomial(n, &mixes(&group.classes), rng).into_iter().enumerate() {
                        // People whom a model suits badly are suited badly in all classes.
                        let mean = rates(&group.classes[class]);
                        if own.0 != Some(mean) {
                            own = (Some(mean), dirichlet(mean, world.icc, rng));
                        }
                        out.push(class, group.classes.len(), n, own.1, rng);
                    }
                    codes.resize(out.y.len(), code);
                    code += 1;
                }
            }
        }
        let rows = (start..out.y.len()).collect();
        out.entry.groups.push(crate::data::groups::Group { name: format!("g={g}"), rows });
    }
    out.predictions.pruned.clone_from(&out.predictions.int8);
    out.clusters = matches!(sampling, Sampling::Clustered { .. }).then_some(codes);
    out
}

impl Drawn {
    /// Adds `n` rows of a class. Rates: both right, harmful flip, helpful flip, both wrong.
    fn push(&mut self, class: usize, classes: usize, n: usize, rates: [f64; 4], rng: &mut impl Rng) {
        let wrong = (class + 1) % classes.max(2);
        let counts = multinomial(n, &rates, rng);
        for (count, (dense, int8)) in
            counts.into_iter().zip([(true, true), (true, false), (false, true), (false, false)])
        {
            let said = |right: bool| std::iter::repeat_n(if right { class } else { wrong }, count);
            self.predictions.dense.extend(said(dense));
            self.predictions.int8.extend(said(int8));
            self.y.extend(said(true));
        }
    }
}

fn mixes(classes: &[Class]) -> Vec<f64> {
    classes.iter().map(|c| c.mix).collect()
}

fn rates(c: &Class) -> [f64; 4] {
    [c.both, c.harm, c.help, (1.0 - c.both - c.harm - c.help).max(0.0)]
}

fn between(size: (usize, usize), rng: &mut impl Rng) -> usize {
    Uniform::new_inclusive(size.0, size.1.max(size.0)).map_or(size.0, |d| d.sample(rng))
}

/// `n` rows over outcomes with these probabilities.
fn multinomial(n: usize, shares: &[f64], rng: &mut impl Rng) -> Vec<usize> {
    let (mut left, mut mass) = (n, shares.iter().sum::<f64>());
    let mut out = Vec::with_capacity(shares.len());
    for (i, &share) in shares.iter().enumerate() {
        let p = if mass > 0.0 { (share / mass).clamp(0.0, 1.0) } else { 0.0 };
        let last = i + 1 == shares.len();
        let count = if last { left } else { Binomial::new(left as u64, p).map_or(0, |d| d.sample(rng) as usize) };
        out.push(count);
        left -= count;
        mass -= share;
    }
    out
}

/// A cluster's own rates: Dirichlet with these means and the precision that makes two of its rows correlate with `icc`.
fn dirichlet(mean: [f64; 4], icc: f64, rng: &mut impl Rng) -> [f64; 4] {
    if icc <= 0.0 {
        return mean;
    }
    let precision = (1.0 - icc) / icc;
    let drawn = mean.map(|m| Gamma::new(m * precision, 1.0).map_or(0.0, |d| d.sample(rng)));
    let sum: f64 = drawn.iter().sum();
    if sum > 0.0 { drawn.map(|v| v / sum) } else { mean }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Metric;
    use crate::fair::simulate::world::Group;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn world(icc: f64) -> World {
        let class = |mix| Class { mix, both: 0.8, harm: 0.06, help: 0.04 };
        let group = |share| Group { share, classes: vec![class(0.3), class(0.7)] };
        World { metric: Metric::Accuracy, groups: vec![group(0.2), group(0.8)], icc }
    }

    #[test]
    fn many_rows_have_the_rates_of_the_world() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let d = draw(&world(0.0), &Sampling::Independent { rows: 400_000 }, &mut rng);
        let n = d.y.len() as f64;
        let share = |f: &dyn Fn(usize) -> bool| (0..d.y.len()).filter(|&i| f(i)).count() as f64 / n;
        let p = &d.predictions;
        assert!((share(&|i| p.dense[i] == d.y[i] && p.int8[i] != d.y[i]) - 0.06).abs() < 0.002);
        assert!((share(&|i| p.dense[i] != d.y[i] && p.int8[i] == d.y[i]) - 0.04).abs() < 0.002);
        assert!((share(&|i| p.dense[i] == d.y[i]) - 0.86).abs() < 0.003);
        assert!((share(&|i| d.y[i] == 0) - 0.3).abs() < 0.003);
        assert!((d.entry.groups[0].rows.len() as f64 / n - 0.2).abs() < 0.003);
    }

    #[test]
    fn rows_of_a_cluster_correlate_as_said() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let sampling = Sampling::Clustered { clusters: vec![4000, 4000], size: (20, 20) };
        let d = draw(&world(0.1), &sampling, &mut rng);
        let wrong: Vec<f64> = (0..d.y.len()).map(|i| f64::from(u8::from(d.predictions.int8[i] != d.y[i]))).collect();
        let mean = wrong.iter().sum::<f64>() / wrong.len() as f64;
        let means: Vec<f64> = wrong.chunks(20).map(|c| c.iter().sum::<f64>() / 20.0).collect();
        let between = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / means.len() as f64;
        // Var of a cluster's mean = mean (1 - mean) (1 + 19 icc) / 20.
        let icc = (between / (mean * (1.0 - mean)) * 20.0 - 1.0) / 19.0;
        assert!((icc - 0.1).abs() < 0.01 && (mean - 0.16).abs() < 0.01, "{icc} {mean}");
        assert_eq!(d.clusters.map(|c| c.last().copied()), Some(Some(7999)));
    }
}
