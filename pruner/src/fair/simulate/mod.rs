//! Does the verdict keep its promise? Verdicts on drawn data of models whose truth is known.
//!
//! | module | job |
//! | --- | --- |
//! | [`world`] | models with known true rates per group |
//! | [`mod@draw`] | draws of verdict data from one |
//! | [`cases`] | the cells of the study: where the truth lies, how data are sampled |
//! | [`control`] | bounds that are known to be too short, which must be seen to fail |
//! | [`power`] | how much data a PASS takes |
//! | [`mod@page`] | all of it as a page |
//!
//! The truth of a case lies exactly on a limit of its contract, which is where a PASS is won most easily by a model
//! that must not have one. Each draw goes through the same code as a user's verdict.

pub mod cases;
pub mod control;
pub mod draw;
pub mod page;
pub mod power;
pub mod world;

use super::evaluate::{Correction, evaluate_with};
use super::verdict::{Outcome, Verdict};
use crate::contract::Fairness;
use cases::Case;
use draw::{Drawn, draw};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use world::Truth;

/// What many verdicts on one case said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Score {
    /// Verdicts.
    pub runs: usize,
    /// Those that are PASS.
    pub passes: usize,
    /// Those that say PASS of a group or gap whose truth does not keep the limit.
    pub claims: usize,
    /// Those with a printed upper bound of an excess drop under the true one.
    pub uncovered: usize,
    /// Those where a negative control says PASS of such a group.
    pub controls: [usize; 3],
}

impl Score {
    fn plus(self, o: Score) -> Score {
        let mut controls = self.controls;
        controls.iter_mut().zip(o.controls).for_each(|(a, b)| *a += b);
        Score {
            runs: self.runs + o.runs,
            passes: self.passes + o.passes,
            claims: self.claims + o.claims,
            uncovered: self.uncovered + o.uncovered,
            controls,
        }
    }
}

/// Judges `runs` draws of a case. The same seed gives the same score on any number of cores.
pub fn simulate(case: &Case, runs: usize, seed: u64) -> Score {
    let truth = case.world.truth();
    let one = |run: usize| score(case, &truth, &drawn(case, run, seed));
    (0..runs).into_par_iter().map(one).reduce(Score::default, Score::plus)
}

fn drawn(case: &Case, run: usize, seed: u64) -> Drawn {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(run as u64);
    draw(&case.world, &case.sampling, &mut rng)
}

fn judge(drawn: &Drawn, clustered: bool, fairness: &Fairness, correction: Correction) -> Verdict {
    let clusters = drawn.clusters.as_deref().filter(|_| clustered);
    evaluate_with(&drawn.y, std::slice::from_ref(&drawn.entry), clusters, &drawn.predictions, fairness, correction)
}

fn score(case: &Case, truth: &Truth, drawn: &Drawn) -> Score {
    let v = judge(drawn, true, &case.fairness, Correction::Simultaneous);
    let upper = |g: usize| v.groups[g].excess_drop.upper.unwrap_or(f64::INFINITY);
    let mut controls = [0; 3];
    for &c in &case.controls {
        controls[c as usize] = usize::from(control::claims(c, case, truth, drawn));
    }
    Score {
        runs: 1,
        passes: usize::from(v.verdict == Outcome::Pass),
        claims: usize::from(false_claim(&v, &case.fairness, truth)),
        // Bounds are computed to 1e-8.
        uncovered: usize::from((0..truth.excess.len()).any(|g| upper(g) < truth.excess[g] - 1e-8)),
        controls,
    }
}

/// Rates are sums of floats: a truth this near to its limit lies on it.
const ON_THE_LIMIT: f64 = 1e-9;

/// Whether the group's true excess drop or metric is at or beyond its limit.
fn broken(g: usize, fairness: &Fairness, truth: &Truth) -> bool {
    truth.excess[g] >= fairness.max_excess_drop - ON_THE_LIMIT
        || fairness.min_metric.is_some_and(|floor| truth.int8[g] <= floor + ON_THE_LIMIT)
}

/// Whether the verdict says PASS of what is broken, if only of one group.
fn false_claim(v: &Verdict, fairness: &Fairness, truth: &Truth) -> bool {
    let best = truth.int8.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let worst = truth.int8.iter().copied().fold(f64::INFINITY, f64::min);
    let gap = fairness.max_gap.is_some_and(|limit| best - worst >= limit - ON_THE_LIMIT);
    let group = |(g, judged): (usize, &super::verdict::GroupVerdict)| {
        judged.verdict == Outcome::Pass && broken(g, fairness, truth)
    };
    v.groups.iter().enumerate().any(group) || gap && v.gap.verdict == Some(Outcome::Pass)
}

/// Most of `runs` verdicts that may err when each errs with probability at most `level`: more would happen by chance in
/// one study of a thousand.
pub fn most_errors(runs: usize, level: f64) -> usize {
    // P(X > k) = I_level(k + 1, runs - k) for a binomial X.
    let more = |k: usize| statrs::function::beta::beta_reg((k + 1) as f64, (runs - k) as f64, level);
    (0..runs).find(|&k| more(k) <= 0.001).unwrap_or(runs)
}

#[cfg(test)]
mod tests;
