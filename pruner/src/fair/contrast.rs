//! Bounds on a contrast: a weighted sum of stratum means of values in {-1, 0, 1}.
//!
//! The metric of a set of rows is a mean of hits, so every quantity of the verdict is such a sum. A group's metric
//! has one stratum per cell; the excess drop of group `g`, with `d_i = hit_dense,i - hit_int8,i`, is
//! `psi_g = Σ_i (w^g_i - w^all_i) d_i`, whose weights are constant inside the strata (in `g` or not) × (cell); a gap
//! has the cells of two groups.
//!
//! **Independent rows.** In a stratum, `d` is multinomial with `P(d = 1) = p⁺` and `P(d = -1) = p⁻`. The limits of
//! `p⁺` and `p⁻` are exact (Clopper & Pearson), and MOVER, the method of variance estimates recovery (Newcombe 1998;
//! Zou & Donner 2008), puts them together, first to `p⁺ - p⁻` with the pair's correlation, then over the strata:
//! `U = est + √Σ (distance to the limit)²`. Few flips are skewed, and a Wald bound is too short on exactly the side
//! where a PASS is won, even with one added to both discordant cells (Bonett & Price 2012); these limits keep the
//! skewness, need no normality, and are never of zero width.
//!
//! **Clustered rows.** Each stratum's exact limits are taken at its effective number of rows
//! `n* = n / deff · (z / t)²` (Korn & Graubard 1998), with the design effect `deff` from the delete-one-cluster
//! jackknife variance (CV3; Cameron & Miller 2015; MacKinnon, Nielsen & Webb 2023) and Student's t of `C - 1` degrees
//! of freedom for the stratum's `C` clusters. So few clusters widen a bound, and on its long side more. Few clusters
//! may look alike by luck, so `deff` is never smaller than the intra-cluster correlation of all strata implies
//! (Kish 1965: `1 + (m - 1) ρ`, `m` the size of a cluster). A group's floor has only the group's own strata, so there the
//! caller gives the correlation that all groups show together: from the group's 20 clusters alone, a lucky draw has few
//! misses and a small spread at once, and bounds at strict levels missed more than twice as often as they may. A half-width
//! is never smaller than `t · SE` of the whole contrast by the same jackknife (clusters may lie in several strata), nor
//! than that of independent rows. A stratum with one cluster bounds nothing.

use super::stats::{exact_lower, exact_upper, normal_quantile, t_quantile};

mod tally;

pub use tally::Tally;

/// Rows that weigh the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Stratum {
    /// Weight of the stratum's mean.
    pub weight: f64,
    /// What its rows hold.
    pub tally: Tally,
    /// 0 for the group in question, 1 for the rows that it is compared with.
    pub side: usize,
}

/// An estimate and how far its one-sided bounds lie from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// The estimate.
    pub value: f64,
    /// Distance to the upper bound; infinite when there is none.
    pub up: f64,
    /// Distance to the lower bound; infinite when there is none.
    pub down: f64,
    /// Clusters per side, when rows are clustered.
    pub clusters: Option<[usize; 2]>,
    /// Data of each stratum, to tell how the bounds would be with more of it.
    parts: Vec<Part>,
    /// Jackknife standard error of the whole contrast; 0 when rows are independent.
    se: f64,
    alpha: f64,
    /// What wrong group labels add to `up` and `down`, however much data there is.
    noise: [f64; 2],
}

/// What one stratum contributes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    weight: f64,
    rows: f64,
    /// Shares of rows with value 1 and -1.
    pos: f64,
    neg: f64,
    /// Whether a row can have value -1.
    signed: bool,
    /// Design effect: variance with clusters over variance without.
    deff: f64,
    /// Size of the cluster that a row is in, on average.
    size: f64,
    /// Clusters; `None` when rows are independent.
    clusters: Option<usize>,
}

/// How much more data a bound needs, as multiples of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Factor on rows and clusters, at least 1.
    pub factor: f64,
}

impl Contrast {
    /// Upper bound, or infinity.
    pub fn upper(&self) -> f64 {
        self.value + self.up
    }

    /// Lower bound, or minus infinity.
    pub fn lower(&self) -> f64 {
        self.value - self.down
    }

    /// The same with bounds that lie this much further up and down, as wrong group labels can move the estimate.
    #[must_use]
    pub fn widened(self, noise: [f64; 2]) -> Contrast {
        Contrast { up: self.up + noise[0], down: self.down + noise[1], noise, ..self }
    }

    /// Whether wrong group labels alone may move the value by `slack`, however much data there is.
    pub fn is_hidden(&self, slack: f64, upward: bool) -> bool {
        self.noise[usize::from(!upward)] >= slack
    }

    /// How much data of the same kind brings the upper (`upward`) or lower bound within `slack` of the estimate;
    /// `None` when the estimate is on the wrong side or the clusters bound nothing.
    pub fn growth(&self, slack: f64, upward: bool) -> Option<Growth> {
        let now = if upward { self.up } else { self.down };
        let slack = slack - self.noise[usize::from(!upward)];
        if slack <= 0.0 || !slack.is_finite() || !now.is_finite() {
            return None;
        }
        let enough = |factor: f64| {
            let (up, down) = half_widths(&self.parts, self.se, self.alpha, factor);
            (if upward { up } else { down }) <= slack
        };
        let (mut lo, mut hi) = (1.0_f64, 1.0_f64);
        while !enough(hi) {
            (lo, hi) = (hi, hi * 2.0);
            if hi > 1e5 {
                return None;
            }
        }
        while hi / lo > 1.01 {
            let mid = (lo * hi).sqrt();
            if enough(mid) { hi = mid } else { lo = mid }
        }
        Some(Growth { factor: hi })
    }
}

/// The contrast over `strata`, with one-sided bounds at level `1 - alpha` each; `signed` where a row can have value -1
/// (a difference of two models' hits). Rows are independent unless the tallies know clusters. Strata without weight or
/// rows are left out; a contrast without strata is exactly 0.
pub fn contrast(strata: &[Stratum], signed: bool, alpha: f64) -> Contrast {
    contrast_correlated(strata, signed, alpha, 0.0)
}

/// The contrast when two rows of a cluster are known to correlate at least so much, from more clusters than these.
pub fn contrast_correlated(strata: &[Stratum], signed: bool, alpha: f64, at_least: f64) -> Contrast {
    let strata: Vec<&Stratum> = strata.iter().filter(|s| s.weight.abs() > 1e-12 && s.tally.rows > 0.0).collect();
    let mut shifts = Vec::<(u32, f64)>::new();
    let mut parts: Vec<Part> = strata.iter().map(|s| part(s, signed, &mut shifts)).collect();
    pool(&mut parts, at_least);
    // A cluster may lie in several strata; stable, so that sums do not depend on how a sort works.
    shifts.sort_by_key(|s| s.0);
    let of_cluster = shifts.chunk_by(|a, b| a.0 == b.0).map(|c| c.iter().map(|s| s.1).sum::<f64>());
    let se = of_cluster.map(|u| u * u).sum::<f64>().sqrt();
    let (up, down) = half_widths(&parts, se, alpha, 1.0);
    let value = parts.iter().map(|p| p.weight * (p.pos - p.neg)).sum::<f64>();
    // Few clusters take a bound beyond what can be; no bound at all stays none.
    let [least, most] = ends(&parts);
    let within = |width: f64, room: f64| if width.is_finite() { width.min(room.max(0.0)) } else { width };
    let (up, down) = (within(up, most - value), within(down, value - least));
    let clustered = strata.iter().any(|s| s.tally.clusters.is_some());
    Contrast {
        value,
        up,
        down,
        clusters: clustered.then(|| [0, 1].map(|side| count_clusters(&strata, side))),
        parts,
        se,
        alpha,
        noise: [0.0; 2],
    }
}

/// The smallest and the largest value that there can be.
fn ends(parts: &[Part]) -> [f64; 2] {
    parts.iter().fold([0.0; 2], |[least, most], p| {
        let lowest = if p.signed { -1.0 } else { 0.0 };
        let (a, b) = (p.weight * lowest, p.weight);
        [least + a.min(b), most + a.max(b)]
    })
}

/// Shares of a stratum; notes what leaving out each cluster shifts the contrast by.
fn part(s: &Stratum, signed: bool, shifts: &mut Vec<(u32, f64)>) -> Part {
    let n = s.tally.rows;
    let (pos, neg) = (s.tally.pos / n, s.tally.neg / n);
    let mean = pos - neg;
    let mut out = Part { weight: s.weight, rows: n, pos, neg, signed, deff: 1.0, size: 1.0, clusters: None };
    let Some(clusters) = &s.tally.clusters else { return out };
    out.clusters = Some(clusters.len());
    if clusters.len() < 2 {
        return out;
    }
    out.size = clusters.iter().map(|c| c.rows * c.rows).sum::<f64>() / n;
    let correction = (1.0 - 1.0 / clusters.len() as f64).sqrt();
    let mut robust = 0.0;
    for c in clusters {
        let shift = (c.sum - c.rows * mean) / (n - c.rows) * correction;
        robust += shift * shift;
        shifts.push((c.code, s.weight * shift));
    }
    let independent = (pos + neg - mean * mean) / n;
    if independent > 0.0 {
        out.deff = robust / independent;
    }
    out
}

/// Correlation of two rows of a cluster, from all strata together; 0 when rows are independent.
pub fn pooled_correlation(strata: &[Stratum], signed: bool) -> f64 {
    let strata = strata.iter().filter(|s| s.tally.rows > 0.0);
    correlation(&strata.map(|s| part(s, signed, &mut vec![])).collect::<Vec<_>>())
}

/// The strata's correlations, weighed with their numbers of clusters.
fn correlation(parts: &[Part]) -> f64 {
    let (mut correlation, mut weight) = (0.0, 0.0);
    for p in parts.iter().filter(|p| p.size > 1.0) {
        let w = p.clusters.map_or(0, |c| c - 1) as f64;
        correlation += w * (p.deff - 1.0) / (p.size - 1.0);
        weight += w;
    }
    let mean: f64 = if weight > 0.0 { correlation / weight } else { 0.0 };
    mean.clamp(0.0, 1.0)
}

/// Raises each design effect to what the intra-cluster correlation of all strata together implies, or `at_least`.
fn pool(parts: &mut [Part], at_least: f64) {
    let correlation = correlation(parts).max(at_least);
    for p in parts {
        p.deff = p.deff.max(1.0 + (p.size - 1.0) * correlation).max(1.0);
    }
}

/// Distances to the upper and the lower bound if there were `factor` times the rows and clusters.
fn half_widths(parts: &[Part], se: f64, alpha: f64, factor: f64) -> (f64, f64) {
    let (z, mut up2, mut down2, mut df) = (normal_quantile(1.0 - alpha), 0.0, 0.0, f64::INFINITY);
    for p in parts {
        let rows = p.rows * factor;
        let mut limits = limits(p, rows, alpha);
        if let Some(c) = p.clusters {
            if c < 2 {
                return (f64::INFINITY, f64::INFINITY);
            }
            let own = c as f64 * factor - 1.0;
            df = df.min(own);
            let effective = limits_at(p, rows, z, own, alpha);
            limits = (limits.0.max(effective.0), limits.1.max(effective.1));
        }
        let (up, down) = if p.weight > 0.0 { limits } else { (limits.1, limits.0) };
        up2 += (p.weight * up).powi(2);
        down2 += (p.weight * down).powi(2);
    }
    let robust = if se > 0.0 { se / factor.sqrt() * t_quantile(1.0 - alpha, df) } else { 0.0 };
    (up2.sqrt().max(robust), down2.sqrt().max(robust))
}

/// Limits at the effective number of rows of a clustered stratum.
fn limits_at(p: &Part, rows: f64, z: f64, df: f64, alpha: f64) -> (f64, f64) {
    let effective = rows / p.deff * (z / t_quantile(1.0 - alpha, df)).powi(2);
    limits(p, effective.min(rows), alpha)
}

/// Distances from a stratum's mean to its upper and lower limit with `n` independent rows.
fn limits(p: &Part, n: f64, alpha: f64) -> (f64, f64) {
    let side = |share: f64| {
        let hits = share * n;
        ((exact_upper(hits, n, alpha) - share).max(0.0), (share - exact_lower(hits, n, alpha)).max(0.0))
    };
    let (pos_up, pos_down) = side(p.pos);
    if !p.signed {
        return (pos_up, pos_down);
    }
    let (neg_up, neg_down) = side(p.neg);
    // The two shares exclude each other: their correlation is negative, so their difference varies more.
    let both = p.pos * p.neg;
    let r = if both > 0.0 { (both / ((1.0 - p.pos) * (1.0 - p.neg))).sqrt() } else { 0.0 };
    let join = |a: f64, b: f64| (a * a + b * b + 2.0 * r * a * b).sqrt();
    (join(pos_up, neg_down), join(pos_down, neg_up))
}

fn count_clusters(strata: &[&Stratum], side: usize) -> usize {
    let of_side = strata.iter().filter(|s| s.side == side).flat_map(|s| s.tally.clusters.iter().flatten());
    let mut codes: Vec<u32> = of_side.map(|c| c.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.len()
}

#[cfg(test)]
mod tests;
