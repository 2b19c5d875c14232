//! How well the pre-check had predicted: its ranking beside what pruning did to each group.
//!
//! The ranking is of selection rows and the dense model, the outcome of verdict rows and the int8 model. Spearman's
//! rank correlation says how far they agree, and a permutation test whether chance explains it: the share of orders of
//! the groups that agree at least as well (one-sided, all orders up to 8 groups, else a sample of fixed seed). Groups
//! that overlap, as intersections do, are no independent draws, so `p` is then a guide rather than a level.

use super::audit::{Audit, GroupRisk};
use super::metrics::mean;
use super::risk::FACTORS;
use super::verdict::{GroupVerdict, Verdict};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// Groups up to which all orders are looked at (8! = 40320).
const ALL_ORDERS: usize = 8;
/// Orders drawn for more groups.
const DRAWN: usize = 20_000;
/// Under this, chance does not explain an agreement.
const LEVEL: f64 = 0.05;

/// How well the pre-check had predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foresight {
    /// Groups that both the pre-check and the verdict know.
    pub groups: usize,
    /// Of these, groups whose excess drop is over 0 beyond noise: what there was to predict.
    pub harmed: usize,
    /// Against the excess drop.
    pub excess_drop: Agreement,
    /// Against the share of harmful flips.
    pub harmful_flips: Agreement,
    /// In plain words.
    pub words: String,
}

/// How well the ranking, and each factor alone, agree with one outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Of the risk score.
    pub score: Rank,
    /// Of the riskiest groups, how many are among those that fared worst.
    pub top: TopHits,
    /// Of each factor alone, the best first. Looking for the best of many afterwards flatters it.
    pub factors: Vec<FactorRank>,
}

/// A rank correlation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// Spearman's rho, from -1 to 1; `None` for fewer than two groups, or where all are alike.
    pub rho: Option<f64>,
    /// Share of orders that agree at least as well.
    pub p: Option<f64>,
}

/// Of the `of` riskiest groups, `hits` are among the `of` that fared worst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopHits {
    /// Groups looked at: a quarter of all, rounded up.
    pub of: usize,
    /// Found again.
    pub hits: usize,
    /// What chance finds on average.
    pub by_chance: f64,
}

/// One factor alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactorRank {
    /// The factor's name.
    pub factor: String,
    /// Its agreement.
    #[serde(flatten)]
    pub rank: Rank,
}

/// Holds the pre-check against the verdict. Groups are matched by name; those without rows in either are left out.
pub fn foresight(audit: &Audit, verdict: &Verdict) -> Foresight {
    let pairs: Vec<(&GroupRisk, &GroupVerdict)> = audit
        .groups
        .iter()
        .filter_map(|r| Some((r, verdict.groups.iter().find(|g| g.group == r.group && g.excess_drop.value.is_some())?)))
        .collect();
    let of = |outcome: fn(&GroupVerdict) -> Option<f64>| agreement(audit, &pairs, outcome);
    let mut f = Foresight {
        groups: pairs.len(),
        harmed: pairs.iter().filter(|(_, g)| g.excess_drop.lower.is_some_and(|l| l > 0.0)).count(),
        excess_drop: of(|g| g.excess_drop.value),
        harmful_flips: of(|g| g.harmful_flips),
        words: String::new(),
    };
    f.words = words(&f);
    f
}

fn agreement(
    audit: &Audit,
    pairs: &[(&GroupRisk, &GroupVerdict)],
    outcome: fn(&GroupVerdict) -> Option<f64>,
) -> Agreement {
    let outcomes: Vec<f64> = pairs.iter().map(|(_, g)| outcome(g).unwrap_or(0.0)).collect();
    let scores: Vec<f64> = pairs.iter().map(|(r, _)| r.score).collect();
    let mut factors: Vec<FactorRank> = FACTORS
        .iter()
        .filter_map(|f| {
            let risks: Option<Vec<f64>> = pairs.iter().map(|(r, _)| (f.risk)(r, audit.metric)).collect();
            Some(FactorRank { factor: f.name.to_owned(), rank: rank(&risks?, &outcomes) })
        })
        .collect();
    let rho = |f: &FactorRank| f.rank.rho.unwrap_or(f64::NEG_INFINITY);
    factors.sort_by(|a, b| rho(b).total_cmp(&rho(a)));
    Agreement { score: rank(&scores, &outcomes), top: top_hits(&scores, &outcomes), factors }
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let below = |v: f64| values.iter().filter(|w| **w < v).count() as f64;
    let equal = |v: f64| values.iter().filter(|w| **w == v).count() as f64;
    values.iter().map(|&v| below(v) + (equal(v) + 1.0) / 2.0).collect()
}

/// Spearman's rho and its one-sided permutation p.
fn rank(a: &[f64], b: &[f64]) -> Rank {
    let centred = |values: &[f64]| -> Vec<f64> {
        let ranks = ranks(values);
        let centre = mean(ranks.iter().copied()).unwrap_or(0.0);
        ranks.into_iter().map(|r| r - centre).collect()
    };
    let (a, mut b) = (centred(a), centred(b));
    let square = |v: &[f64]| v.iter().map(|r| r * r).sum::<f64>();
    let norms = (square(&a) * square(&b)).sqrt();
    if norms <= 0.0 {
        return Rank::default();
    }
    let product = |b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let seen = product(&b);
    let (mut as_good, mut orders) = (0usize, 0usize);
    let mut look = |b: &[f64]| {
        orders += 1;
        as_good += usize::from(product(b) >= seen - 1e-9);
    };
    if b.len() <= ALL_ORDERS {
        every_order(&mut b, &mut look);
    } else {
        // The order seen is one of them, so that p is never 0 (Phipson & Smyth 2010).
        look(&b);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for _ in 0..DRAWN {
            b.shuffle(&mut rng);
            look(&b);
        }
    }
    Rank { rho: Some(seen / norms), p: Some(as_good as f64 / orders as f64) }
}

/// Heap's algorithm: shows every order of `values` once.
fn every_order(values: &mut [f64], look: &mut impl FnMut(&[f64])) {
    let mut count = vec![0; values.len()];
    look(values);
    let mut i = 1;
    while i < values.len() {
        if count[i] < i {
            values.swap(if i % 2 == 0 { 0 } else { count[i] }, i);
            look(values);
            count[i] += 1;
            i = 1;
        } else {
            count[i] = 0;
            i += 1;
        }
    }
}

fn top_hits(scores: &[f64], outcomes: &[f64]) -> TopHits {
    let of = scores.len().div_ceil(4);
    let top = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        order.truncate(of);
        order
    };
    let (risky, harmed) = (top(scores), top(outcomes));
    let hits = risky.iter().filter(|g| harmed.contains(g)).count();
    TopHits { of, hits, by_chance: if scores.is_empty() { 0.0 } else { (of * of) as f64 / scores.len() as f64 } }
}

fn words(f: &Foresight) -> String {
    let n = f.groups;
    if n < 2 {
        return "Fewer than two groups to compare: nothing can be said of the pre-check.".to_owned();
    }
    let mut out = if n < 4 {
        // 3! orders: the best of them has p = 1/6.
        format!(
            "{n} groups have only {} orders, so chance explains any of them: nothing can be said.",
            if n == 2 { 2 } else { 6 }
        )
    } else {
        match f.excess_drop.score {
            Rank { rho: Some(rho), p: Some(p) } if p <= LEVEL => format!(
                "The pre-check had predicted which groups would lose more than others: rank correlation {rho:+.2} over {n} groups (p = {p:.3})."
            ),
            Rank { rho: Some(rho), .. } if rho < 0.0 => format!(
                "The pre-check had not predicted which groups would lose more than others: rank correlation {rho:+.2} over {n} groups, where 0 is no relation."
            ),
            Rank { rho: Some(rho), p: Some(p) } => format!(
                "No sign that the pre-check had predicted which groups would lose more than others: rank correlation {rho:+.2} over {n} groups, which chance explains (p = {p:.2})."
            ),
            _ => "All groups fared alike, so there was no order to predict.".to_owned(),
        }
    };
    if f.harmed == 0 {
        out.push_str(" No group's excess drop is over 0 beyond noise, so there was little to predict.");
    }
    if n >= 4 {
        if let Rank { rho: Some(rho), p: Some(p) } = f.harmful_flips.score {
            out.push_str(&format!(" Against harmful flips: {rho:+.2} (p = {p:.2})."));
        }
        let TopHits { of, hits, by_chance } = f.excess_drop.top;
        out.push_str(&format!(
            " Of the {of} groups it put on top, {hits} are among the {of} that lost most (chance: {by_chance:.1})."
        ));
        if let Some(FactorRank { factor, rank: Rank { rho: Some(rho), .. } }) = f.excess_drop.factors.first() {
            out.push_str(&format!(
                " The factor that would have predicted best is {factor} ({rho:+.2}), chosen afterwards out of {}.",
                f.excess_drop.factors.len()
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn correlations_by_hand() {
        let r = |a: &[f64], b: &[f64]| rank(a, b);
        assert_eq!(r(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), Rank { rho: Some(1.0), p: Some(1.0 / 6.0) });
        assert_eq!(r(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Rank { rho: Some(-1.0), p: Some(1.0) });
        assert_eq!(r(&[1.0, 2.0], &[5.0, 5.0]), Rank::default());
        assert_eq!(r(&[], &[]), Rank::default());
        // rho = 1 - 6 Σd² / (n (n² - 1)) with Σd² = 4. Of 24 orders, one has Σd² = 0, three have 2, one has 4.
        let got = r(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]);
        assert!((got.rho.unwrap() - 0.6).abs() < 1e-12);
        assert!((got.p.unwrap() - 5.0 / 24.0).abs() < 1e-12, "{got:?}");
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
    }

    #[test]
    fn many_groups_are_drawn_the_same_each_time() {
        let a: Vec<f64> = (0..24).map(f64::from).collect();
        let b: Vec<f64> = (0..24).map(|i| f64::from(i * 7 % 24)).collect();
        let (once, again) = (rank(&a, &b), rank(&a, &b));
        assert_eq!(once, again);
        assert!(rank(&a, &a).p.unwrap() < 1e-4);
        assert_eq!(top_hits(&a, &a), TopHits { of: 6, hits: 6, by_chance: 1.5 });
    }

    fn of(scores: &[f64], outcomes: &[f64]) -> Foresight {
        let agreement =
            || Agreement { score: rank(scores, outcomes), top: top_hits(scores, outcomes), factors: vec![] };
        let mut f = Foresight {
            groups: scores.len(),
            harmed: 1,
            excess_drop: agreement(),
            harmful_flips: agreement(),
            words: String::new(),
        };
        f.words = words(&f);
        f
    }

    #[test]
    fn few_groups_prove_nothing() {
        let four = [1.0, 2.0, 3.0, 4.0];
        assert!(of(&[1.0], &[1.0]).words.contains("nothing can be said"));
        assert!(of(&four[..2], &four[..2]).words.contains("only 2 orders"));
        assert!(of(&four[..3], &four[..3]).words.contains("nothing can be said"));
        let f = of(&four, &four);
        assert!(f.words.starts_with("The pre-check had predicted"));
        assert!(of(&four, &[2.0, 1.0, 4.0, 3.0]).words.starts_with("No sign"));
        // The opposite order is not what "chance explains" says of it, nor a prediction.
        let against = of(&four, &[4.0, 3.0, 2.0, 1.0]).words;
        assert!(against.starts_with("The pre-check had not predicted") && !against.contains("chance explains"));
        assert!(of(&four, &[0.0; 4]).words.starts_with("All groups fared alike"));
    }

    proptest! {
        /// Against no relation, p is uniform: as good as or better than itself, and symmetric in its arguments.
        #[test]
        fn p_is_a_probability_and_rho_symmetric(pairs in prop::collection::vec((0u8..5, 0u8..5), 0..7)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(a, b)| (f64::from(*a), f64::from(*b))).unzip();
            let (r, s) = (rank(&a, &b), rank(&b, &a));
            prop_assert_eq!(r.rho.is_some(), s.rho.is_some());
            if let (Some(x), Some(y), Some(p), Some(q)) = (r.rho, s.rho, r.p, s.p) {
                prop_assert!((x - y).abs() < 1e-12 && (p - q).abs() < 1e-12 && x.abs() <= 1.0 + 1e-12);
                prop_assert!(p > 0.0 && p <= 1.0);
            }
        }
    }
}
