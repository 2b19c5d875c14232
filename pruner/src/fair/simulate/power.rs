//! How much data a verdict needs: the probability of a PASS for a model that deserves one, by simulation with the code
//! that judges.

use super::cases::{About, Case, Clause, Who};
use super::draw::Sampling;
use super::simulate;
use super::world::{Class, Group, World};
use crate::contract::{Contract, Fairness, Metric};
use crate::data::groups::MAX_GROUPS;
use crate::error::{Error, Result};
use crate::fair::noise::rise;

/// What is known before the data are there.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Relative sizes of the groups.
    pub shares: Vec<f64>,
    /// Probabilities of a harmful and of a helpful flip, the same in every group: no group has an excess drop.
    pub flips: [f64; 2],
    /// The contract's `max_excess_drop`.
    pub bound: f64,
    /// The contract's confidence.
    pub confidence: f64,
    /// Fewest and most rows of a cluster, where rows are clustered.
    pub cluster: Option<(usize, usize)>,
    /// Correlation of the outcomes of two rows of one cluster.
    pub icc: f64,
    /// The contract's `group_noise`: share of each group's rows whose label of the group may be wrong.
    pub noise: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            shares: vec![1.0, 1.0],
            flips: [0.03, 0.02],
            bound: 0.02,
            confidence: 0.95,
            cluster: None,
            icc: 0.0,
            noise: 0.0,
        }
    }
}

/// Most rows or clusters of the smallest group that are tried.
pub const MOST: usize = 100_000;

impl Plan {
    fn check(&self) -> Result<()> {
        let [harm, help] = self.flips;
        let bad = |what: &str| Err(Error::new(format!("the plan cannot be: {what}")));
        if !(2..=MAX_GROUPS).contains(&self.shares.len()) || self.shares.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return bad(&format!("it takes from 2 to {MAX_GROUPS} groups, each with a share over 0"));
        }
        if !(harm >= 0.0 && help >= 0.0 && harm + help <= 0.5) {
            return bad("flips are shares of rows, together at most 0.5");
        }
        if !(self.bound > 0.0 && self.bound <= 1.0) {
            return bad("the bound is over 0 and at most 1: 0.02 is two points");
        }
        if !(0.5..1.0).contains(&self.confidence) {
            return bad("confidence is at least 0.5 and under 1");
        }
        if !(0.0..1.0).contains(&self.icc) {
            return bad("a correlation is at least 0 and under 1");
        }
        if !(0.0..0.5).contains(&self.noise) {
            return bad("the share of wrong labels is at least 0 and under 0.5");
        }
        if self.cluster.is_some_and(|(lo, hi)| lo == 0 || hi < lo || hi > 10_000) {
            return bad("clusters have from 1 to 10,000 rows");
        }
        Ok(())
    }

    /// The largest excess drop of a group that wrong labels can hide, however many rows there are.
    pub fn hidden(&self) -> f64 {
        let all: f64 = self.shares.iter().sum();
        let [harm, help] = self.flips;
        let caps = |own: f64| [own * help, (all - own) * harm];
        let of = |own: &f64| rise(*own, self.flips.map(|f| f * own), caps(*own), self.noise * own);
        self.shares.iter().map(of).fold(0.0, f64::max)
    }

    /// Rows or clusters of every group when the smallest has `smallest`.
    fn sizes(&self, smallest: usize) -> Vec<usize> {
        let least = self.shares.iter().copied().fold(f64::INFINITY, f64::min);
        self.shares.iter().map(|s| (s / least * smallest as f64).round() as usize).collect()
    }

    fn case(&self, smallest: usize) -> Result<Case> {
        let sizes = self.sizes(smallest);
        let total: usize = sizes.iter().sum();
        let [harm, help] = self.flips;
        let class = Class { mix: 1.0, both: 0.9 - harm - help, harm, help };
        let group = |n: &usize| Group { share: *n as f64 / total as f64, classes: vec![class] };
        let cluster = if self.cluster.is_some() { "\ncluster = \"c\"" } else { "" };
        let text = format!(
            "[fairness]\ngroups = [\"g\"]\nmax_excess_drop = {}\nconfidence = {}\ngroup_noise = {}{cluster}\n",
            self.bound, self.confidence, self.noise
        );
        let fairness: Fairness = Contract::parse(&text)?.fairness;
        Ok(Case {
            about: About {
                clause: Clause::ExcessDrop,
                on_the_limit: Who::One,
                metric: Metric::Accuracy.to_string(),
                groups: sizes.len(),
                equal: false,
                data: String::new(),
                flips: self.flips,
                icc: self.icc,
            },
            world: World { metric: Metric::Accuracy, groups: sizes.iter().map(group).collect(), icc: self.icc },
            sampling: match self.cluster {
                None => Sampling::Independent { rows: total },
                Some(size) => Sampling::Clustered { clusters: sizes, size },
            },
            fairness,
            controls: vec![],
        })
    }
}

/// Probability of a PASS when the smallest group has so many rows (or clusters), over `runs` drawn sets.
///
/// # Errors
/// A plan that cannot be.
pub fn power(plan: &Plan, smallest: usize, runs: usize, seed: u64) -> Result<f64> {
    plan.check()?;
    let score = simulate(&plan.case(smallest)?, runs, seed);
    Ok(score.passes as f64 / runs.max(1) as f64)
}

/// Rows (or clusters) of the smallest group so that the probability of a PASS is at least `want`, to about 5 %; `None`
/// when [`MOST`] are too few, or wrong labels can hide an excess drop as large as the bound.
///
/// # Errors
/// As [`power`].
pub fn needed(plan: &Plan, want: f64, runs: usize, seed: u64) -> Result<Option<usize>> {
    plan.check()?;
    if plan.hidden() >= plan.bound {
        return Ok(None);
    }
    let enough = |n: usize| Ok::<bool, Error>(power(plan, n, runs, seed)? >= want);
    let (mut lo, mut hi) = (1_usize, if plan.cluster.is_some() { 4 } else { 32 });
    while !enough(hi)? {
        (lo, hi) = (hi, hi * 2);
        if hi > MOST {
            return Ok(None);
        }
    }
    while hi > lo + 1 && hi as f64 / lo as f64 > 1.05 {
        let mid = (lo + hi) / 2;
        if enough(mid)? { hi = mid } else { lo = mid }
    }
    Ok(Some(hi))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_power_that_was_asked_for() {
        let plan = Plan { bound: 0.05, ..Plan::default() };
        let n = needed(&plan, 0.8, 100, 1).unwrap().unwrap();
        // Other draws than those that the answer was found on.
        assert!(power(&plan, n, 400, 2).unwrap() > 0.7, "{n}");
        assert!(power(&plan, n / 2, 400, 2).unwrap() < 0.7, "{n}");
        let more = Plan { shares: vec![1.0; 7], ..plan.clone() };
        assert!(power(&more, n, 200, 2).unwrap() < 0.8, "seven groups need more each than two");
        let clustered = Plan { cluster: Some((10, 10)), icc: 0.2, ..plan };
        let clusters = needed(&clustered, 0.8, 60, 1).unwrap().unwrap();
        assert!(clusters * 10 > n, "correlated rows say less: {clusters} clusters of 10 against {n} rows");
    }

    /// Labels that may be wrong cost data, and past what they can hide no number of rows is enough.
    #[test]
    fn wrong_labels_take_more_data_or_cannot_be_made_up_for() {
        let plan = Plan { bound: 0.05, ..Plan::default() };
        let noisy = Plan { noise: 0.005, ..plan.clone() };
        // 0.5 % of the rows may go, each a helpful flip, and as many come, each a harmful one.
        assert!((noisy.hidden() - 0.01).abs() < 1e-3, "{}", noisy.hidden());
        let [sure, wary] = [&plan, &noisy].map(|p| needed(p, 0.8, 60, 1).unwrap().unwrap());
        assert!(wary * 2 > sure * 3, "{sure} and {wary} rows");
        let hopeless = Plan { noise: 0.05, ..plan };
        assert!(hopeless.hidden() > hopeless.bound - 1e-3, "{}", hopeless.hidden());
        assert_eq!(needed(&Plan { bound: 0.04, ..hopeless }, 0.8, 60, 1).unwrap(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        let error = |plan: Plan| power(&plan, 10, 1, 1).unwrap_err().to_string();
        for shares in [vec![1.0], vec![1.0; 65], vec![1.0, f64::NAN]] {
            assert!(error(Plan { shares, ..Plan::default() }).contains("from 2 to 64 groups"));
        }
        for flips in [[0.4, 0.4], [f64::NAN, 0.1], [0.1, f64::NAN]] {
            assert!(error(Plan { flips, ..Plan::default() }).contains("flips"));
        }
        for bound in [0.0, -0.1, f64::NAN, 2.0] {
            assert!(error(Plan { bound, ..Plan::default() }).contains("the bound"));
        }
        assert!(error(Plan { confidence: f64::NAN, ..Plan::default() }).contains("confidence"));
        assert!(error(Plan { icc: 1.0, ..Plan::default() }).contains("correlation"));
        assert!(error(Plan { noise: 0.5, ..Plan::default() }).contains("wrong labels"));
        assert!(error(Plan { cluster: Some((5, 2)), ..Plan::default() }).contains("clusters"));
    }
}
