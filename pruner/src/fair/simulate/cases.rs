//! The cells of the study: where the truth lies, and how data are sampled.

use super::control::Control;
use super::draw::Sampling;
use super::world::{Class, Group, World};
use crate::contract::{Contract, Fairness, Metric};
use crate::error::Result;

/// One cell: a world whose truth lies on a limit of the contract, a way to sample it, and the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is, for the table.
    pub about: About,
    /// The population.
    pub world: World,
    /// The verdict's data.
    pub sampling: Sampling,
    /// The contract.
    pub fairness: Fairness,
    /// Negative controls that are run on the same data.
    pub controls: Vec<Control>,
}

/// A cell in words.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct About {
    /// Which limit the truth lies on.
    pub clause: Clause,
    /// Whose truth.
    pub on_the_limit: Who,
    /// `accuracy` or `macro_recall`.
    pub metric: String,
    /// Number of groups.
    pub groups: usize,
    /// Whether all groups are of one size.
    pub equal: bool,
    /// The data, e.g. `300 rows a group`.
    pub data: String,
    /// Harmful and helpful flips of the other groups, per cent.
    pub flips: [f64; 2],
    /// Intra-cluster correlation.
    pub icc: f64,
}

/// A limit of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clause {
    /// `max_excess_drop`
    ExcessDrop,
    /// `max_gap`
    Gap,
    /// `min_metric`
    Floor,
}

/// Groups whose truth lies on the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The smallest group.
    One,
    /// The smaller half of the groups: more cannot have the same large excess over everybody.
    Half,
    /// All groups (only a floor allows that).
    All,
}

/// The limit on the excess drop, where that is what is tested.
pub const LIMIT: f64 = 0.03;

/// Shares of `k` groups, falling. Unequal ones fall as 1, 1/2, 1/3, …: of 24, the first has 24 times the rows of the last.
pub fn shares(k: usize, equal: bool) -> Vec<f64> {
    let raw: Vec<f64> = (1..=k).map(|i| if equal { 1.0 } else { 1.0 / i as f64 }).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|s| s / sum).collect()
}

/// What all cells are made of.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Which limit the truth lies on.
    pub clause: Clause,
    /// Whose truth.
    pub who: Who,
    /// What is measured.
    pub metric: Metric,
    /// Number of groups.
    pub groups: usize,
    /// Whether all have one size.
    pub equal: bool,
    /// Rates of harmful and helpful flips of the other groups.
    pub flips: [f64; 2],
    /// Rows of the smallest group for independent rows, clusters of it for clustered ones.
    pub smallest: usize,
    /// Fewest and most rows of a cluster; `None` for independent rows.
    pub cluster: Option<(usize, usize)>,
    /// Intra-cluster correlation.
    pub icc: f64,
}

impl Recipe {
    /// The cell.
    ///
    /// # Errors
    /// When the contract does not parse, which would be a mistake in a recipe.
    pub fn case(&self) -> Result<Case> {
        let shares = shares(self.groups, self.equal);
        let least = shares.last().copied().unwrap_or(1.0);
        let sized: Vec<usize> = shares.iter().map(|s| (s / least * self.smallest as f64).round() as usize).collect();
        let total: usize = sized.iter().sum();
        let (sampling, shares, data) = match self.cluster {
            None => (Sampling::Independent { rows: total }, shares, format!("{} rows in the smallest", self.smallest)),
            Some(size) => {
                // Clusters are whole, so the population has the shares that they make.
                let shares = sized.iter().map(|c| *c as f64 / total as f64).collect();
                let data = format!("{} clusters of {}–{} rows in the smallest", self.smallest, size.0, size.1);
                (Sampling::Clustered { clusters: sized, size }, shares, data)
            }
        };
        let k = self.groups;
        let which: Vec<usize> = match self.who {
            Who::One => vec![k - 1],
            Who::Half => (k / 2..k).collect(),
            Who::All => (0..k).collect(),
        };
        let world = self.world(&shares);
        let (world, limits) = match self.clause {
            Clause::ExcessDrop => (world.with_excess(&which, LIMIT), format!("max_excess_drop = {LIMIT}")),
            Clause::Gap => (world.with_lower_metric(&which, 0.05), "max_excess_drop = 0.5\nmax_gap = 0.05".to_owned()),
            Clause::Floor => {
                let others: Vec<usize> = (0..k).filter(|g| !which.contains(g)).collect();
                let floor = world.truth().int8.last().copied().unwrap_or(0.5);
                // Others lie over the floor.
                let world = world.with_lower_metric(&others, -0.04);
                (world, format!("max_excess_drop = 0.5\nmin_metric = {floor}"))
            }
        };
        let cluster = if self.cluster.is_some() { "\ncluster = \"c\"" } else { "" };
        let text = format!("[fairness]\ngroups = [\"g\"]\nmetric = \"{}\"\n{limits}{cluster}\n", self.metric);
        let mut controls = vec![Control::NotSimultaneous];
        controls.extend(self.cluster.map(|_| Control::RowsIndependent));
        if self.cluster.is_none() && self.clause == Clause::ExcessDrop {
            controls.push(Control::Wald);
        }
        Ok(Case {
            about: About {
                clause: self.clause,
                on_the_limit: self.who,
                metric: self.metric.to_string(),
                groups: k,
                equal: self.equal,
                data,
                flips: self.flips.map(|f| 100.0 * f),
                icc: self.icc,
            },
            world,
            sampling,
            fairness: Contract::parse(&text)?.fairness,
            controls,
        })
    }

    /// The world before anybody is moved to the limit: no group has an excess drop. Macro recall gets three classes of
    /// different difficulty, mixed differently in each group.
    fn world(&self, shares: &[f64]) -> World {
        let [harm, help] = self.flips;
        let class = |mix, both, factor: f64| Class { mix, both, harm: harm * factor, help: help * factor };
        let group = |(g, &share): (usize, &f64)| Group {
            share,
            classes: if self.metric == Metric::MacroRecall {
                let first = if g % 2 == 0 { 0.5 } else { 0.3 };
                vec![class(first, 0.85, 0.5), class(0.7 - first, 0.8, 1.0), class(0.3, 0.75, 1.5)]
            } else {
                vec![class(1.0, 0.82, 1.0)]
            },
        };
        World { metric: self.metric, groups: shares.iter().enumerate().map(group).collect(), icc: self.icc }
    }
}

/// The cells of the study.
pub fn recipes() -> Vec<Recipe> {
    let plain = Recipe {
        clause: Clause::ExcessDrop,
        who: Who::One,
        metric: Metric::Accuracy,
        groups: 2,
        equal: true,
        flips: [0.05, 0.04],
        smallest: 300,
        cluster: None,
        icc: 0.0,
    };
    let mut out = vec![];
    for groups in [2, 7, 24] {
        for equal in [true, false] {
            let smallest = if equal { 300 } else { 100 };
            let independent = Recipe { groups, equal, smallest, ..plain };
            out.push(independent);
            out.push(Recipe { who: Who::Half, ..independent });
            // Few flips are skewed: here a normal bound fails.
            out.push(Recipe { who: Who::Half, flips: [0.004, 0.0], ..independent });
            let clusters = if equal { 20 } else { 10 };
            let clustered = Recipe { smallest: clusters, cluster: Some((5, 35)), icc: 0.1, ..independent };
            out.push(clustered);
            out.push(Recipe { who: Who::Half, ..clustered });
            out.push(Recipe { who: Who::Half, icc: 0.3, ..clustered });
        }
        out.push(Recipe { groups, who: Who::Half, smallest: 100, cluster: Some((2, 12)), icc: 0.05, ..plain });
        for cluster in [None, Some((5, 35))] {
            let smallest = if cluster.is_some() { 20 } else { 300 };
            let icc = if cluster.is_some() { 0.1 } else { 0.0 };
            let base = Recipe { groups, smallest, cluster, icc, ..plain };
            out.push(Recipe { clause: Clause::Gap, ..base });
            out.push(Recipe { clause: Clause::Gap, who: Who::Half, ..base });
            out.push(Recipe { clause: Clause::Floor, ..base });
            out.push(Recipe { clause: Clause::Floor, who: Who::All, ..base });
            let recall = Recipe { metric: Metric::MacroRecall, who: Who::Half, ..base };
            out.push(recall);
            out.push(Recipe { clause: Clause::Gap, ..recall });
            out.push(Recipe { clause: Clause::Floor, who: Who::All, ..recall });
        }
    }
    out
}
