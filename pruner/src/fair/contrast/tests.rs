//! Properties of the bounds, and a simulation of their level.

use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bounds of the excess drop under accuracy: the first `n_g` rows are the group.
fn psi(n_g: usize, values: &[f64], clusters: Option<&[u32]>, alpha: f64) -> Contrast {
    let rest = (values.len() - n_g) as f64 / values.len() as f64;
    let rows: Vec<usize> = (0..values.len()).collect();
    let stratum = |weight, rows: &[usize], side| Stratum { weight, tally: Tally::of(rows, values, clusters), side };
    contrast(&[stratum(rest, &rows[..n_g], 0), stratum(-rest, &rows[n_g..], 1)], true, alpha)
}

#[test]
fn one_stratum_of_hits_has_the_exact_limits() {
    let values: Vec<f64> = (0..263).map(|i| f64::from(u8::from(i < 81))).collect();
    let rows: Vec<usize> = (0..263).collect();
    let s = [Stratum { weight: 1.0, tally: Tally::of(&rows, &values, None), side: 0 }];
    let c = contrast(&s, false, 0.025);
    assert!((c.lower() - 0.2527).abs() < 1e-4 && (c.upper() - 0.3676).abs() < 1e-4);
}

#[test]
fn clusters_of_equal_size_give_the_sandwich_with_student_t() {
    // Two groups of three clusters with four rows each; by hand: means per cluster in g are 1/4, 2/4, 3/4.
    let values: Vec<f64> = [1, 2, 3, 0, 0, 0].iter().flat_map(|k| (0..4).map(move |i| f64::from(i < *k))).collect();
    let clusters: Vec<u32> = (0..24).map(|i| i / 4).collect();
    let c = psi(12, &values, Some(&clusters), 0.05);
    let se = 0.5 * (0.0625_f64 / 3.0).sqrt(); // weight · √(s²/C)
    assert!((c.se - se).abs() < 1e-9 && c.up.min(c.down) >= se * t_quantile(0.95, 2.0), "{c:?} {se}");
    assert_eq!(c.clusters, Some([3, 3]));
}

#[test]
fn one_cluster_bounds_nothing_and_no_strata_are_exactly_zero() {
    let values = vec![0.0; 20];
    let c = psi(10, &values, Some(&[0; 20]), 0.05);
    assert_eq!((c.up, c.down, c.growth(0.1, true)), (f64::INFINITY, f64::INFINITY, None));
    let none = contrast(&[], true, 0.05);
    assert_eq!((none.lower(), none.upper()), (0.0, 0.0));
}

#[test]
fn no_bound_lies_beyond_the_least_estimate_there_can_be() {
    // The group's row was harmed as much as can be, all others helped: -3/4 · 2 is the least there is.
    let c = psi(1, &[-1.0, 1.0, 1.0, 1.0], None, 0.001);
    assert_eq!((c.value, c.lower()), (-1.5, -1.5));
    assert!(c.up > 0.1);
}

/// Two clusters a side give a wide t interval; no drop is beyond all of a group's rows.
#[test]
fn bounds_end_where_values_do() {
    let values: Vec<f64> = (0..80).map(|i| f64::from(u8::from(i < 20))).collect();
    let clusters: Vec<u32> = (0..80).map(|i| i / 20).collect();
    let c = psi(40, &values, Some(&clusters), 0.001);
    // Weights of 1/2 and -1/2 on means from -1 to 1.
    assert_eq!((c.lower(), c.upper()), (-1.0, 1.0));
}

#[test]
fn growth_is_enough() {
    // 40 rows with 4 flips, repeated k times: the bound at k = factor meets the slack that was asked for.
    let at = |k: usize, clustered: bool| {
        let values: Vec<f64> = (0..80 * k).map(|i| f64::from(u8::from(i < 40 * k && i % 10 == 0))).collect();
        let clusters: Vec<u32> = (0..80 * k as u32).map(|i| i / 10).collect();
        psi(40 * k, &values, clustered.then_some(&clusters[..]), 0.05)
    };
    for clustered in [false, true] {
        let now = at(1, clustered);
        assert!(now.up > 0.02);
        let factor = now.growth(0.02, true).unwrap().factor;
        let (few, enough) = (at(factor as usize / 2, clustered), at(factor.ceil() as usize, clustered));
        assert!(few.up > 0.02 && enough.up < 0.021, "{factor} {} {}", few.up, enough.up);
        assert_eq!(now.growth(-0.01, true), None);
    }
}

proptest! {
    #[test]
    fn bounds_enclose_widen_and_mirror(
        values in prop::collection::vec(-1i8..=1, 4..200), cut in 0.1f64..0.9, alpha in 0.001f64..0.2, groups in 1u32..12,
    ) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let n_g = ((values.len() as f64 * cut) as usize).clamp(1, values.len() - 1);
        let clusters: Vec<u32> = (0..values.len() as u32).map(|i| i % groups).collect();
        let c = psi(n_g, &values, None, alpha);
        // Nothing lies beyond the largest estimate that can be, or under the smallest; everywhere else a bound has width.
        let at_end = |of_group: f64| {
            let (group, others) = values.split_at(n_g);
            group.iter().all(|v| *v == of_group) && others.iter().all(|v| *v == -of_group)
        };
        prop_assert!(c.up > 0.0 || at_end(1.0));
        prop_assert!(c.down > 0.0 || at_end(-1.0));
        // Mirrored values mirror the bounds; smaller alpha and clusters widen them.
        let mirrored: Vec<f64> = values.iter().map(|v| -v).collect();
        let m = psi(n_g, &mirrored, None, alpha);
        prop_assert!((m.upper() + c.lower()).abs() < 1e-7 && (m.lower() + c.upper()).abs() < 1e-7);
        prop_assert!(psi(n_g, &values, None, alpha / 2.0).up >= c.up - 1e-9);
        let k = psi(n_g, &values, Some(&clusters), alpha);
        prop_assert!(k.up >= c.up && k.down >= c.down && k.value == c.value);
        let most = 2.0 * (1.0 - n_g as f64 / values.len() as f64) + 1e-9;
        prop_assert!(c.upper() <= most && c.lower() >= -most && (k.up.is_infinite() || k.upper() <= most));
    }
}

/// One setting of the simulation: the group's excess drop is exactly `limit`.
struct Setting {
    name: &'static str,
    /// Rows of the group and of the others, per cluster when clustered.
    rows: (usize, usize),
    /// Clusters of the group and of the others; `None` for independent rows.
    clusters: Option<(usize, usize)>,
    /// Probability that a row of the others flips to wrong, and that any row flips to right.
    harm: f64,
    help: f64,
    limit: f64,
    /// Intra-cluster correlation of flips (of a Beta distributed flip rate per cluster).
    icc: f64,
    alpha: f64,
}

/// Rate of a cluster with the given mean and variance `icc · mean · (1 - mean)`: most clusters a little under the
/// mean, a quarter of them far over it, as subjects are whom a model suits badly.
fn cluster_rate(rng: &mut ChaCha8Rng, mean: f64, icc: f64) -> f64 {
    let q = 0.25_f64;
    let sd = (icc * mean * (1.0 - mean)).sqrt();
    let (up, down) = (sd * ((1.0 - q) / q).sqrt(), sd * (q / (1.0 - q)).sqrt());
    if rng.random::<f64>() < q { mean + up } else { mean - down }.clamp(0.0, 1.0)
}

/// Share of draws whose upper bound is at or under the true value.
fn miss_rate(s: &Setting, draws: usize, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (c_g, c_o) = s.clusters.unwrap_or((1, 1));
    let (n_g, n_o) = (s.rows.0 * c_g, s.rows.1 * c_o);
    let extra = s.limit * (n_g + n_o) as f64 / n_o as f64;
    let mut values = vec![0.0; n_g + n_o];
    let mut clusters = vec![0u32; n_g + n_o];
    let mut misses = 0;
    for _ in 0..draws {
        let mut at = 0;
        for cluster in 0..c_g + c_o {
            let (rows, mean) = if cluster < c_g { (s.rows.0, s.harm + extra) } else { (s.rows.1, s.harm) };
            let rate = if s.icc > 0.0 { cluster_rate(&mut rng, mean, s.icc) } else { mean };
            for _ in 0..rows {
                let u = rng.random::<f64>();
                values[at] = if u < rate {
                    1.0
                } else if u < rate + s.help {
                    -1.0
                } else {
                    0.0
                };
                clusters[at] = cluster as u32;
                at += 1;
            }
        }
        let c = psi(n_g, &values, s.clusters.map(|_| &clusters[..]), s.alpha);
        misses += usize::from(c.upper() <= s.limit);
    }
    misses as f64 / draws as f64
}

#[test]
fn bounds_keep_their_level_in_simulation() {
    const DRAWS: usize = 1000;
    let plain = |name, rows, harm, help, limit, alpha| Setting {
        name,
        rows,
        clusters: None,
        harm,
        help,
        limit,
        icc: 0.0,
        alpha,
    };
    let grouped = |name, rows, clusters, icc, alpha| Setting {
        name,
        rows,
        clusters: Some(clusters),
        harm: 0.05,
        help: 0.03,
        limit: 0.03,
        icc,
        alpha,
    };
    let settings = [
        plain("equal groups", (500, 500), 0.05, 0.04, 0.02, 0.05),
        plain("equal groups, strict level", (500, 500), 0.05, 0.04, 0.02, 0.005),
        plain("small group", (60, 2000), 0.05, 0.04, 0.05, 0.05),
        plain("large group", (2000, 60), 0.05, 0.04, 0.02, 0.05),
        plain("few flips, all harmful", (150, 1500), 0.002, 0.0, 0.03, 0.05),
        plain("few flips, strict level", (150, 1500), 0.002, 0.0, 0.03, 0.005),
        plain("tiny group", (25, 500), 0.02, 0.02, 0.1, 0.05),
        grouped("2 + 6 subjects", (80, 80), (2, 6), 0.05, 0.05),
        grouped("5 + 20 subjects", (80, 80), (5, 20), 0.05, 0.05),
        grouped("5 + 20 subjects, strict level", (80, 80), (5, 20), 0.05, 0.005),
        grouped("12 + 12 subjects", (60, 60), (12, 12), 0.1, 0.05),
        grouped("40 + 40 subjects", (30, 30), (40, 40), 0.1, 0.05),
        grouped("subjects without an effect", (60, 60), (8, 16), 0.0, 0.05),
        grouped("unequal subjects", (30, 150), (6, 12), 0.1, 0.05),
    ];
    let mut bad = vec![];
    for (i, s) in settings.iter().enumerate() {
        let rate = miss_rate(s, DRAWS, 7 + i as u64);
        let slack = 3.0 * (s.alpha * (1.0 - s.alpha) / DRAWS as f64).sqrt();
        println!("{:32} level {:5.1} %: missed {:4.1} %", s.name, 100.0 * s.alpha, 100.0 * rate);
        if rate > s.alpha + slack {
            bad.push(format!("{}: {rate} > {}", s.name, s.alpha));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}
