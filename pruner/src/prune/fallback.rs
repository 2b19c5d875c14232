//! What to do where the training rows have no group labels: methods that need none, and words that say so.

use super::recipe::{Labels, PARTS, Recipe};
use super::score::Scorer;
use crate::data::GroupSet;
use crate::error::{Error, Result};

/// The method where the default is asked for and there are no labels: rows that the dense network is unsure of, often
/// those of minorities, weigh more in the scores and in the training (Meyer 2022), which distils the dense network where it is right.
pub const LABEL_FREE: &str = "taylor+pw-loss+ckd";

/// The method for these training rows, and what to tell the user where it is not the one asked for. Rows tell groups
/// apart when an entry of the contract has two or more of them; rows of unknown groups are one.
///
/// # Errors
/// A method that needs labels, other than the default, is refused, with the parts that need none; and one that removes
/// what tells groups apart where the rows of the first entry are of one group, or its groups are the classes `y`.
pub fn for_rows(method: &Recipe, train: &GroupSet, y: &[usize]) -> Result<(Recipe, Option<String>)> {
    let tells_apart = matches!(method.scorer, Scorer::Snnl | Scorer::Ffw);
    if tells_apart && train.are_classes(0, y) {
        return Err(Error::new(format!(
            "method `{method}` removes what tells groups apart, and the groups are the classes"
        ))
        .help("put a column of people first in groups, or choose another way to score, such as worst-group"));
    }
    let entries = train.of_row.iter().map(Vec::len).max().unwrap_or(0);
    let labelled = (0..entries).any(|e| train.of_entry(e).len() > 1);
    let pairs = train.of_entry(0).into_iter().filter(|&g| train.groups[g].rows.len() > 1).count();
    if labelled && tells_apart && pairs < 2 {
        return Err(Error::new(format!(
            "method `{method}` tells the first entry of groups apart, and fewer than two of its groups have two training rows"
        ))
        .help("put another column first in groups, or choose another way to score, such as worst-group"));
    }
    if labelled || !method.needs_labels() {
        return Ok((method.clone(), None));
    }
    let all = match train.groups.as_slice() {
        [] => "no training row has a group".to_owned(),
        groups => format!(
            "all training rows are {}",
            groups.iter().map(|g| format!("`{}`", g.name)).collect::<Vec<_>>().join(" and ")
        ),
    };
    if method.name == "default" {
        let recipe = Recipe { name: format!("{LABEL_FREE} (no group labels)"), ..LABEL_FREE.parse()? };
        let words = format!(
            "{all}, so nothing can be balanced between groups: pruning with {LABEL_FREE}, which needs no group labels. \
             The verdict judges the groups that the rows of `test` have."
        );
        return Ok((recipe, Some(words)));
    }
    let free: Vec<&str> = PARTS.iter().filter(|p| p.labels == Labels::None).map(|p| p.name).collect();
    Err(Error::new(format!("method `{method}` needs group labels, and {all}")).help(format!(
        "sums of {} need none, such as {LABEL_FREE}; or let the classes be the groups: groups = [\"class\"]",
        free.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::terms::testing::groups;

    #[test]
    fn without_labels_the_default_falls_back_and_others_are_refused() {
        let (one, two) = (groups(&[4]), groups(&[2, 2]));
        let default = Recipe::default();
        assert_eq!(for_rows(&default, &two, &[0, 1, 0, 1]).unwrap(), (default.clone(), None));
        for set in [&one, &groups(&[])] {
            let (recipe, words) = for_rows(&default, set, &[0; 4]).unwrap();
            assert!(!recipe.needs_labels() && recipe.name.starts_with(LABEL_FREE));
            assert!(words.unwrap().contains("needs no group labels"));
            for needs in ["worst-group", "snnl", "magnitude+ceag", "last-layer", "bifp", "fair-then-prune"] {
                let e = for_rows(&needs.parse().unwrap(), set, &[0; 4]).unwrap_err().to_string();
                assert!(e.contains(needs) && e.contains("taylor, blend, fisher") && e.contains("pw-loss"), "{e}");
            }
        }
        let free: Recipe = "fisher+at+kd".parse().unwrap();
        for scorer in ["snnl", "ffw"] {
            let e = for_rows(&scorer.parse().unwrap(), &two, &[0, 0, 1, 1]).unwrap_err().to_string();
            assert!(e.contains(scorer) && e.contains("classes"), "{e}");
            assert!(for_rows(&scorer.parse().unwrap(), &two, &[0, 1, 0, 1]).is_ok());
        }
        assert_eq!(for_rows(&free, &one, &[0; 4]).unwrap(), (free, None));
        // One row of a group has no neighbour of its kind.
        for scorer in ["snnl", "ffw"] {
            let e = for_rows(&scorer.parse().unwrap(), &groups(&[3, 1]), &[0, 1, 0, 1]).unwrap_err().to_string();
            assert!(e.contains(scorer) && e.contains("first entry"), "{e}");
        }
    }
}
