//! Where a candidate stands on rows that it was not trained on: what the search steers by.

use crate::contract::Metric;
use crate::data::GroupSet;
use crate::fair::metrics::{sign, value};

/// The metric of a candidate and its fairness, measured, without bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Over all rows; larger is better (a rate of false positives is negated).
    pub overall: f64,
    /// Of the worst group.
    pub worst: f64,
    /// Largest excess drop of a group against the dense model.
    pub max_excess_drop: f64,
}

/// Measures a candidate's predictions against the dense model's. Groups without a row that counts are left out.
pub fn standing(metric: Metric, y: &[usize], dense: &[usize], now: &[usize], groups: &GroupSet) -> Standing {
    let all: Vec<usize> = (0..y.len()).collect();
    let of = |pred: &[usize], rows: &[usize]| value(metric, y, pred, rows).map(|v| v * sign(metric));
    let overall = of(now, &all).unwrap_or(f64::NAN);
    let drop = of(dense, &all).unwrap_or(f64::NAN) - overall;
    let mut s = Standing { overall, worst: overall, max_excess_drop: 0.0 };
    let mut excess = f64::NEG_INFINITY;
    for g in &groups.groups {
        let (Some(before), Some(after)) = (of(dense, &g.rows), of(now, &g.rows)) else { continue };
        s.worst = s.worst.min(after);
        excess = excess.max(before - after - drop);
    }
    if excess.is_finite() {
        s.max_excess_drop = excess;
    }
    s
}
