//! Named groups of rows: a column's values, or the cells of an intersection; and clusters of rows.

use super::{Column, Rows};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Most groups of one contract. With more, no realistic split holds enough rows of each for a verdict.
pub const MAX_GROUPS: usize = 64;

/// The value of a row whose group nobody knows. Such rows are a group like any other, so that no one drops out of a
/// verdict unseen.
pub const UNKNOWN: &str = "unknown";

/// Whether a text says that a value is missing: nothing, `unknown`, `nan`, `<NA>`, `n/a`, `null` or `?`, in any case.
/// `none` and `NA` are not among them, since both are also names of things.
pub fn is_unknown(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "" | UNKNOWN | "nan" | "<na>" | "n/a" | "null" | "?")
}

/// One group of people: a name and its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `gender=female`, or `gender=female*age_band=under28`.
    pub name: String,
    /// Row indices, ascending.
    pub rows: Vec<usize>,
}

/// All groups that a contract names, on one split. Groups of different columns overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSet {
    /// In the contract's order, then by value.
    pub groups: Vec<Group>,
    /// Per row, the indices of the groups that it belongs to (one per contract entry).
    pub of_row: Vec<Vec<u32>>,
}

impl GroupSet {
    /// Indices of the groups that the contract's entry number `entry` makes; they partition the rows.
    pub fn of_entry(&self, entry: usize) -> Vec<usize> {
        let mut found: Vec<usize> = self.of_row.iter().filter_map(|g| g.get(entry)).map(|&g| g as usize).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether an entry makes groups of which each is of one class of `y`.
    pub fn are_classes(&self, entry: usize, y: &[usize]) -> bool {
        let groups = self.of_entry(entry);
        let one_class = |g: &usize| self.groups[*g].rows.windows(2).all(|pair| y[pair[0]] == y[pair[1]]);
        groups.len() > 1 && groups.iter().all(one_class)
    }
}

/// Makes the groups that `specs` name (`"gender"`, `"gender*age_band"`). The groups of one entry partition the
/// rows. A group exists when these rows hold one of it: values like `unknown` or the empty text are groups as
/// all others, and a combination that no row has is none. So the groups of two splits may differ; match them by
/// name, and see [`absent_groups`] for those that only the other split has.
///
/// # Errors
/// Names a column that is not there, and those that are; an entry that is empty or repeats; too many groups.
pub fn parse_groups(rows: &Rows, specs: &[String]) -> Result<GroupSet> {
    let mut set = GroupSet { groups: Vec::new(), of_row: vec![Vec::with_capacity(specs.len()); rows.len()] };
    for (i, spec) in specs.iter().enumerate() {
        let columns = columns_of(rows, spec)?;
        if let Some(earlier) = specs[..i].iter().find(|s| same_groups(s, spec)) {
            return Err(Error::new(format!("groups `{earlier}` and `{spec}` are the same")).help("name them once"));
        }
        let key = |row: usize| columns.iter().map(|(_, c)| c.codes[row]).collect::<Vec<u32>>();
        let mut cells: BTreeMap<Vec<u32>, Vec<usize>> = BTreeMap::new();
        for row in 0..rows.len() {
            cells.entry(key(row)).or_default().push(row);
        }
        let total = set.groups.len() + cells.len();
        if total > MAX_GROUPS {
            return Err(Error::new(format!(
                "groups `{spec}` bring the contract to {total} groups, more than {MAX_GROUPS}"
            ))
            .help("use a coarser column (bands instead of numbers) or fewer intersections"));
        }
        for (codes, members) in cells {
            for &row in &members {
                set.of_row[row].push(set.groups.len() as u32);
            }
            let parts: Vec<_> =
                columns.iter().zip(&codes).map(|((n, c), &v)| format!("{n}={}", c.values[v as usize])).collect();
            set.groups.push(Group { name: parts.join("*"), rows: members });
        }
    }
    Ok(set)
}

/// An error where an entry makes one group of everybody in the whole data set: nobody can lose more than others then, and
/// a promise that nobody does would be an empty one.
///
/// # Errors
/// Names the entry and its only value.
pub fn check_told_apart(rows: &Rows, specs: &[String]) -> Result<()> {
    for spec in specs {
        let columns = columns_of(rows, spec)?;
        if columns.iter().all(|(_, c)| c.values.len() < 2) {
            let only = columns.iter().map(|(n, c)| format!("{n}={}", c.values.first().map_or("", String::as_str)));
            return Err(Error::new(format!(
                "groups `{spec}` tell nobody apart: all rows are `{}`",
                only.collect::<Vec<_>>().join("*")
            ))
            .help(
                "name a column with two values or more; where nobody knows the groups of people, groups = [\"class\"] \
                 promises that no class is hurt more than others",
            ));
        }
    }
    Ok(())
}

/// Names of the groups of `other` that `set` does not have, such as groups of the training rows that a verdict
/// says nothing about.
pub fn absent_groups<'a>(set: &GroupSet, other: &'a GroupSet) -> Vec<&'a str> {
    let has = |name: &str| set.groups.iter().any(|g| g.name == name);
    other.groups.iter().map(|g| g.name.as_str()).filter(|name| !has(name)).collect()
}

/// A code per row that says which rows are not independent of each other: the column's code, or for no column
/// the row's own number.
///
/// # Errors
/// Names a column that is not there, and those that are.
pub fn cluster_codes(rows: &Rows, column: Option<&str>) -> Result<Vec<u32>> {
    match column {
        Some(name) => Ok(find(rows, name.trim()).map_err(|e| e.prefix("cluster"))?.codes.clone()),
        None => Ok((0..rows.len() as u32).collect()),
    }
}

/// An error where rows of a group are clustered by a column that makes the group: each would be few clusters, or one, and no
/// bound could be told.
///
/// # Errors
/// Names the entry and the column.
pub fn check_cluster(entries: &[String], column: Option<&str>) -> Result<()> {
    let Some(column) = column.map(str::trim) else { return Ok(()) };
    match entries.iter().find(|e| e.split('*').any(|part| part.trim() == column)) {
        Some(entry) => Err(Error::new(format!("cluster = `{column}` is a column of the groups `{entry}` as well")).help(
            "a group would be a cluster of its own, which tells nothing; leave that entry out, or, where it is the only one, \
             leave the cluster out, and the verdict is about these very groups",
        )),
        None => Ok(()),
    }
}

/// Two entries make the same groups when they name the same columns in any order.
fn same_groups(a: &str, b: &str) -> bool {
    let parts = |s: &str| {
        let mut parts: Vec<String> = s.split('*').map(|p| p.trim().to_owned()).collect();
        parts.sort_unstable();
        parts
    };
    parts(a) == parts(b)
}

/// The columns of one entry, in its order.
fn columns_of<'a>(rows: &'a Rows, spec: &'a str) -> Result<Vec<(&'a str, &'a Column)>> {
    let mut columns: Vec<(&str, &Column)> = Vec::new();
    for name in spec.split('*').map(str::trim) {
        if name.is_empty() {
            return Err(Error::new(format!("groups `{spec}` name an empty column"))
                .help("name a column, or an intersection like \"gender*age_band\""));
        }
        if columns.iter().any(|(n, _)| *n == name) {
            return Err(Error::new(format!("groups `{spec}` name column `{name}` twice")).help("name it once"));
        }
        columns.push((name, find(rows, name)?));
    }
    Ok(columns)
}

fn find<'a>(rows: &'a Rows, name: &str) -> Result<&'a Column> {
    rows.columns.get(name).ok_or_else(|| {
        let known: Vec<&str> = rows.columns.keys().map(String::as_str).collect();
        let help = if known.is_empty() {
            "it has no columns: save the groups as arrays beside x, y and split".into()
        } else {
            format!("its columns are {} (`class` is the label y itself)", known.join(", "))
        };
        Error::new(format!("the data has no column `{name}`")).help(help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(columns: &[(&str, &[&str], &[u32])]) -> Rows {
        let n = columns[0].2.len();
        let column = |values: &[&str], codes: &[u32]| Column {
            values: values.iter().map(|v| v.to_string()).collect(),
            codes: codes.to_vec(),
        };
        Rows {
            sample: vec![1],
            x: vec![0.0; n],
            y: vec![0; n],
            classes: 1,
            columns: columns.iter().map(|(n, v, c)| (n.to_string(), column(v, c))).collect(),
        }
    }

    fn specs(s: &[&str]) -> Vec<String> {
        s.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn columns_and_intersections_in_order() {
        let r = rows(&[("a", &["", "x", "y"], &[1, 0, 1, 1]), ("b", &["p", "q"], &[0, 0, 1, 0])]);
        let g = parse_groups(&r, &specs(&["b", "a * b"])).unwrap();
        let names: Vec<_> = g.groups.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["b=p", "b=q", "a=*b=p", "a=x*b=p", "a=x*b=q"], "the empty value is a group, `y` has no row");
        assert_eq!(g.groups[3].rows, [0, 3]);
        assert_eq!(g.of_row, [vec![0, 3], vec![0, 2], vec![1, 4], vec![0, 3]]);
        assert_eq!(g.of_entry(1), [2, 3, 4]);
        let fewer = parse_groups(&r.subset(&[0, 3]), &specs(&["b"])).unwrap();
        assert_eq!(absent_groups(&fewer, &parse_groups(&r, &specs(&["b"])).unwrap()), ["b=q"]);
    }

    #[test]
    fn wrong_entries_are_named() {
        let r = rows(&[("a", &["x", "y"], &[1, 0]), ("b", &["p", "q"], &[0, 1])]);
        for (s, want) in [
            (&["c"][..], "columns are a, b"),
            (&["a*"], "empty column"),
            (&["a*a"], "twice"),
            (&["a", "a"], "the same"),
            (&["a*b", "b*a"], "the same"),
        ] {
            let e = parse_groups(&r, &specs(s)).unwrap_err().to_string();
            assert!(e.contains(want), "{s:?}: {e}");
        }
        let values: Vec<String> = (0..65).map(|i| i.to_string()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let codes: Vec<u32> = (0..65).collect();
        let e = parse_groups(&rows(&[("id", &values, &codes)]), &specs(&["id"])).unwrap_err().to_string();
        assert!(e.contains("65 groups"), "{e}");
    }

    #[test]
    fn one_group_of_everybody_is_refused() {
        let r = rows(&[("a", &["x"], &[0, 0]), ("b", &["p", "q"], &[0, 1])]);
        check_told_apart(&r, &specs(&["b", "a*b"])).unwrap();
        // The data set has two values, if not these rows.
        check_told_apart(&r.subset(&[0]), &specs(&["b"])).unwrap();
        let e = check_told_apart(&r, &specs(&["b", "a"])).unwrap_err().to_string();
        assert!(e.contains("groups `a`") && e.contains("`a=x`"), "{e}");
    }

    #[test]
    fn clusters() {
        let r = rows(&[("s", &["1", "2"], &[1, 0, 1])]);
        assert_eq!(cluster_codes(&r, Some("s")).unwrap(), [1, 0, 1]);
        assert_eq!(cluster_codes(&r, None).unwrap(), [0, 1, 2]);
        let e = cluster_codes(&r, Some("t")).unwrap_err().to_string();
        assert!(e.contains("cluster") && e.contains("`t`"), "{e}");
    }

    proptest! {
        #[test]
        fn every_entry_partitions_the_rows(codes in prop::collection::vec((0u32..3, 0u32..4), 1..60)) {
            let (a, b): (Vec<u32>, Vec<u32>) = codes.into_iter().unzip();
            let r = rows(&[("a", &["0", "1", "2"], &a), ("b", &["0", "1", "2", "3"], &b)]);
            let g = parse_groups(&r, &specs(&["a", "b", "a*b"])).unwrap();
            for entry in 0..3 {
                let mut seen: Vec<usize> = g.of_entry(entry).into_iter().flat_map(|i| g.groups[i].rows.clone()).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..a.len()).collect::<Vec<_>>());
            }
            for (row, of) in g.of_row.iter().enumerate() {
                prop_assert!(of.iter().all(|&i| g.groups[i as usize].rows.binary_search(&row).is_ok()));
            }
        }
    }
}
