//! Negative controls: verdicts with one thing left out that ours does. A study that could not see them fail would
//! prove nothing by seeing ours hold.

use super::cases::Case;
use super::draw::Drawn;
use super::world::Truth;
use super::{broken, false_claim, judge};
use crate::fair::evaluate::Correction;
use crate::fair::metrics::cells;
use crate::fair::stats::normal_quantile;

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Control {
    /// Each bound has the whole error for itself, as if it were the only one.
    NotSimultaneous = 0,
    /// Rows of a cluster count as independent.
    RowsIndependent = 1,
    /// The excess drop's bound is the estimate plus normal quantile times standard error (Wald).
    Wald = 2,
}

/// Whether the control says PASS of a group that breaks the contract.
pub(super) fn claims(control: Control, case: &Case, truth: &Truth, drawn: &Drawn) -> bool {
    let ours = |clustered, correction| {
        false_claim(&judge(drawn, clustered, &case.fairness, correction), &case.fairness, truth)
    };
    match control {
        Control::NotSimultaneous => ours(true, Correction::None),
        Control::RowsIndependent => ours(false, Correction::Simultaneous),
        Control::Wald => {
            let limit = case.fairness.max_excess_drop;
            let upper = wald(case, drawn);
            (0..upper.len()).any(|g| upper[g] <= limit && broken(g, &case.fairness, truth))
        }
    }
}

/// Wald's upper bounds of the excess drops for independent rows, simultaneous by Bonferroni.
fn wald(case: &Case, drawn: &Drawn) -> Vec<f64> {
    let (y, p) = (&drawn.y, &drawn.predictions);
    let groups = &drawn.entry.groups;
    let z = normal_quantile(1.0 - (1.0 - case.fairness.confidence) / groups.len() as f64);
    let hit = |pred: usize, y: usize| f64::from(u8::from(pred == y));
    let d: Vec<f64> = (0..y.len()).map(|i| hit(p.dense[i], y[i]) - hit(p.int8[i], y[i])).collect();
    let everybody: Vec<usize> = (0..y.len()).collect();
    let all = cells(case.fairness.metric, y, &everybody);
    let upper = |rows: &[usize]| {
        let own = cells(case.fairness.metric, y, rows);
        let (mut value, mut variance) = (0.0, 0.0);
        for (class, of_all) in &all {
            let inside = own.iter().find(|c| c.0 == *class).map_or(&[][..], |c| &c.1);
            let (n, n_all) = (inside.len() as f64, of_all.len() as f64);
            let outside = of_all.iter().filter(|i| inside.binary_search(i).is_err());
            let mut add = |weight: f64, values: Vec<f64>| {
                let n = values.len().max(1) as f64;
                let mean = values.iter().sum::<f64>() / n;
                value += weight * mean;
                variance += weight * weight * values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * n);
            };
            let k = all.len() as f64;
            let share = if inside.is_empty() { 0.0 } else { 1.0 / own.len() as f64 };
            add(share - n / (k * n_all), inside.iter().map(|&i| d[i]).collect());
            add(-(n_all - n) / (k * n_all), outside.map(|&i| d[i]).collect());
        }
        value + z * variance.sqrt()
    };
    groups.iter().map(|g| upper(&g.rows)).collect()
}
