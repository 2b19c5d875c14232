//! The pre-check: which groups are at risk before anything is pruned, from the dense model alone.
//!
//! Pruning hurts groups that are small, that the model gets wrong or is unsure of, that lie near its decision
//! boundary, whose gradient is still large (Tran et al., NeurIPS 2022), whose confidence is off, or whose classes are
//! mixed otherwise than everybody's (Iofinova et al., CVPR 2023). This module measures; [`super::risk`] ranks.

use super::contrast::{Stratum, Tally, contrast};
use super::metrics::{cells, ece, hit, mean, value};
use super::risk::rank;
use crate::contract::Metric;
use crate::data::GroupSet;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Top probability under which a row counts as uncertain.
pub const SURE: f64 = 0.9;

/// Rows of a class that there must be, in the group and outside it together, for its rates to be compared.
const ENOUGH: usize = 10;
/// Relative difference of two rates from which a class counts as unevenly spread (Iofinova et al.).
const UNEVEN: f64 = 0.1;

/// What the dense model does on the rows.
#[derive(Clone, Copy, Debug)]
pub struct AuditInput<'a> {
    /// `rows × classes`, before softmax.
    pub logits: &'a [f32],
    /// Class per row.
    pub y: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// The groups.
    pub groups: &'a GroupSet,
    /// Per group, the norm of the mean loss gradient, where someone has computed it.
    pub grad_norms: Option<&'a [f64]>,
    /// What is measured per group.
    pub metric: Metric,
    /// Confidence of all intervals at once.
    pub confidence: f64,
    /// A cluster per row where rows are not independent.
    pub clusters: Option<&'a [u32]>,
}

/// The groups by falling risk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Number of rows.
    pub n: usize,
    /// Clusters among them; `None` when rows count as independent.
    pub clusters: Option<usize>,
    /// What `value` is.
    pub metric: Metric,
    /// The metric on all rows.
    pub value: Option<f64>,
    /// Confidence that all of the groups' intervals hold at once.
    pub confidence: f64,
    /// Expected calibration error on all rows.
    pub ece: f64,
    /// Share of all rows that the model is unsure of.
    pub uncertainty: f64,
    /// Mean lead of the largest logit over the second on all rows.
    pub margin: f64,
    /// Groups with rows, the most endangered first.
    pub groups: Vec<GroupRisk>,
    /// Groups without rows, of which nothing is known.
    pub empty: Vec<String>,
}

/// One group's risk factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRisk {
    /// Its name.
    pub group: String,
    /// Its rows.
    pub n: usize,
    /// Clusters among them; `None` when rows count as independent.
    pub clusters: Option<usize>,
    /// Its share of all rows.
    pub share: f64,
    /// The metric of the dense model; `None` when it counts none of the rows.
    pub value: Option<f64>,
    /// Interval of `value`; the intervals of all groups hold at once.
    pub interval: [f64; 2],
    /// Share of rows whose top probability is under 0.9.
    pub uncertainty: f64,
    /// Mean of `p (1 - p)`, `p` the top probability: closeness to the decision boundary, at most 0.25.
    pub boundary: f64,
    /// Mean lead of the largest logit over the second: distance to the decision boundary.
    pub margin: f64,
    /// Norm of the group's mean loss gradient.
    pub grad_norm: Option<f64>,
    /// Expected calibration error, 10 bins.
    pub ece: f64,
    /// Total variation distance between the group's mix of classes and everybody's, 0 to 1.
    pub class_mix: f64,
    /// Share of its rows in the positive class: the one that the metric names, or class 1 of two.
    pub positive_rate: Option<f64>,
    /// The class that is spread most unevenly between the group and all others.
    pub imbalance: Option<Imbalance>,
    /// Bias amplification: how much further the predictions lean than the labels towards the classes that the group has
    /// more often than the others, and away from those that it has less often. Mean over these classes, in shares.
    pub amplification: f64,
    /// Mean standardised risk factor; higher is riskier.
    pub score: f64,
    /// Why, in plain words.
    pub words: String,
    /// What to do about it, in plain words.
    pub advice: String,
}

/// A class that a group has more often or less often than the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imbalance {
    /// The class.
    pub class: usize,
    /// Its share of the group's rows.
    pub rate: f64,
    /// Its share of the others' rows.
    pub others: f64,
    /// `|rate - others|` over the larger of them, 0 to 1.
    pub relative: f64,
}

/// Measures the risk factors and ranks the groups by them.
///
/// # Errors
/// Sizes that do not fit, a class out of range, and logits that are not finite, with the row.
pub fn audit(input: AuditInput<'_>) -> Result<Audit> {
    check(&input)?;
    let rows = RowsSeen::new(&input);
    let all: Vec<usize> = (0..input.y.len()).collect();
    let with_rows = input.groups.groups.iter().filter(|g| !g.rows.is_empty()).count();
    let alpha = (1.0 - input.confidence) / (2 * with_rows.max(1)) as f64;
    let mut out = Audit {
        n: all.len(),
        clusters: rows.clusters(&all),
        metric: input.metric,
        value: value(input.metric, input.y, &rows.class, &all),
        confidence: input.confidence,
        ece: ece(&rows.top, &rows.right, &all).unwrap_or(0.0),
        uncertainty: rows.uncertainty(&all),
        margin: rows.over(&all, |i| rows.margin[i]),
        groups: vec![],
        empty: vec![],
    };
    for (k, g) in input.groups.groups.iter().enumerate() {
        if g.rows.is_empty() {
            out.empty.push(g.name.clone());
        } else {
            out.groups.push(rows.group(&g.name, &g.rows, &all, input.grad_norms.map(|n| n[k]), alpha));
        }
    }
    rank(&mut out);
    Ok(out)
}

fn check(input: &AuditInput<'_>) -> Result<()> {
    let AuditInput { logits, y, classes, groups, grad_norms, clusters, .. } = *input;
    if classes == 0 || y.len().checked_mul(classes) != Some(logits.len()) {
        let (got, rows) = (logits.len(), y.len());
        return Err(Error::new(format!("{got} logits for {rows} rows of {classes} classes"))
            .help("check that the model's output has as many classes as the data"));
    }
    if let Some(i) = y.iter().position(|c| *c >= classes) {
        return Err(Error::new(format!("row {i} has class {}, the model has {classes} classes", y[i])));
    }
    if let Some(i) = logits.iter().position(|v| !v.is_finite()) {
        return Err(Error::new(format!("the model's output for row {} is not finite", i / classes))
            .help("check the input scale in [input] of the contract"));
    }
    if groups.groups.iter().flat_map(|g| &g.rows).any(|i| *i >= y.len()) {
        return Err(Error::new("a group names a row that the data does not have"));
    }
    if clusters.is_some_and(|c| c.len() != y.len()) {
        return Err(Error::new("clusters must be given for every row"));
    }
    match grad_norms {
        Some(n) if n.len() != groups.groups.len() || n.iter().any(|v| !v.is_finite()) => {
            Err(Error::new("gradient norms must be finite, one per group"))
        }
        _ => Ok(()),
    }
}

/// What the model does with each row.
struct RowsSeen<'a> {
    input: &'a AuditInput<'a>,
    /// Class with the largest logit, its probability, its lead over the second logit, and whether it is right.
    class: Vec<usize>,
    top: Vec<f64>,
    margin: Vec<f64>,
    right: Vec<bool>,
    /// Whether the row is a hit of the metric.
    hits: Vec<f64>,
}

impl<'a> RowsSeen<'a> {
    fn new(input: &'a AuditInput<'a>) -> Self {
        let (mut class, mut top, mut margin) = (vec![], vec![], vec![]);
        for row in input.logits.chunks_exact(input.classes) {
            let (c, p, m) = softmax_top(row);
            class.push(c);
            top.push(p);
            margin.push(m);
        }
        let pairs = || input.y.iter().zip(&class);
        let right = pairs().map(|(y, c)| y == c).collect();
        let hits = pairs().map(|(&y, &c)| hit(input.metric, y, c).unwrap_or(0.0)).collect();
        RowsSeen { input, class, top, margin, right, hits }
    }

    fn over(&self, rows: &[usize], f: impl Fn(usize) -> f64) -> f64 {
        mean(rows.iter().map(|&i| f(i))).unwrap_or(0.0)
    }

    fn uncertainty(&self, rows: &[usize]) -> f64 {
        self.over(rows, |i| f64::from(u8::from(self.top[i] < SURE)))
    }

    fn clusters(&self, rows: &[usize]) -> Option<usize> {
        self.input.clusters.map(|c| rows.iter().map(|&i| c[i]).collect::<BTreeSet<_>>().len())
    }

    /// Rows of each class, by label (`of` = `y`) or by prediction.
    fn counts(&self, of: &[usize], rows: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.input.classes];
        rows.iter().for_each(|&i| counts[of[i]] += 1);
        counts
    }

    /// Bounds at level `1 - alpha` each of the metric.
    fn interval(&self, rows: &[usize], alpha: f64) -> [f64; 2] {
        let cells = cells(self.input.metric, self.input.y, rows);
        if cells.is_empty() {
            return [0.0, 1.0];
        }
        let weight = 1.0 / cells.len() as f64;
        let tally = |rows: &[usize]| Tally::of(rows, &self.hits, self.input.clusters);
        let stratum = |(_, rows): (usize, Vec<usize>)| Stratum { weight, tally: tally(&rows), side: 0 };
        let c = contrast(&cells.into_iter().map(stratum).collect::<Vec<_>>(), false, alpha);
        [c.lower().max(0.0), c.upper().min(1.0)]
    }

    fn group(&self, name: &str, rows: &[usize], all: &[usize], grad_norm: Option<f64>, alpha: f64) -> GroupRisk {
        let (metric, y) = (self.input.metric, self.input.y);
        let (own, everybody) = (self.counts(y, rows), self.counts(y, all));
        let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
        let (n, others) = (rows.len(), all.len() - rows.len());
        let mix = (0..own.len()).map(|c| (share(own[c], n) - share(everybody[c], all.len())).abs()).sum::<f64>() / 2.0;
        let predicted = self.counts(&self.class, rows);
        let (mut imbalance, mut leaning) = (None::<Imbalance>, vec![]);
        for class in (0..own.len()).filter(|&c| everybody[c] >= ENOUGH && others > 0) {
            let (rate, other) = (share(own[class], n), share(everybody[class] - own[class], others));
            let relative = (rate - other).abs() / rate.max(other);
            if imbalance.is_none_or(|i| relative > i.relative) {
                imbalance = Some(Imbalance { class, rate, others: other, relative });
            }
            if relative >= UNEVEN {
                leaning.push((rate - other).signum() * (share(predicted[class], n) - rate));
            }
        }
        let positive = metric.class().or((self.input.classes == 2).then_some(1));
        GroupRisk {
            group: name.to_owned(),
            n,
            clusters: self.clusters(rows),
            share: share(n, all.len()),
            value: value(metric, y, &self.class, rows),
            interval: self.interval(rows, alpha),
            uncertainty: self.uncertainty(rows),
            boundary: self.over(rows, |i| self.top[i] * (1.0 - self.top[i])),
            margin: self.over(rows, |i| self.margin[i]),
            grad_norm,
            ece: ece(&self.top, &self.right, rows).unwrap_or(0.0),
            class_mix: mix,
            positive_rate: positive.and_then(|c| own.get(c)).map(|&k| share(k, n)),
            imbalance,
            amplification: mean(leaning.into_iter()).unwrap_or(0.0),
            score: 0.0,
            words: String::new(),
            advice: String::new(),
        }
    }
}

/// Class with the largest logit, its softmax probability, and its lead over the second largest logit (0 for one class).
fn softmax_top(row: &[f32]) -> (usize, f64, f64) {
    let (class, max) =
        row.iter().enumerate().fold((0, f32::NEG_INFINITY), |b, (i, &v)| if v > b.1 { (i, v) } else { b });
    let sum: f64 = row.iter().map(|v| (f64::from(*v) - f64::from(max)).exp()).sum();
    let second = row.iter().enumerate().filter(|(i, _)| *i != class).map(|(_, v)| *v).reduce(f32::max);
    (class, 1.0 / sum, second.map_or(0.0, |v| f64::from(max) - f64::from(v)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::risk::audit_table;
    use super::*;
    use crate::data::groups::Group;

    /// 90 sure and right rows of group a, 10 rows of group b of which the model knows little.
    pub(in super::super) fn sample() -> (Vec<f32>, Vec<usize>, GroupSet) {
        let (mut logits, mut y) = (vec![], vec![]);
        for i in 0..100 {
            let class = i % 2;
            let (right, wrong) = if i < 90 {
                (6.0, 0.0)
            } else if i < 95 {
                (0.4, 0.0)
            } else {
                (0.0, 0.4)
            };
            logits.extend(if class == 0 { [right, wrong] } else { [wrong, right] });
            y.push(class);
        }
        let group = |name: &str, rows: std::ops::Range<usize>| Group { name: name.into(), rows: rows.collect() };
        let groups = vec![group("g=a", 0..90), group("g=b", 90..100), group("g=c", 0..0)];
        let of_row = (0..100).map(|i| vec![u32::from(i >= 90)]).collect();
        (logits, y, GroupSet { groups, of_row })
    }

    pub(in super::super) fn input<'a>(logits: &'a [f32], y: &'a [usize], groups: &'a GroupSet) -> AuditInput<'a> {
        AuditInput {
            logits,
            y,
            classes: 2,
            groups,
            grad_norms: None,
            metric: Metric::Accuracy,
            confidence: 0.95,
            clusters: None,
        }
    }

    #[test]
    fn the_small_unsure_group_comes_first() {
        let (logits, y, groups) = sample();
        let a = audit(input(&logits, &y, &groups)).unwrap();
        let b = &a.groups[0];
        assert_eq!((b.group.as_str(), b.n, b.value, b.uncertainty), ("g=b", 10, Some(0.5), 1.0));
        let p = 1.0 / (1.0 + (-0.4_f64).exp());
        assert!((b.boundary - p * (1.0 - p)).abs() < 1e-6 && (b.ece - (p - 0.5)).abs() < 1e-6, "{b:?}");
        assert!((b.margin - 0.4).abs() < 1e-6 && (a.groups[1].margin - 6.0).abs() < 1e-6);
        assert!(b.score > 0.0 && a.groups[1].score < 0.0 && b.grad_norm.is_none());
        assert_eq!((b.class_mix, b.positive_rate, b.clusters), (0.0, Some(0.5), None));
        assert_eq!((a.empty.as_slice(), a.groups.len()), (&["g=c".to_owned()][..], 2));
        let text = audit_table(&a);
        assert!(text.contains("g=b: ") && text.contains("g=c: no rows") && !text.contains("gradient"), "{text}");
        let norms = [1.0, 3.0, 0.0];
        let a = audit(AuditInput { grad_norms: Some(&norms), ..input(&logits, &y, &groups) });
        assert_eq!(a.unwrap().groups[0].grad_norm, Some(3.0));
    }

    #[test]
    fn intervals_hold_at_once_and_see_clusters() {
        let (logits, y, groups) = sample();
        let free = audit(input(&logits, &y, &groups)).unwrap();
        let one = GroupSet { groups: groups.groups[1..2].to_vec(), of_row: vec![vec![]; 100] };
        let alone = audit(input(&logits, &y, &one)).unwrap();
        let width = |a: &Audit| a.groups[0].interval[1] - a.groups[0].interval[0];
        assert!(width(&free) > width(&alone), "two groups share the confidence");
        let people: Vec<u32> = (0..100).map(|i| i / 5).collect();
        let a = audit(AuditInput { clusters: Some(&people), ..input(&logits, &y, &groups) }).unwrap();
        assert_eq!((a.clusters, a.groups[0].clusters), (Some(20), Some(2)));
        assert!(width(&a) > width(&free), "two people say less than ten rows");
        // A recall counts the rows of its class alone.
        let a = audit(AuditInput { metric: Metric::Recall(1), ..input(&logits, &y, &groups) }).unwrap();
        assert_eq!((a.groups[0].value, a.groups[0].positive_rate), (Some(0.4), Some(0.5)));
    }

    #[test]
    fn uneven_classes_and_what_the_model_makes_of_them() {
        // Class 1: 30 % of a's 100 rows, 10 % of b's. The model says 40 % and 5 %.
        let (mut logits, mut y) = (vec![], vec![]);
        for (labels, predictions) in [(30, 40), (10, 5)] {
            for i in 0..100 {
                y.push(usize::from(i < labels));
                logits.extend(if i < predictions { [0.0, 2.0] } else { [2.0, 0.0] });
            }
        }
        let group = |name: &str, rows: std::ops::Range<usize>| Group { name: name.into(), rows: rows.collect() };
        let groups = GroupSet { groups: vec![group("a", 0..100), group("b", 100..200)], of_row: vec![vec![]; 200] };
        let a = audit(input(&logits, &y, &groups)).unwrap();
        let of = |name: &str| a.groups.iter().find(|g| g.group == name).unwrap();
        let i = of("a").imbalance.unwrap();
        assert_eq!((i.class, i.rate, i.others), (1, 0.3, 0.1));
        assert!((i.relative - 2.0 / 3.0).abs() < 1e-12 && (of("a").class_mix - 0.1).abs() < 1e-12);
        // Class 0 and class 1 lean the same way in a group of two classes.
        assert!((of("a").amplification - 0.1).abs() < 1e-12 && (of("b").amplification - 0.05).abs() < 1e-12);
        // Nine rows of a class are too few to compare.
        let y: Vec<usize> = (0..200).map(|i| usize::from(i < 9)).collect();
        let a = audit(input(&logits, &y, &groups)).unwrap();
        assert!(a.groups.iter().all(|g| g.imbalance.unwrap().class == 0));
    }

    #[test]
    fn wrong_input_is_an_error() {
        let (logits, y, groups) = sample();
        let run = |logits: &[f32], y: &[usize], classes| {
            audit(AuditInput { classes, ..input(logits, y, &groups) }).map(|_| ()).unwrap_err().to_string()
        };
        assert!(run(&logits, &y, 3).contains("200 logits for 100 rows"));
        assert!(run(&logits, &[2; 100], 2).contains("row 0 has class 2"));
        let mut bad = logits.clone();
        bad[7] = f32::NAN;
        assert!(run(&bad, &y, 2).contains("row 3"));
        let short = audit(AuditInput { clusters: Some(&[0]), ..input(&logits, &y, &groups) });
        assert!(short.unwrap_err().to_string().contains("clusters"));
    }
}
