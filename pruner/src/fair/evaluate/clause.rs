//! One clause of the contract for one group or pair: what its bound says of its limit, and what is missing where it says nothing.

use super::super::contrast::Contrast;
use super::super::verdict::Outcome;
use super::Setting;

/// What a contrast says of a limit: it must stay at or under it (`upward`), or at or over it.
pub(super) fn decide(c: &Contrast, limit: f64, upward: bool) -> Outcome {
    let slack = if upward { limit - c.value } else { c.value - limit };
    let (toward, away) = if upward { (c.up, c.down) } else { (c.down, c.up) };
    if toward <= slack {
        Outcome::Pass
    } else if -slack > away {
        Outcome::Fail
    } else {
        Outcome::Undecided
    }
}

/// What one clause of the contract says of one group or pair.
pub(super) struct Clause {
    pub verdict: Outcome,
    pub samples: Option<u64>,
    pub clusters: Option<u64>,
    /// The estimate keeps the limit, so more data may prove it.
    pub may_pass: bool,
    pub words: String,
}

impl Setting<'_> {
    /// One clause: `c` must stay at or under `limit` (`upward`), or at or over it.
    pub(super) fn clause(&self, name: &str, c: &Contrast, limit: f64, upward: bool, n: usize) -> Clause {
        let slack = if upward { limit - c.value } else { c.value - limit };
        let mut out = Clause {
            verdict: decide(c, limit, upward),
            samples: None,
            clusters: None,
            may_pass: false,
            words: String::new(),
        };
        if out.verdict == Outcome::Pass {
            return out;
        }
        if out.verdict == Outcome::Fail {
            out.words = format!("{name} breaks the limit {limit} by more than chance explains");
        } else if slack <= 0.0 {
            out.words =
                format!("{name}: the estimate is beyond the limit {limit}; more data would more likely show a FAIL");
        } else if c.is_hidden(slack, upward) {
            out.words = format!(
                "{name}: wrong labels of groups (`group_noise`) alone may take it past the limit {limit}; surer labels would \
                 decide sooner than more data"
            );
        } else {
            out.may_pass = true;
            match c.growth(slack, upward) {
                Some(g) => {
                    let more = |have: usize| ((g.factor - 1.0) * have as f64).ceil().max(1.0) as u64;
                    out.samples = Some(more(n));
                    out.words = match self.clusters.and(c.clusters) {
                        None => format!("{name}: about {} more rows would decide", more(n)),
                        Some(sides) => {
                            let few = usize::from(sides[1] > 0 && sides[1] < sides[0]);
                            out.clusters = Some(more(sides[few]));
                            let who = if few == 0 { "in the group" } else { "outside the group" };
                            let column = self.fairness.cluster.as_deref().unwrap_or("cluster");
                            format!("{name}: about {} more of `{column}` {who} would decide", more(sides[few]))
                        }
                    };
                }
                None if [c.down, c.up][usize::from(upward)].is_finite() => {
                    out.words = format!("{name}: no amount of data that there can be would decide");
                }
                None => {
                    let column = self.fairness.cluster.as_deref().unwrap_or("cluster");
                    let [own, others] = c.clusters.unwrap_or_default();
                    let (have, who) = match (own, others) {
                        (0 | 1, _) => (own, "in the group"),
                        (_, 1) => (others, "outside the group"),
                        _ => (own.min(others), "in each class"),
                    };
                    out.clusters = Some(2_usize.saturating_sub(have).max(1) as u64);
                    out.words = format!("{name}: no bound from fewer than two values of `{column}` {who}");
                }
            }
        }
        out
    }
}
