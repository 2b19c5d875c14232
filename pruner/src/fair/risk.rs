//! From risk factors to a ranking with words: what stands out in a group, and what to do about it.
//!
//! Each factor is standardised over the groups (mean 0, standard deviation 1). Factors that see the same thing are a
//! family and have one vote together; the score of a group is the mean over the families. It ranks the groups of this
//! data set and means nothing beside another. A spread that is too small to matter is not
//! blown up: every factor has a scale that its standard deviation is raised to, or two groups that hardly differ would
//! lie as far apart as two that differ much.

use super::audit::{Audit, GroupRisk};
use super::metrics::{mean, sign};
use super::table::{align, percent};
use crate::contract::Metric;

/// One risk factor of a group.
pub struct Factor {
    /// Its name in tables.
    pub name: &'static str,
    /// What it sees; factors of one family have one vote together.
    family: Family,
    /// Its value, turned so that more is riskier; `None` where it was not measured.
    pub risk: fn(&GroupRisk, Metric) -> Option<f64>,
    /// Standard deviation under which the groups count as alike.
    scale: fn(&Audit) -> f64,
    /// What to say of a group that stands out.
    say: fn(&GroupRisk, &Audit) -> String,
    /// What to do for it.
    advice: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Size,
    Errors,
    Closeness,
    Gradient,
    Calibration,
    Classes,
}

const COLLECT: &str = "collect more of its rows, to train on and to judge by";
const PROTECT: &str = "keep it in the contract, so that pruning holds its losses down";
const CALIBRATE: &str = "check the model's calibration on it before its probabilities are used";
const CLASSES: &str = "look at it class by class, e.g. with the metric macro_recall or recall:<class>";

/// All factors: Tran et al. (share, accuracy, boundary, gradient), Iofinova et al. (uncertainty, calibration, classes).
pub const FACTORS: [Factor; 10] = [
    Factor {
        name: "share",
        family: Family::Size,
        risk: |g, _| Some(-g.share),
        scale: |_| 0.02,
        say: |g, _| format!("small: {} of the rows", percent(Some(g.share))),
        advice: COLLECT,
    },
    Factor {
        name: "metric",
        family: Family::Errors,
        risk: |g, metric| g.value.map(|v| -sign(metric) * v),
        scale: |_| 0.01,
        say: |g, a| format!("already worse: {} {}, overall {}", a.metric, percent(g.value), percent(a.value)),
        advice: PROTECT,
    },
    Factor {
        name: "uncertainty",
        family: Family::Closeness,
        risk: |g, _| Some(g.uncertainty),
        scale: |_| 0.02,
        say: |g, a| {
            let (own, all) = (percent(Some(g.uncertainty)), percent(Some(a.uncertainty)));
            format!("the model is unsure of {own} of its rows, overall {all}")
        },
        advice: PROTECT,
    },
    Factor {
        name: "boundary",
        family: Family::Closeness,
        risk: |g, _| Some(g.boundary),
        scale: |_| 0.005,
        say: |g, _| format!("near the decision boundary: mean p(1-p) {:.3}", g.boundary),
        advice: PROTECT,
    },
    Factor {
        name: "margin",
        family: Family::Closeness,
        risk: |g, _| Some(-g.margin),
        scale: |a| 0.05 * a.margin,
        say: |g, a| format!("close calls: the first class leads by {:.2}, overall {:.2}", g.margin, a.margin),
        advice: PROTECT,
    },
    Factor {
        name: "gradient",
        family: Family::Gradient,
        risk: |g, _| g.grad_norm,
        scale: |a| 0.05 * mean(a.groups.iter().filter_map(|g| g.grad_norm)).unwrap_or(0.0),
        say: |g, a| {
            let all = mean(a.groups.iter().filter_map(|g| g.grad_norm)).unwrap_or(0.0);
            let own = g.grad_norm.unwrap_or(0.0);
            format!("a change of weights moves its loss much: gradient {own:.2}, mean of the groups {all:.2}")
        },
        advice: PROTECT,
    },
    Factor {
        name: "calibration",
        family: Family::Calibration,
        risk: |g, _| Some(g.ece),
        scale: |_| 0.01,
        say: |g, a| format!("confidence off by {}, overall {}", percent(Some(g.ece)), percent(Some(a.ece))),
        advice: CALIBRATE,
    },
    Factor {
        name: "class mix",
        family: Family::Classes,
        risk: |g, _| Some(g.class_mix),
        scale: |_| 0.02,
        say: |g, _| format!("another mix of classes: {} of its rows differ", percent(Some(g.class_mix))),
        advice: CLASSES,
    },
    Factor {
        name: "imbalance",
        family: Family::Classes,
        risk: |g, _| g.imbalance.map(|i| i.relative),
        scale: |_| 0.1,
        say: |g, _| {
            g.imbalance.map_or_else(String::new, |i| {
                let kind = if i.rate < i.others { "rarer" } else { "more common" };
                let (own, others) = (percent(Some(i.rate)), percent(Some(i.others)));
                format!("class {} is {kind} than elsewhere: {own} against {others}", i.class)
            })
        },
        advice: CLASSES,
    },
    Factor {
        name: "amplification",
        family: Family::Classes,
        risk: |g, _| Some(g.amplification),
        scale: |_| 0.01,
        say: |g, _| format!("the model overstates its mix of classes by {}", percent(Some(g.amplification))),
        advice: CLASSES,
    },
];

/// Standard deviations over the mean from which a factor is told as a reason.
const STANDS_OUT: f64 = 0.5;
/// Reasons told at most.
const REASONS: usize = 3;

/// How far each group's factor lies over the mean of the groups, in standard deviations (at least `scale`). 0 for
/// groups without a value; `None` where no group has one.
fn standardise(values: &[Option<f64>], scale: f64) -> Option<Vec<f64>> {
    let centre = mean(values.iter().flatten().copied())?;
    let sd = mean(values.iter().flatten().map(|v| (v - centre).powi(2)))?.sqrt().max(scale).max(1e-12);
    Some(values.iter().map(|v| v.map_or(0.0, |v| (v - centre) / sd)).collect())
}

/// Sets score, words and advice of every group and puts the most endangered first.
pub(super) fn rank(a: &mut Audit) {
    let mut factors: Vec<Vec<(f64, &Factor)>> = vec![vec![]; a.groups.len()];
    for factor in &FACTORS {
        let values: Vec<Option<f64>> = a.groups.iter().map(|g| (factor.risk)(g, a.metric)).collect();
        let Some(z) = standardise(&values, (factor.scale)(a)) else { continue };
        factors.iter_mut().zip(z).for_each(|(r, z)| r.push((z, factor)));
    }
    let told: Vec<_> = a.groups.iter().zip(&factors).map(|(g, of)| (score(of), tell(g, a, of))).collect();
    for (g, (score, (words, advice))) in a.groups.iter_mut().zip(told) {
        (g.score, g.words, g.advice) = (score, words, advice);
    }
    a.groups.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// Mean over the families of the mean of their factors.
fn score(factors: &[(f64, &Factor)]) -> f64 {
    let mut families: Vec<Family> = factors.iter().map(|f| f.1.family).collect();
    families.dedup();
    let of = |family| mean(factors.iter().filter(|f| f.1.family == family).map(|f| f.0));
    mean(families.into_iter().filter_map(of)).unwrap_or(0.0)
}

/// Words and advice from the factors in which a group stands out, the largest first, one of each family.
fn tell(g: &GroupRisk, a: &Audit, factors: &[(f64, &Factor)]) -> (String, String) {
    let mut why: Vec<(f64, &Factor)> = factors.iter().filter(|f| f.0 > STANDS_OUT).copied().collect();
    why.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut reasons: Vec<&Factor> = vec![];
    for (_, factor) in why {
        if reasons.len() < REASONS && reasons.iter().all(|r| r.family != factor.family) {
            reasons.push(factor);
        }
    }
    if reasons.is_empty() {
        return ("nothing stands out".to_owned(), String::new());
    }
    let words: Vec<String> = reasons.iter().map(|f| (f.say)(g, a)).collect();
    let mut advice: Vec<&str> = vec![];
    for f in reasons {
        if !advice.contains(&f.advice) {
            advice.push(f.advice);
        }
    }
    (words.join("; "), advice.join("; "))
}

/// Clusters under which a measurement speaks of these few alone.
const FEW: usize = 5;

/// What a score is called.
pub fn level(score: f64) -> &'static str {
    match score {
        s if s > 0.5 => "high",
        s if s > 0.0 => "some",
        _ => "low",
    }
}

/// What the table means and what to do, for who sees it for the first time.
pub const LEAD: &str = "Where to look first: the groups that stand out on the dense model and its data, before pruning, \
    on top. What stands out need not be what pruning hurts. For these: collect more rows, keep them in the contract \
    (prune holds the loss of every group that it names), and do what stands beside their names. The score compares the \
    groups of this table with each other; it is no probability and no forecast.";

/// The ranking as text for a terminal; ends with a newline.
pub fn audit_table(a: &Audit) -> String {
    let gradients = a.groups.iter().any(|g| g.grad_norm.is_some());
    let metric = a.metric.to_string();
    let mut head = vec!["group", "risk", "score", "rows"];
    head.extend(a.clusters.map(|_| "clusters"));
    head.extend(["share", &metric, "unsure", "p(1-p)", "margin", "ECE", "mix", "imbalance"]);
    head.extend(gradients.then_some("gradient"));
    let mut rows: Vec<Vec<String>> = vec![head.into_iter().map(str::to_owned).collect()];
    for g in &a.groups {
        let mut row = vec![g.group.clone(), level(g.score).to_owned(), format!("{:+.2}", g.score), g.n.to_string()];
        row.extend(g.clusters.map(|c| c.to_string()));
        let [lo, hi] = g.interval.map(|b| 100.0 * b);
        row.extend([percent(Some(g.share)), format!("{} [{lo:.1}, {hi:.1}]", percent(g.value))]);
        row.extend([percent(Some(g.uncertainty)), format!("{:.3}", g.boundary), format!("{:.2}", g.margin)]);
        row.extend([g.ece, g.class_mix].map(|v| percent(Some(v))));
        row.push(g.imbalance.map_or_else(|| "–".to_owned(), |i| percent(Some(i.relative))));
        row.extend(gradients.then(|| g.grad_norm.map_or_else(String::new, |n| format!("{n:.3}"))));
        rows.push(row);
    }
    let mut out = format!("{LEAD}\n\n{}\n", align(&rows));
    for g in a.groups.iter().filter(|g| g.score > 0.0) {
        out.push_str(&format!("{}: {}\n", g.group, g.words));
        if !g.advice.is_empty() {
            out.push_str(&format!("  → {}\n", g.advice));
        }
    }
    for name in &a.empty {
        out.push_str(&format!("{name}: no rows, so nothing is known\n"));
    }
    let few: Vec<&str> =
        a.groups.iter().filter(|g| g.clusters.is_some_and(|c| c < FEW)).map(|g| g.group.as_str()).collect();
    if !few.is_empty() {
        out.push_str(&format!(
            "Fewer than {FEW} clusters (people, say) stand behind {}: what is measured may be true of these alone.\n",
            few.join(", ")
        ));
    }
    if a.groups.len() == 1 {
        out.push_str("One group has nobody to be compared with: name a column with at least two values.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::audit::tests::{input, sample};
    use super::super::audit::{AuditInput, audit};
    use super::*;

    #[test]
    fn small_differences_are_not_blown_up() {
        assert_eq!(standardise(&[Some(0.25), Some(0.75)], 0.01), Some(vec![-1.0, 1.0]));
        let z = standardise(&[Some(0.100), Some(0.102)], 0.01).unwrap();
        assert!(z[1] > 0.0 && z[1] < 0.11, "{z:?}");
        assert_eq!(standardise(&[None, Some(1.0), Some(3.0)], 0.0), Some(vec![0.0, -1.0, 1.0]));
        assert_eq!(standardise(&[None], 0.1), None);
    }

    #[test]
    fn a_family_has_one_vote_and_one_reason() {
        let (logits, y, groups) = sample();
        let a = audit(input(&logits, &y, &groups)).unwrap();
        // Size, errors, closeness, calibration; the classes are alike in both groups.
        assert!((a.groups[0].score - 4.0 / 5.0).abs() < 1e-9, "{}", a.groups[0].score);
        let words = &a.groups[0].words;
        let closeness = ["unsure", "boundary", "close calls"].iter().filter(|w| words.contains(**w)).count();
        assert!(closeness <= 1 && words.split("; ").count() == 3, "{words}");
    }

    #[test]
    fn every_reason_has_words_and_a_way_out() {
        let (logits, y, groups) = sample();
        let norms = [1.0, 3.0, 0.0];
        let people: Vec<u32> = (0..100).map(|i| i / 5).collect();
        let a = audit(AuditInput { grad_norms: Some(&norms), clusters: Some(&people), ..input(&logits, &y, &groups) })
            .unwrap();
        for factor in &FACTORS {
            assert!((factor.scale)(&a) > 0.0 && !factor.advice.is_empty(), "{}", factor.name);
            a.groups.iter().for_each(|g| assert!(!(factor.say)(g, &a).is_empty(), "{}", factor.name));
        }
        let text = audit_table(&a);
        for want in ["collect more rows", "clusters", "gradient", "margin", "high", "low", "  → ", "g=b: small: 10.0 %"]
        {
            assert!(text.contains(want), "{want}: {text}");
        }
        assert_eq!(a.groups[1].words, "nothing stands out");
    }

    #[test]
    fn more_false_positives_are_a_risk() {
        // Group b has all the false positives of class 1.
        let (logits, y, groups) = sample();
        let a = audit(AuditInput { metric: Metric::Fpr(1), ..input(&logits, &y, &groups) }).unwrap();
        let b = &a.groups[0];
        assert!(b.group == "g=b" && b.value > a.value && b.score > 0.7, "{b:?}");
    }
}
