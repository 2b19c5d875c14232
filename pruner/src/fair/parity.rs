//! Differences and ratios between groups, under the names of fairlearn and AIF360.
//!
//! With two classes, class 1 is the positive one and every value is fairlearn's. With more, values follow
//! Dominguez-Catena et al.: a cell is a true class `k` and a predicted class `j`, its rate is `P(pred = j | y = k, g)`,
//! and the difference of a cell is the range of its rate over the groups. Their equalised odds is the mean over all
//! cells ([`Aggregate::Mean`]); the worst case takes the largest instead. Equal opportunity is the mean over the
//! diagonal, demographic parity the mean over `j` of the range of `P(pred = j | g)`. Ratios are the smallest rate over
//! the largest, put together in the same way; a cell that no group has any rate in tells nothing and is left out.
//!
//! Groups in which a rate has no value are left out of its range (see [`super::confusion`]).

use super::confusion::Confusion;
use super::metrics::mean;

/// How the ranges of several rates become one value; fairlearn's `agg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The largest difference, the smallest ratio.
    WorstCase,
    /// Their mean.
    Mean,
}

/// A rate of one group.
type Rate<'a> = &'a dyn Fn(&Confusion) -> Option<f64>;

/// Smallest and largest of the values that there are; `None` for fewer than two.
pub fn extremes(values: impl Iterator<Item = Option<f64>>) -> Option<(f64, f64)> {
    let (n, lo, hi) =
        values.flatten().fold((0, f64::INFINITY, f64::NEG_INFINITY), |(n, lo, hi), v| (n + 1, v.min(lo), v.max(hi)));
    (n > 1).then_some((lo, hi))
}

/// Largest less smallest value.
pub fn range(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    extremes(values).map(|(lo, hi)| hi - lo)
}

/// Smallest over largest value; `None` where the largest is 0.
pub fn least_ratio(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    extremes(values).filter(|(_, hi)| *hi > 0.0).map(|(lo, hi)| lo / hi)
}

fn difference(groups: &[&Confusion], rate: Rate<'_>) -> Option<f64> {
    range(groups.iter().map(|m| rate(m)))
}

fn quotient(groups: &[&Confusion], rate: Rate<'_>) -> Option<f64> {
    least_ratio(groups.iter().map(|m| rate(m)))
}

/// One of the two functions above.
type Spread = fn(&[&Confusion], Rate<'_>) -> Option<f64>;

fn classes(groups: &[&Confusion]) -> usize {
    groups.first().map_or(0, |m| m.classes())
}

/// The spread of `rate(class)`: of class 1 where there are two classes, else the mean over classes.
fn per_class(groups: &[&Confusion], spread: Spread, rate: fn(&Confusion, usize) -> Option<f64>) -> Option<f64> {
    match classes(groups) {
        2 => spread(groups, &|m| rate(m, 1)),
        n => mean((0..n).filter_map(|c| spread(groups, &|m| rate(m, c)))),
    }
}

/// `demographic_parity_difference`: range over groups of the selection rate.
pub fn demographic_parity_difference(groups: &[&Confusion]) -> Option<f64> {
    per_class(groups, difference, Confusion::selection_rate)
}

/// `demographic_parity_ratio`.
pub fn demographic_parity_ratio(groups: &[&Confusion]) -> Option<f64> {
    per_class(groups, quotient, Confusion::selection_rate)
}

/// `equal_opportunity_difference`: range over groups of the true-positive rate.
pub fn equal_opportunity_difference(groups: &[&Confusion]) -> Option<f64> {
    per_class(groups, difference, Confusion::recall)
}

/// `equal_opportunity_ratio`.
pub fn equal_opportunity_ratio(groups: &[&Confusion]) -> Option<f64> {
    per_class(groups, quotient, Confusion::recall)
}

/// Spreads of the rates that equalised odds asks to be equal: with two classes the true- and the false-positive rate.
fn odds(groups: &[&Confusion], spread: Spread) -> Vec<f64> {
    let n = classes(groups);
    let cells: Vec<(usize, usize)> = match n {
        2 => vec![(0, 1), (1, 1)],
        n => (0..n).flat_map(|y| (0..n).map(move |pred| (y, pred))).collect(),
    };
    cells.into_iter().filter_map(|(y, pred)| spread(groups, &|m| m.rate(y, pred))).collect()
}

/// `equalized_odds_difference`: of the ranges over groups of the true- and the false-positive rate, or of all cells.
pub fn equalized_odds_difference(groups: &[&Confusion], agg: Aggregate) -> Option<f64> {
    let spreads = odds(groups, difference).into_iter();
    match agg {
        Aggregate::WorstCase => spreads.reduce(f64::max),
        Aggregate::Mean => mean(spreads),
    }
}

/// `equalized_odds_ratio`.
pub fn equalized_odds_ratio(groups: &[&Confusion], agg: Aggregate) -> Option<f64> {
    let spreads = odds(groups, quotient).into_iter();
    match agg {
        Aggregate::WorstCase => spreads.reduce(f64::min),
        Aggregate::Mean => mean(spreads),
    }
}

/// AIF360's `average_odds_difference`, with its sign: `((FPR_u - FPR_p) + (TPR_u - TPR_p)) / 2`. `group` is the
/// unprivileged one, `others` all other rows of the same entry. With more than two classes, the mean over the classes,
/// each against the rest.
pub fn average_odds_difference(group: &Confusion, others: &Confusion) -> Option<f64> {
    let of = |c: usize| Some((group.fpr(c)? - others.fpr(c)? + group.recall(c)? - others.recall(c)?) / 2.0);
    match group.classes() {
        2 => of(1),
        n => mean((0..n).filter_map(of)),
    }
}

/// Bias amplification (Iofinova et al., CVPR 2023): the group's share of the rows predicted as `class` less its share of
/// the rows that are of it, for a group in which the class is more frequent than among the others. `trained` is that
/// frequency in training, of the group and of the others. As in the authors' code there is no value with fewer than ten
/// rows of the class in the group or outside, or where the frequencies differ by less than a tenth of the lower one.
pub fn bias_amplification(group: &Confusion, others: &Confusion, class: usize, trained: [f64; 2]) -> Option<f64> {
    let [inside, outside] = trained;
    let (own, rest) = (group.positives(class), others.positives(class));
    if own < 10 || rest < 10 || inside <= outside || inside - outside < 0.1 * outside {
        return None;
    }
    let selected = group.selected(class);
    let predicted = super::confusion::ratio(selected, selected + others.selected(class))?;
    Some(predicted - own as f64 / (own + rest) as f64)
}
