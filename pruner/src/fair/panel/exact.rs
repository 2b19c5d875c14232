//! Figures that are shares of rows, with the intervals that the verdict's bounds are made of: Clopper and Pearson's limits
//! for independent rows, at the effective number of rows for clustered ones. A share of 0 or 1 has an interval too, which
//! a bootstrap does not give it.

use super::tally::Basis;
use super::{Bounded, Figures};
use crate::fair::contrast::{self, Stratum, contrast};
use crate::fair::metrics::{cells, harmful, hit, sign};

/// Shares of a group's rows.
pub(super) struct Shares<'a> {
    pub basis: &'a Basis<'a>,
    /// Level of each side of an interval.
    pub alpha: f64,
}

impl Shares<'_> {
    /// Mean over strata of equal weight of the mean of `values`, `-1..=1` when `signed`, else `0..=1`.
    fn mean(&self, strata: Vec<Vec<usize>>, signed: bool, value: impl Fn(usize) -> f64) -> Bounded {
        let weight = 1.0 / strata.len() as f64;
        let values: Vec<f64> = (0..self.basis.of.y.len()).map(value).collect();
        let tally = |rows: &[usize]| contrast::Tally::of(rows, &values, self.basis.of.clusters);
        let filled = strata.iter().filter(|rows| !rows.is_empty());
        let strata: Vec<Stratum> = filled.map(|rows| Stratum { weight, tally: tally(rows), side: 0 }).collect();
        if strata.is_empty() {
            return Bounded::default();
        }
        let c = contrast(&strata, signed, self.alpha);
        let least = if signed { -1.0 } else { 0.0 };
        Bounded { value: Some(c.value), lower: Some(c.lower().max(least)), upper: Some(c.upper().min(1.0)) }
    }

    fn share(&self, rows: Vec<usize>, of: impl Fn(usize) -> bool) -> Bounded {
        self.mean(vec![rows], false, |i| f64::from(u8::from(of(i))))
    }

    /// Of one model: accuracy, balanced accuracy, and the rates of every class, named as `recall:2`.
    pub fn of_model(&self, pred: &[usize], rows: &[usize]) -> Figures {
        let y = self.basis.of.y;
        let only = |keep: &dyn Fn(usize) -> bool| rows.iter().copied().filter(|&i| keep(i)).collect::<Vec<_>>();
        let right = |i: usize| pred[i] == y[i];
        let classes = 0..self.basis.classes;
        let by_class: Vec<Vec<usize>> =
            classes.clone().map(|c| only(&|i| y[i] == c)).filter(|rows| !rows.is_empty()).collect();
        let mut out = Figures::from([
            ("accuracy".to_owned(), self.share(rows.to_vec(), right)),
            ("balanced_accuracy".to_owned(), self.mean(by_class, false, |i| f64::from(u8::from(right(i))))),
        ]);
        for c in classes {
            let is = |i: usize| pred[i] == c;
            out.insert(format!("recall:{c}"), self.share(only(&|i| y[i] == c), is));
            out.insert(format!("fnr:{c}"), self.share(only(&|i| y[i] == c), |i| !is(i)));
            out.insert(format!("fpr:{c}"), self.share(only(&|i| y[i] != c), is));
            out.insert(format!("precision:{c}"), self.share(only(&is), |i| y[i] == c));
            out.insert(format!("selection_rate:{c}"), self.share(rows.to_vec(), is));
        }
        out
    }

    /// Of the change: the drop of the metric, churn, harmful flips.
    pub fn of_change(&self, rows: &[usize]) -> Figures {
        let of = self.basis.of;
        let (y, dense, small) = (of.y, of.dense.predictions, of.small.predictions);
        let hit = |pred: &[usize], i: usize| hit(of.metric, y[i], pred[i]).unwrap_or(0.0);
        let strata = cells(of.metric, y, rows).into_iter().map(|c| c.1).collect();
        let drop = self.mean(strata, true, |i| sign(of.metric) * (hit(dense, i) - hit(small, i)));
        Figures::from([
            ("drop".to_owned(), drop),
            ("churn".to_owned(), self.share(rows.to_vec(), |i| dense[i] != small[i])),
            ("harmful_flips".to_owned(), self.share(rows.to_vec(), |i| harmful(y[i], dense[i], small[i]))),
        ])
    }
}
