//! How far a verdict is from its limits.

use super::verdict::Verdict;

/// The least distance between a bound of the verdict and its limit: at least 0 exactly where every bound keeps its limit
/// (PASS), and `None` where some bound is missing, for want of rows or clusters.
pub fn slack(v: &Verdict) -> Option<f64> {
    let groups = v.groups.iter().map(|g| {
        let excess = g.excess_drop.upper.filter(|_| g.n > 0).map(|upper| v.limits.max_excess_drop - upper);
        let floor = v.limits.min_metric.map(|floor| g.int8_interval[0] - floor);
        Some(excess?.min(floor.unwrap_or(f64::INFINITY)))
    });
    let gaps = v.gap.entries.iter().filter_map(|e| {
        Some(e.upper.map(|upper| v.gap.limit.unwrap_or(1.0) - upper)).filter(|_| v.gap.limit.is_some())
    });
    groups.chain(gaps).try_fold(f64::INFINITY, |least, s| Some(least.min(s?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use crate::data::groups::Group;
    use crate::fair::Outcome;
    use crate::fair::verdict::sample_verdict;
    use proptest::prelude::*;

    fn verdict(limits: &str, flips: &[usize], rows: usize) -> Verdict {
        let contract = Contract::parse(&format!("[fairness]\ngroups = [\"sex\"]\n{limits}\n")).unwrap();
        let of = |name: &str, from: usize, to: usize| Group { name: name.into(), rows: (from..to).collect() };
        let small = (0..rows).map(|i| usize::from(flips.contains(&i))).collect();
        let groups = vec![of("sex=f", 0, rows / 3), of("sex=m", rows / 3, rows)];
        sample_verdict(&contract, vec![("sex", groups)], vec![0; rows], small)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Slack and verdict say the same; tighter limits by some margin hold exactly where the slack is that large.
        #[test]
        fn slack_is_what_is_left_to_the_limits(
            flips in prop::collection::vec(0usize..400, 0..60), rows in 40usize..400,
            excess in 0.05f64..0.5, gap in prop::option::of(0.05f64..0.5), floor in prop::option::of(0.3f64..0.95),
            margin in 0.001f64..0.04, noise in prop_oneof![Just(0.0), 0.001f64..0.1],
        ) {
            let limits = |margin: f64| {
                let gap = gap.map_or(String::new(), |g| format!("max_gap = {:.12}\n", g - margin));
                let floor = floor.map_or(String::new(), |f| format!("min_metric = {:.12}\n", f + margin));
                format!("max_excess_drop = {:.12}\n{gap}{floor}group_noise = {noise}", excess - margin)
            };
            let v = verdict(&limits(0.0), &flips, rows);
            let slack = slack(&v).unwrap();
            prop_assert_eq!(slack >= 0.0, v.verdict == Outcome::Pass, "{}", slack);
            if (slack - margin).abs() > 1e-9 {
                let tight = verdict(&limits(margin), &flips, rows);
                prop_assert_eq!(slack >= margin, tight.verdict == Outcome::Pass, "{} {}", slack, margin);
            }
        }
    }

    #[test]
    fn a_missing_bound_leaves_no_slack() {
        let mut v = verdict("max_excess_drop = 0.5", &[], 60);
        assert!(slack(&v).is_some());
        v.groups[1].excess_drop.upper = None;
        assert_eq!(slack(&v), None);
        let mut v = verdict("max_excess_drop = 0.5", &[], 60);
        v.groups[0].n = 0;
        assert_eq!(slack(&v), None);
    }
}
