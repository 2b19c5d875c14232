//! Where a candidate stands on rows that it was not trained on: what the search steers by.

use crate::contract::Metric;
use crate::data::GroupSet;
use crate::fair::metrics::{cells, hit, sign, value};

/// The metric of a candidate and its fairness, measured, without bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Over all rows; larger is better (a rate of false positives is negated).
    pub overall: f64,
    /// Of the worst group.
    pub worst: f64,
    /// Largest excess drop of a group against the dense model.
    pub max_excess_drop: f64,
    /// Largest excess drop less two standard errors of the group's drop: what can hardly be chance.
    pub shown_excess_drop: f64,
}

/// Standard errors that an excess drop is taken to be off by. Of 24 groups alike the largest is over one nearly always, and
/// over two in about two cases of five.
const DOUBT: f64 = 2.0;

/// Measures a candidate's predictions against the dense model's. Groups without a row that counts are left out.
pub fn standing(metric: Metric, y: &[usize], dense: &[usize], now: &[usize], groups: &GroupSet) -> Standing {
    let all: Vec<usize> = (0..y.len()).collect();
    let of = |pred: &[usize], rows: &[usize]| value(metric, y, pred, rows).map(|v| v * sign(metric));
    let overall = of(now, &all).unwrap_or(f64::NAN);
    let drop = of(dense, &all).unwrap_or(f64::NAN) - overall;
    let mut s = Standing { overall, worst: overall, max_excess_drop: 0.0, shown_excess_drop: 0.0 };
    let (mut excess, mut shown) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for g in &groups.groups {
        let (Some(before), Some(after)) = (of(dense, &g.rows), of(now, &g.rows)) else { continue };
        s.worst = s.worst.min(after);
        let of_group = before - after - drop;
        excess = excess.max(of_group);
        shown = shown.max(of_group - DOUBT * error(metric, y, dense, now, &g.rows));
    }
    if excess.is_finite() {
        (s.max_excess_drop, s.shown_excess_drop) = (excess, shown);
    }
    s
}

/// Standard error of a drop from the rows that happen to be there: of a mean of differences on the same row in each cell, and
/// of the mean over cells.
fn error(metric: Metric, y: &[usize], dense: &[usize], now: &[usize], rows: &[usize]) -> f64 {
    let cells = cells(metric, y, rows);
    let count = cells.len() as f64;
    let variance = |rows: &[usize]| {
        let drops = rows.iter().filter_map(|&i| Some(hit(metric, y[i], dense[i])? - hit(metric, y[i], now[i])?));
        let (n, sum, squares) = drops.fold((0.0, 0.0, 0.0), |(n, s, q), d| (n + 1.0, s + d, q + d * d));
        // One more of each outcome, or a handful of rows that agree would be certain.
        (squares + 2.0 - sum * sum / (n + 3.0)) / (n + 3.0) / (n + 3.0)
    };
    (cells.iter().map(|(_, rows)| variance(rows)).sum::<f64>()).sqrt() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::terms::testing::groups;

    /// One of five rows lost may be chance, 30 of 100 is not.
    #[test]
    fn what_a_few_rows_lose_is_not_shown() {
        let groups = groups(&[300, 100, 5]);
        let (y, dense) = (vec![0; 405], vec![0; 405]);
        let lost = |rows: std::ops::Range<usize>| {
            let now: Vec<usize> = (0..405).map(|i| usize::from(rows.contains(&i))).collect();
            standing(Metric::Accuracy, &y, &dense, &now, &groups)
        };
        let few = lost(400..401);
        assert!((few.max_excess_drop - (0.2 - 1.0 / 405.0)).abs() < 1e-12 && few.shown_excess_drop < 0.02, "{few:?}");
        let many = lost(300..330);
        let error = ((32.0 - 900.0 / 103.0) / 103f64.powi(2)).sqrt();
        assert!((many.max_excess_drop - (0.3 - 30.0 / 405.0)).abs() < 1e-12, "{many:?}");
        assert!((many.max_excess_drop - many.shown_excess_drop - 2.0 * error).abs() < 1e-12, "{many:?}");
        assert_eq!(lost(0..0).max_excess_drop, 0.0);
    }
}
