//! What wrong labels of groups can do to a mean.
//!
//! Let `n` rows of a group hold values in {-1, 0, 1}, and let a share `ε` of the group's labels be wrong: of its `N` rows up to
//! `a = ε N` belong to others, and up to `a` rows of others belong to it. Where the metric counts rows of one class only,
//! `n` is less than `N`, and all `a` may be among them. The true group's mean is then
//! `(S - S_out + S_in) / (n - n_out + n_in)`. It is largest when the rows that leave are its -1s, then its 0s, and the rows that
//! come are the others' 1s, of which there are only so many; and smallest the other way round. No model of who is
//! mislabelled is assumed, so the bound holds for the worst one; the price is its width.
//!
//! How many such rows there are is seen in a sample only. A cap at the number seen would move with the draw, and a PASS be
//! won by draws with few of them; so each cap is the exact upper limit of that number (Clopper & Pearson 1934), which
//! takes a share of the verdict's error. Rows of a cluster count as one there: the largest design effect that there is
//! (Kish 1965, with a correlation of 1).

use super::contrast::Tally;
use super::stats::exact_upper;

/// How far up and down the mean of `own`, whose rows are among those of `all`, can be from the true group's when so many
/// labels are wrong each way. Each direction rests on two limits, each of which errs with probability `alpha`.
pub fn label_noise(own: &Tally, all: &Tally, wrong: f64, alpha: f64) -> [f64; 2] {
    let others = all.without(own);
    let most = |t: &Tally, count: f64| most(t, count, alpha);
    let up = rise(own.rows, [own.pos, own.neg], [most(own, own.neg), most(&others, others.pos)], wrong);
    let down = rise(own.rows, [own.neg, own.pos], [most(own, own.pos), most(&others, others.neg)], wrong);
    [up, down]
}

/// Upper limit of the number of rows of a kind, in as many rows as `t` has, of which it holds `count`.
fn most(t: &Tally, count: f64, alpha: f64) -> f64 {
    if t.rows <= 0.0 {
        return 0.0;
    }
    let squares = t.clusters.as_ref().map_or(t.rows, |c| c.iter().map(|c| c.rows * c.rows).sum());
    let effective = t.rows * t.rows / squares;
    t.rows * exact_upper(count / t.rows * effective, effective, alpha)
}

/// Most by which the mean of `n` rows, `pos` of them 1 and `neg` of them -1, can rise when `wrong` rows leave and come, at most
/// so many -1s among those that leave and 1s among those that come as `caps` says.
pub(super) fn rise(n: f64, [pos, neg]: [f64; 2], caps: [f64; 2], wrong: f64) -> f64 {
    if n <= 0.0 {
        return 0.0;
    }
    let [leaves, comes] = caps.map(|cap| wrong.min(cap));
    let sum = pos - neg + leaves + comes;
    // Zeros that leave make a sum over 0 weigh more; zeros that come make one under 0 weigh less.
    let rows = if sum >= 0.0 { n - wrong.min(n - pos) + comes } else { n - leaves + wrong };
    let most = if rows > 0.0 { (sum / rows).min(1.0) } else { 1.0 };
    (most - (pos - neg) / n).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally(values: &[f64]) -> Tally {
        let rows: Vec<usize> = (0..values.len()).collect();
        Tally::of(&rows, values, None)
    }

    #[test]
    fn worst_cases_by_hand() {
        // Ten rows, two of them 1 and one -1; others have three 1s. One label in ten is wrong: the -1 leaves, a 1 comes.
        let up = rise(10.0, [2.0, 1.0], [1.0, 3.0], 1.0);
        assert!((up - (0.3 - 0.1)).abs() < 1e-12, "{up}");
        // A 1 leaves, and others have no -1 to come, but zeros.
        let down = rise(10.0, [1.0, 2.0], [2.0, 0.0], 1.0);
        assert!((down - 0.1).abs() < 1e-12, "{down}");
        let (own, all) = (tally(&[1.0, -1.0, 0.0]), tally(&[1.0, -1.0, 0.0, 1.0]));
        assert_eq!(label_noise(&own, &all, 0.0, 0.05), [0.0, 0.0]);
        // More labels may be wrong than the class has rows in the group: the whole mean is in doubt.
        assert!((rise(2.0, [1.0, 1.0], [2.0, 5.0], 20.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn fewer_rows_and_clusters_cap_less() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 50 == 0))).collect();
        let rows: Vec<usize> = (0..200).collect();
        let clusters: Vec<u32> = (0..200).map(|i| i / 10).collect();
        let (plain, clustered) = (Tally::of(&rows, &values, None), Tally::of(&rows, &values, Some(&clusters)));
        let (few, many) = (most(&plain, plain.pos, 0.01), most(&clustered, clustered.pos, 0.01));
        assert!(plain.pos < few && few < many && many < 200.0, "{few} {many}");
    }

    proptest! {
        /// No choice of rows that are exchanged moves the mean further.
        #[test]
        fn no_exchange_goes_further(
            own in prop::collection::vec(-1i8..2, 1..30),
            others in prop::collection::vec(-1i8..2, 0..30),
            wrong in 0usize..20,
            out in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            come in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let own: Vec<f64> = own.into_iter().map(f64::from).collect();
            let others: Vec<f64> = others.into_iter().map(f64::from).collect();
            let pick = |from: &[f64], of: Vec<prop::sample::Index>| -> Vec<usize> {
                let mut at: Vec<usize> = of.iter().filter(|_| !from.is_empty()).map(|i| i.index(from.len())).collect();
                at.sort_unstable();
                at.dedup();
                at.truncate(wrong);
                at
            };
            let (out, come) = (pick(&own, out), pick(&others, come));
            let kept = own.iter().enumerate().filter(|(i, _)| !out.contains(i)).map(|(_, v)| *v);
            let truth: Vec<f64> = kept.chain(come.iter().map(|&i| others[i])).collect();
            prop_assume!(!truth.is_empty());
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let all = [own.clone(), others].concat();
            let [up, down] = label_noise(&tally(&own), &tally(&all), wrong as f64, 0.05);
            let moved = mean(&truth) - mean(&own);
            prop_assert!(moved <= up + 1e-9 && -moved <= down + 1e-9, "{moved} {up} {down}");
        }
    }
}
