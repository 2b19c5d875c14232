//! The list of figures that have no closed form: each a name and a function of the tallies.

use super::tally::{Basis, Tally};
use crate::fair::change;
use crate::fair::confusion::Confusion;
use crate::fair::disparity::{ErrorShift, error_shift, rates};
use crate::fair::metrics::{mean, sign};
use crate::fair::parity::{self, Aggregate, extremes, least_ratio, range};

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every group and everybody.
    Group,
    /// Every entry of the groups asked for.
    Entry,
}

/// Tallies of some rows, and which item and model a figure is asked of.
pub(super) struct View<'a> {
    pub basis: &'a Basis<'a>,
    /// Of every group, and of everybody.
    pub tallies: &'a [Tally],
}

impl View<'_> {
    fn everybody(&self) -> usize {
        self.tallies.len() - 1
    }

    fn confusion(&self, item: usize, model: usize) -> &Confusion {
        &self.tallies[item].models[model].confusion
    }

    /// Confusions of the groups of an entry.
    fn of_entry(&self, entry: usize, model: usize) -> Vec<&Confusion> {
        self.basis.members[entry].iter().map(|&g| self.confusion(g, model)).collect()
    }

    /// All rows that are not in the group.
    fn others(&self, group: usize, model: usize) -> Confusion {
        self.confusion(self.everybody(), model).without(self.confusion(group, model))
    }

    /// The panel's metric per group of an entry.
    fn metrics(&self, entry: usize, model: usize) -> impl Iterator<Item = Option<f64>> {
        let metric = self.basis.of.metric;
        self.basis.members[entry].iter().map(move |&g| change::metric_of(metric, self.confusion(g, model)))
    }

    fn drop(&self, item: usize) -> Option<f64> {
        change::drop(self.basis.of.metric, self.confusion(item, 0), self.confusion(item, 1))
    }

    fn excess_drop(&self, item: usize) -> Option<f64> {
        change::excess_drop(self.drop(item), self.drop(self.everybody()))
    }

    fn excess_loss(&self, item: usize) -> Option<f64> {
        let [dense, small] = &self.tallies[item].models;
        change::excess_loss(dense.calibration.nll(), small.calibration.nll())
    }

    fn shift(&self, item: usize) -> Option<ErrorShift> {
        error_shift(&rates(self.confusion(item, 0)), &rates(self.confusion(item, 1)))
    }

    /// Mean over the groups and classes for which it has a value.
    fn amplification(&self, entry: usize, model: usize) -> Option<f64> {
        mean(self.basis.members[entry].iter().flat_map(|&g| {
            let (own, others) = (self.confusion(g, model), self.others(g, model));
            let of = |(class, &trained)| parity::bias_amplification(own, &others, class, trained);
            self.basis.trained[g].iter().enumerate().filter_map(of).collect::<Vec<_>>()
        }))
    }
}

/// A figure of one model (0 dense, 1 small), of an item of its scope.
type OfModel = fn(&View<'_>, usize, usize) -> Option<f64>;

/// A figure of the change from dense to small.
type OfChange = fn(&View<'_>, usize) -> Option<f64>;

/// Figures of each model.
pub(super) const OF_MODELS: &[(Scope, &str, OfModel)] = &[
    (Scope::Group, "ece", |v, i, m| v.tallies[i].models[m].calibration.ece()),
    (Scope::Group, "brier", |v, i, m| v.tallies[i].models[m].calibration.brier()),
    (Scope::Group, "nll", |v, i, m| v.tallies[i].models[m].calibration.nll()),
    (Scope::Group, "average_odds_difference", |v, i, m| {
        (i < v.everybody()).then(|| parity::average_odds_difference(v.confusion(i, m), &v.others(i, m)))?
    }),
    (Scope::Entry, "worst", |v, e, m| {
        let good = sign(v.basis.of.metric);
        extremes(v.metrics(e, m)).map(|(lo, hi)| if good > 0.0 { lo } else { hi })
    }),
    (Scope::Entry, "gap", |v, e, m| range(v.metrics(e, m))),
    (Scope::Entry, "ratio", |v, e, m| least_ratio(v.metrics(e, m))),
    (Scope::Entry, "demographic_parity_difference", |v, e, m| parity::demographic_parity_difference(&v.of_entry(e, m))),
    (Scope::Entry, "demographic_parity_ratio", |v, e, m| parity::demographic_parity_ratio(&v.of_entry(e, m))),
    (Scope::Entry, "equal_opportunity_difference", |v, e, m| parity::equal_opportunity_difference(&v.of_entry(e, m))),
    (Scope::Entry, "equal_opportunity_ratio", |v, e, m| parity::equal_opportunity_ratio(&v.of_entry(e, m))),
    (Scope::Entry, "equalized_odds_difference", |v, e, m| {
        parity::equalized_odds_difference(&v.of_entry(e, m), Aggregate::WorstCase)
    }),
    (Scope::Entry, "equalized_odds_difference_mean", |v, e, m| {
        parity::equalized_odds_difference(&v.of_entry(e, m), Aggregate::Mean)
    }),
    (Scope::Entry, "equalized_odds_ratio", |v, e, m| {
        parity::equalized_odds_ratio(&v.of_entry(e, m), Aggregate::WorstCase)
    }),
    (Scope::Entry, "equalized_odds_ratio_mean", |v, e, m| {
        parity::equalized_odds_ratio(&v.of_entry(e, m), Aggregate::Mean)
    }),
    (Scope::Entry, "bias_amplification", |v, e, m| v.amplification(e, m)),
];

/// Figures of the change.
pub(super) const OF_CHANGE: &[(Scope, &str, OfChange)] = &[
    (Scope::Group, "excess_drop", |v, i| v.excess_drop(i)),
    (Scope::Group, "excess_loss", |v, i| v.excess_loss(i)),
    (Scope::Group, "cev_2021_pct", |v, i| Some(v.shift(i)?.cev_2021_pct)),
    (Scope::Group, "sde_2021_pct", |v, i| Some(v.shift(i)?.sde_2021_pct)),
    (Scope::Group, "cev_2022_ratio", |v, i| Some(v.shift(i)?.cev_2022_ratio)),
    (Scope::Group, "sde_2022_ratio", |v, i| Some(v.shift(i)?.sde_2022_ratio)),
    (Scope::Group, "recall_distortion", |v, i| change::recall_distortion(v.confusion(i, 0), v.confusion(i, 1))),
    (Scope::Entry, "degradation_gap", |v, e| change::degradation_gap(v.basis.members[e].iter().map(|&g| v.drop(g)))),
    (Scope::Entry, "max_excess_drop", |v, e| {
        v.basis.members[e].iter().filter_map(|&g| v.excess_drop(g)).reduce(f64::max)
    }),
    (Scope::Entry, "loss_gap", |v, e| range(v.basis.members[e].iter().map(|&g| v.excess_loss(g)))),
];

/// Which of a panel's three maps a figure goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Dense,
    Small,
    Change,
}

/// One figure of one part: a run of values, one per item of its scope.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub scope: Scope,
    pub part: Part,
    pub name: &'static str,
    of: Of,
}

#[derive(Clone, Copy)]
enum Of {
    Model(OfModel, usize),
    Change(OfChange),
}

impl Block {
    /// How many values it has.
    pub fn items(&self, b: &Basis<'_>) -> usize {
        match self.scope {
            Scope::Group => b.of.groups.groups.len() + 1,
            Scope::Entry => b.members.len(),
        }
    }
}

/// All blocks, in the order of [`values`].
pub(super) fn blocks() -> Vec<Block> {
    let models = OF_MODELS.iter().flat_map(|&(scope, name, of)| {
        [(Part::Dense, 0), (Part::Small, 1)].map(|(part, m)| Block { scope, part, name, of: Of::Model(of, m) })
    });
    let change =
        OF_CHANGE.iter().map(|&(scope, name, of)| Block { scope, part: Part::Change, name, of: Of::Change(of) });
    models.chain(change).collect()
}

/// Values of all blocks, NaN where there is none.
pub(super) fn values(v: &View<'_>, blocks: &[Block]) -> Vec<f64> {
    let of = |block: &Block, item: usize| match block.of {
        Of::Model(f, model) => f(v, item, model),
        Of::Change(f) => f(v, item),
    };
    let items = |b: &Block| (0..b.items(v.basis)).map(|i| of(b, i).unwrap_or(f64::NAN)).collect::<Vec<_>>();
    blocks.iter().flat_map(items).collect()
}
