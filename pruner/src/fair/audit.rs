//! The pre-check: which groups are at risk before anything is pruned, from the dense model alone.
//!
//! Pruning hurts groups that are small, that the model gets wrong or is unsure of, that lie near its decision
//! boundary, or whose gradient is still large (Tran et al., NeurIPS 2022; Iofinova et al., CVPR 2023). Each of these
//! is a risk factor; the score of a group is the mean of its factors, each standardised over the groups (mean 0,
//! standard deviation 1). It ranks the groups of this data set and means nothing beside another.

use super::metrics::{ece, mean};
use super::stats::{normal_quantile, wilson};
use super::table::{align, percent};
use crate::data::GroupSet;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Top probability under which a row counts as uncertain.
pub const SURE: f64 = 0.9;

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
}

/// The groups by falling risk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Number of rows.
    pub n: usize,
    /// Accuracy on all rows.
    pub accuracy: f64,
    /// Expected calibration error on all rows.
    pub ece: f64,
    /// Share of all rows that the model is unsure of.
    pub uncertainty: f64,
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
    /// Its share of all rows.
    pub share: f64,
    /// Accuracy of the dense model.
    pub accuracy: f64,
    /// Wilson's 95 % interval of `accuracy`, rows taken as independent.
    pub accuracy_interval: [f64; 2],
    /// Share of rows whose top probability is under 0.9.
    pub uncertainty: f64,
    /// Mean of `p (1 - p)`, `p` the top probability: closeness to the decision boundary, at most 0.25.
    pub boundary: f64,
    /// Norm of the group's mean loss gradient.
    pub grad_norm: Option<f64>,
    /// Expected calibration error, 10 bins.
    pub ece: f64,
    /// Total variation distance between the group's mix of classes and everybody's, 0 to 1.
    pub class_mix: f64,
    /// Mean standardised risk factor; higher is riskier.
    pub score: f64,
    /// Why, in plain words.
    pub words: String,
}

/// Ranks the groups by risk.
///
/// # Errors
/// Sizes that do not fit, a class out of range, and logits that are not finite, with the row.
pub fn audit(input: AuditInput<'_>) -> Result<Audit> {
    check(&input)?;
    let AuditInput { logits, y, classes, groups, grad_norms } = input;
    let (mut top, mut right) = (Vec::with_capacity(y.len()), Vec::with_capacity(y.len()));
    for (row, &y) in logits.chunks_exact(classes).zip(y) {
        let (class, p) = softmax_top(row);
        top.push(p);
        right.push(class == y);
    }
    let all: Vec<usize> = (0..y.len()).collect();
    let mix = |rows: &[usize]| {
        let mut m = vec![0.0; classes];
        rows.iter().for_each(|&i| m[y[i]] += 1.0 / rows.len() as f64);
        m
    };
    let over = |rows: &[usize], f: &dyn Fn(usize) -> f64| mean(rows.iter().map(|&i| f(i))).unwrap_or(0.0);
    let accuracy = |rows: &[usize]| over(rows, &|i| f64::from(u8::from(right[i])));
    let uncertainty = |rows: &[usize]| over(rows, &|i| f64::from(u8::from(top[i] < SURE)));
    let (all_mix, z) = (mix(&all), normal_quantile(0.975));
    let mut out = Audit {
        n: y.len(),
        accuracy: accuracy(&all),
        ece: ece(&top, &right, &all).unwrap_or(0.0),
        uncertainty: uncertainty(&all),
        groups: vec![],
        empty: vec![],
    };
    for (k, g) in groups.groups.iter().enumerate() {
        if g.rows.is_empty() {
            out.empty.push(g.name.clone());
            continue;
        }
        let (n, acc) = (g.rows.len() as f64, accuracy(&g.rows));
        let (lo, hi) = wilson(acc * n, n, z);
        out.groups.push(GroupRisk {
            group: g.name.clone(),
            n: g.rows.len(),
            share: n / y.len() as f64,
            accuracy: acc,
            accuracy_interval: [lo, hi],
            uncertainty: uncertainty(&g.rows),
            boundary: over(&g.rows, &|i| top[i] * (1.0 - top[i])),
            grad_norm: grad_norms.map(|n| n[k]),
            ece: ece(&top, &right, &g.rows).unwrap_or(0.0),
            class_mix: mix(&g.rows).iter().zip(&all_mix).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0,
            score: 0.0,
            words: String::new(),
        });
    }
    rank(&mut out);
    Ok(out)
}

fn check(input: &AuditInput<'_>) -> Result<()> {
    let AuditInput { logits, y, classes, groups, grad_norms } = *input;
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
    match grad_norms {
        Some(n) if n.len() != groups.groups.len() || n.iter().any(|v| !v.is_finite()) => {
            Err(Error::new("gradient norms must be finite, one per group"))
        }
        _ => Ok(()),
    }
}

/// Class with the largest logit and its softmax probability.
fn softmax_top(row: &[f32]) -> (usize, f64) {
    let (class, max) =
        row.iter().enumerate().fold((0, f32::NEG_INFINITY), |b, (i, &v)| if v > b.1 { (i, v) } else { b });
    let sum: f64 = row.iter().map(|v| (f64::from(*v) - f64::from(max)).exp()).sum();
    (class, 1.0 / sum)
}

/// A risk factor: what it is of a group, and what to say of a group that stands out in it.
type Factor = (fn(&GroupRisk) -> f64, fn(&GroupRisk, &Audit) -> String);

const FACTORS: [Factor; 7] = [
    (|g| -g.share, |g, _| format!("small: {} of the rows", percent(Some(g.share)))),
    (
        |g| -g.accuracy,
        |g, a| format!("less often right: {} against {} overall", percent(Some(g.accuracy)), percent(Some(a.accuracy))),
    ),
    (
        |g| g.uncertainty,
        |g, a| {
            let (own, all) = (percent(Some(g.uncertainty)), percent(Some(a.uncertainty)));
            format!("the model is unsure of {own} of its rows against {all} overall")
        },
    ),
    (|g| g.boundary, |g, _| format!("near the decision boundary: mean p(1-p) is {:.3}", g.boundary)),
    (|g| g.grad_norm.unwrap_or(0.0), |g, _| format!("large gradient: norm {:.3}", g.grad_norm.unwrap_or(0.0))),
    (
        |g| g.ece,
        |g, a| format!("badly calibrated: ECE {} against {} overall", percent(Some(g.ece)), percent(Some(a.ece))),
    ),
    (
        |g| g.class_mix,
        |g, _| format!("another mix of classes: {} of its rows would have to change class", percent(Some(g.class_mix))),
    ),
];

fn rank(a: &mut Audit) {
    let mut reasons: Vec<Vec<(f64, String)>> = vec![vec![]; a.groups.len()];
    for (k, (factor, say)) in FACTORS.iter().enumerate() {
        if k == 4 && a.groups.iter().all(|g| g.grad_norm.is_none()) {
            continue;
        }
        let values: Vec<f64> = a.groups.iter().map(factor).collect();
        let centre = mean(values.iter().copied()).unwrap_or(0.0);
        let sd = mean(values.iter().map(|v| (v - centre).powi(2))).unwrap_or(0.0).sqrt();
        for (i, v) in values.iter().enumerate() {
            let z = if sd > 1e-12 { (v - centre) / sd } else { 0.0 };
            reasons[i].push((z, say(&a.groups[i], a)));
        }
    }
    for (g, mut why) in a.groups.iter_mut().zip(reasons) {
        g.score = mean(why.iter().map(|r| r.0)).unwrap_or(0.0);
        why.retain(|r| r.0 > 0.5);
        why.sort_by(|a, b| b.0.total_cmp(&a.0));
        g.words = why.into_iter().take(3).map(|r| r.1).collect::<Vec<_>>().join("; ");
        if g.words.is_empty() {
            g.words = "nothing stands out".to_owned();
        }
    }
    a.groups.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// The ranking as text for a terminal; ends with a newline.
pub fn audit_table(a: &Audit) -> String {
    let gradients = a.groups.iter().any(|g| g.grad_norm.is_some());
    let mut head = vec!["group at risk", "score", "rows", "share", "accuracy", "unsure", "p(1-p)", "ECE", "mix"];
    head.extend(gradients.then_some("gradient"));
    let mut rows: Vec<Vec<String>> = vec![head.into_iter().map(str::to_owned).collect()];
    for g in &a.groups {
        let mut row = vec![g.group.clone(), format!("{:+.2}", g.score), g.n.to_string()];
        row.extend([g.share, g.accuracy, g.uncertainty].map(|v| percent(Some(v))));
        row.extend([format!("{:.3}", g.boundary), percent(Some(g.ece)), percent(Some(g.class_mix))]);
        row.extend(gradients.then(|| g.grad_norm.map_or_else(String::new, |n| format!("{n:.3}"))));
        rows.push(row);
    }
    let mut out = align(&rows) + "\n";
    for g in a.groups.iter().filter(|g| g.score > 0.0) {
        out.push_str(&format!("{}: {}\n", g.group, g.words));
    }
    for name in &a.empty {
        out.push_str(&format!("{name}: no rows, so nothing is known\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::groups::Group;

    /// 90 sure and right rows of group a, 10 rows of group b of which the model knows little.
    fn sample() -> (Vec<f32>, Vec<usize>, GroupSet) {
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

    #[test]
    fn the_small_unsure_group_comes_first() {
        let (logits, y, groups) = sample();
        let a = audit(AuditInput { logits: &logits, y: &y, classes: 2, groups: &groups, grad_norms: None }).unwrap();
        let b = &a.groups[0];
        assert_eq!((b.group.as_str(), b.n, b.accuracy, b.uncertainty), ("g=b", 10, 0.5, 1.0));
        let p = 1.0 / (1.0 + (-0.4_f64).exp());
        assert!((b.boundary - p * (1.0 - p)).abs() < 1e-6 && (b.ece - (p - 0.5)).abs() < 1e-6, "{b:?}");
        assert!(b.score > 0.0 && a.groups[1].score < 0.0 && b.grad_norm.is_none());
        assert_eq!((a.empty.as_slice(), a.groups.len()), (&["g=c".to_owned()][..], 2));
        let text = audit_table(&a);
        assert!(text.contains("g=b: ") && text.contains("g=c: no rows") && !text.contains("gradient"), "{text}");
        let norms = [1.0, 3.0, 0.0];
        let a = audit(AuditInput { logits: &logits, y: &y, classes: 2, groups: &groups, grad_norms: Some(&norms) });
        assert_eq!(a.unwrap().groups[0].grad_norm, Some(3.0));
    }

    #[test]
    fn wrong_input_is_an_error() {
        let (logits, y, groups) = sample();
        let run = |logits: &[f32], y: &[usize], classes| {
            audit(AuditInput { logits, y, classes, groups: &groups, grad_norms: None })
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        assert!(run(&logits, &y, 3).contains("200 logits for 100 rows"));
        assert!(run(&logits, &[2; 100], 2).contains("row 0 has class 2"));
        let mut bad = logits.clone();
        bad[7] = f32::NAN;
        assert!(run(&bad, &y, 2).contains("row 3"));
    }
}
