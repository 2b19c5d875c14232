//! Two scores made one. A gradient on rows that the network knows by heart is mostly noise, and a norm knows nothing of the
//! rows: which of the two is the better guide differs between networks, and their mean is seldom far from it.

use super::Scores;

/// In every class, the channels by the geometric mean of their shares of the class in both scores; the class keeps the
/// sum that it has in the first, since norms do not compare between layers. A channel that is nothing in one score
/// stays nothing.
pub fn blend(over_layers: Scores, within: &Scores) -> Scores {
    let class = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        // Shares would scale all channels of the class alike, so the sum at the end does what they would.
        let mean: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a.max(0.0) * b.max(0.0)).sqrt()).collect();
        let (sum, of_means) = (a.iter().sum::<f64>(), mean.iter().sum::<f64>());
        // Where one score says nothing of the class, the other has nothing to be mixed with.
        if of_means > 0.0 { mean.iter().map(|m| m * sum / of_means).collect() } else { a.clone() }
    };
    let group = |(a, b): (&Vec<Vec<f64>>, &Vec<Vec<f64>>)| a.iter().zip(b).map(class).collect();
    Scores { groups: over_layers.groups.iter().zip(&within.groups).map(group).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_their_sums_and_channels_are_ranked_by_both() {
        let of = |class: &[f64]| Scores { groups: vec![vec![class.to_vec(), vec![0.5]]] };
        let found = blend(of(&[0.1, 0.4, 0.0]), &of(&[90.0, 10.0, 50.0]));
        let class = &found.groups[0][0];
        // Geometric means 3, 2 and 0 share 0.5.
        for (found, want) in class.iter().zip([0.3, 0.2, 0.0]) {
            assert!((found - want).abs() < 1e-12, "{class:?}");
        }
        assert_eq!(found.groups[0][1], [0.5]);
        // A score that is 0 everywhere leaves the other as it is.
        assert_eq!(blend(of(&[0.1, 0.4]), &of(&[0.0, 0.0])), of(&[0.1, 0.4]));
    }
}
