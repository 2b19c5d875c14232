//! The contract: what the user demands of the small model, written once, carried through the whole chain.

use crate::data::check_cluster;
use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// `contract.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// What must hold for every group.
    pub fairness: Fairness,
    /// What the device can spend.
    #[serde(default)]
    pub budget: Budget,
    /// How raw values become the network's input.
    #[serde(default)]
    pub input: InputNorm,
    /// The text as the user wrote it; this is what the file carries.
    #[serde(skip)]
    pub text: String,
}

/// `[fairness]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fairness {
    /// Group columns; `a*b` is an intersection. `class` is the label itself: a promise to classes, not to people.
    pub groups: Vec<String>,
    /// What is measured per group.
    #[serde(default)]
    pub metric: Metric,
    /// Bound on every group's excess drop.
    pub max_excess_drop: f64,
    /// Bound on the best group less the worst group.
    #[serde(default)]
    pub max_gap: Option<f64>,
    /// Floor that every group must stay over.
    #[serde(default)]
    pub min_metric: Option<f64>,
    /// Confidence of the verdict.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// Column of rows that are not independent.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Share of a group's rows whose label of the group may be wrong; bounds are wider by the worst that this can do.
    #[serde(default)]
    pub group_noise: f64,
}

fn default_confidence() -> f64 {
    0.95
}

/// The metric of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Share of rows that are right.
    #[default]
    Accuracy,
    /// Recall of one class.
    Recall(usize),
    /// False-positive rate of one class (lower is better).
    Fpr(usize),
    /// Mean of the recalls of all classes.
    MacroRecall,
}

/// `[budget]`, as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// `"40%"` of the dense model, or a number.
    #[serde(default)]
    pub macs: Option<Limit>,
    /// Bytes of the file: `"64 KiB"`, a number, or a share of the dense int8 file.
    #[serde(default)]
    pub flash: Option<Limit>,
    /// Bytes of arena.
    #[serde(default)]
    pub ram: Option<Limit>,
    /// `"8 ms"`, with a target.
    #[serde(default)]
    pub latency: Option<String>,
    /// `"cortex-m4@64MHz"`.
    #[serde(default)]
    pub target: Option<String>,
}

/// A limit: absolute or a share of the dense model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LimitText", into = "String")]
pub enum Limit {
    /// MACs or bytes.
    Absolute(u64),
    /// 0.4 for `"40%"`.
    Share(f64),
}

/// `[input]`: `real = (value * scale - mean) / std`, per channel or one value for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputNorm {
    /// Factor on raw values (1/255 for bytes).
    #[serde(default = "one")]
    pub scale: f32,
    /// Means after the factor.
    #[serde(default = "zeros")]
    pub mean: Vec<f32>,
    /// Standard deviations after the factor.
    #[serde(default = "ones")]
    pub std: Vec<f32>,
}

fn one() -> f32 {
    1.0
}
fn zeros() -> Vec<f32> {
    vec![0.0]
}
fn ones() -> Vec<f32> {
    vec![1.0]
}

impl Default for InputNorm {
    fn default() -> Self {
        InputNorm { scale: one(), mean: zeros(), std: ones() }
    }
}

/// A limit as TOML has it: a number or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum LimitText {
    Number(u64),
    Text(String),
}

impl TryFrom<LimitText> for Limit {
    type Error = String;

    fn try_from(v: LimitText) -> Result<Self, String> {
        match v {
            LimitText::Number(n) => Ok(Limit::Absolute(n)),
            LimitText::Text(s) => s.parse(),
        }
    }
}

impl std::str::FromStr for Limit {
    type Err = String;

    /// `"40%"`, `"500000"`, `"64 KiB"`, `"1.5 MiB"`, `"2 M"` (10^6).
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("`{s}` is no limit: write a share like \"40%\", a number, or a size like \"64 KiB\"");
        let t = s.trim();
        let split = t.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(t.len());
        let (number, unit) = t.split_at(split);
        let number: f64 = number.replace('_', "").parse().map_err(|_| bad())?;
        let factor = match unit.trim() {
            "%" if number > 0.0 && number <= 100.0 => return Ok(Limit::Share(number / 100.0)),
            "" | "B" => 1.0,
            "k" | "kB" | "K" => 1e3,
            "M" | "MB" => 1e6,
            "G" | "GB" => 1e9,
            "KiB" => 1024.0,
            "MiB" => 1048576.0,
            "GiB" => 1073741824.0,
            _ => return Err(bad()),
        };
        let v = number * factor;
        if !(1.0..=1e15).contains(&v) {
            return Err(bad());
        }
        Ok(Limit::Absolute(v as u64))
    }
}

impl From<Limit> for String {
    fn from(l: Limit) -> String {
        match l {
            Limit::Absolute(n) => n.to_string(),
            Limit::Share(s) => format!("{}%", s * 100.0),
        }
    }
}

impl Limit {
    /// The limit in the unit of `dense`, the same quantity of the dense model.
    pub fn resolve(self, dense: u64) -> u64 {
        match self {
            Limit::Absolute(n) => n,
            Limit::Share(s) => (dense as f64 * s).floor() as u64,
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        let class = |t: &str| {
            t.trim()
                .parse()
                .map_err(|_| format!("metric `{s}`: the class after the colon must be its number (0, 1, …)"))
        };
        match s.trim() {
            "accuracy" => Ok(Metric::Accuracy),
            "macro_recall" => Ok(Metric::MacroRecall),
            t => match t.split_once(':') {
                Some(("recall", c)) => Ok(Metric::Recall(class(c)?)),
                Some(("fpr", c)) => Ok(Metric::Fpr(class(c)?)),
                _ => {
                    Err(format!("metric `{s}` is not known: use accuracy, macro_recall, recall:<class> or fpr:<class>"))
                }
            },
        }
    }
}

impl From<Metric> for String {
    fn from(m: Metric) -> String {
        m.to_string()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Accuracy => f.write_str("accuracy"),
            Metric::Recall(c) => write!(f, "recall:{c}"),
            Metric::Fpr(c) => write!(f, "fpr:{c}"),
            Metric::MacroRecall => f.write_str("macro_recall"),
        }
    }
}

impl Metric {
    /// Class index that the metric needs the data to have.
    pub fn class(self) -> Option<usize> {
        match self {
            Metric::Recall(c) | Metric::Fpr(c) => Some(c),
            _ => None,
        }
    }
}

impl InputNorm {
    /// Checks that the numbers make sense.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        if self.mean.is_empty() || self.std.is_empty() {
            return Err(Error::new("[input] mean and std need at least one value"));
        }
        let finite = self.scale.is_finite() && self.mean.iter().chain(&self.std).all(|v| v.is_finite());
        if !finite || self.scale == 0.0 || self.std.iter().any(|v| *v <= 0.0) {
            return Err(Error::new("[input] scale, mean and std must be finite, scale not zero, std positive"));
        }
        Ok(())
    }
}

impl Contract {
    /// Reads `contract.toml`.
    ///
    /// # Errors
    /// Names the file, the key or value that is wrong, and what is allowed.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context("cannot read the contract").map_err(|e| {
            e.at(path)
                .help("a contract is a text file in TOML, in UTF-8, that this user may read; check path and rights")
        })?;
        Self::parse(&text).map_err(|e| e.at(path))
    }

    /// Parses and checks the text of a contract.
    ///
    /// # Errors
    /// Says which key or value is wrong, and what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        if text.lines().all(|line| matches!(line.trim_start().chars().next(), None | Some('#'))) {
            return Err(Error::new("the contract is empty").help(
                "it says what must hold for every group and what the device can spend, such as:\n    \
                 [fairness]\n    groups = [\"gender\"]\n    max_excess_drop = 0.03\n    [budget]\n    macs = \"40%\"",
            ));
        }
        let mut c: Contract = toml::from_str(text).map_err(|e| {
            Error::new(e.to_string().trim_end())
                .help("a contract has [fairness] with groups and max_excess_drop, and may have [budget] and [input]")
        })?;
        c.text = text.to_owned();
        c.check()?;
        Ok(c)
    }

    /// The contract with another input normalisation. Where it differs, the text that the file will carry is
    /// written anew, so that a later check normalises as this one did.
    ///
    /// # Errors
    /// When the contract cannot be written as TOML.
    pub fn with_input(mut self, input: InputNorm) -> Result<Self> {
        if input != self.input {
            self.input = input;
            self.text = toml::to_string(&self).context("cannot write the contract")?;
        }
        Ok(self)
    }

    /// The contract with another share of wrong group labels, in its text, too.
    ///
    /// # Errors
    /// A share that is none, and when the text cannot be written, which valid values do not cause.
    pub fn with_group_noise(mut self, noise: f64) -> Result<Self> {
        if noise != self.fairness.group_noise {
            self.fairness.group_noise = noise;
            self.text = toml::to_string(&self).context("cannot write the contract")?;
        }
        self.check()?;
        Ok(self)
    }

    /// An error where the contract gives no budget, for a command that has nothing to do without one.
    ///
    /// # Errors
    /// Says how a budget is written.
    pub fn check_budget(&self) -> Result<()> {
        if self.budget == Budget::default() {
            return Err(Error::new("the contract has no [budget], so there is nothing to prune to").help(
                "add what the device can spend, one or more of: [budget] macs = \"40%\", flash = \"64 KiB\", ram = \"32 KiB\"",
            ));
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let f = &self.fairness;
        let within = |name: &str, v: f64, lo: f64, hi: f64| {
            if v > lo && v < hi {
                Ok(())
            } else {
                Err(Error::new(format!("[fairness] {name} = {v} is out of range"))
                    .help(format!("choose a value between {lo} and {hi}")))
            }
        };
        if f.groups.is_empty() {
            return Err(Error::new("[fairness] groups is empty").help(
                "name at least one column, e.g. groups = [\"gender\"]; where nobody knows the groups of people, \
                 groups = [\"class\"] promises that no class is hurt more than others",
            ));
        }
        check_cluster(&f.groups, f.cluster.as_deref()).map_err(|e| e.prefix("[fairness]"))?;
        within("max_excess_drop", f.max_excess_drop, 0.0, 1.0)?;
        within("confidence", f.confidence, 0.5, 1.0)?;
        if !(0.0..0.5).contains(&f.group_noise) {
            return Err(Error::new(format!("[fairness] group_noise = {} is out of range", f.group_noise))
                .help("it is the share of a group's rows whose label may be wrong: at least 0 and under 0.5"));
        }
        if let Some(g) = f.max_gap {
            within("max_gap", g, 0.0, 1.0)?;
        }
        if let Some(m) = f.min_metric {
            within("min_metric", m, 0.0, 1.0)?;
        }
        self.input.check()?;
        if self.budget.latency.is_some() || self.budget.target.is_some() {
            return Err(Error::new("[budget] latency is not supported by this version").help(
                "give the budget as macs, flash or ram; `evenkeel bench --target cortex-m4` counts instructions",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "[fairness]\ngroups = [\"gender\"]\nmax_excess_drop = 0.03\n";

    #[test]
    fn minimal_contract_gets_defaults() {
        let c = Contract::parse(MINIMAL).unwrap();
        assert_eq!((c.fairness.confidence, c.fairness.metric), (0.95, Metric::Accuracy));
        assert_eq!(c.budget, Budget::default());
        assert_eq!(c.text, MINIMAL);
    }

    #[test]
    fn the_clusters_are_not_the_groups() {
        let with = |cluster: &str| Contract::parse(&format!("{MINIMAL}cluster = \"{cluster}\"\n"));
        with("subject").unwrap();
        let error = with("gender").unwrap_err().to_string();
        assert!(error.contains("`gender`") && error.contains("leave the cluster out"), "{error}");
    }

    #[test]
    fn limits_are_shares_numbers_and_sizes() {
        let c =
            Contract::parse(&format!("{MINIMAL}[budget]\nmacs = \"40%\"\nflash = \"64 KiB\"\nram = 24000\n")).unwrap();
        assert_eq!(c.budget.macs.unwrap().resolve(1001), 400);
        assert_eq!(c.budget.flash.unwrap().resolve(0), 65536);
        assert_eq!(c.budget.ram.unwrap().resolve(0), 24000);
    }

    #[test]
    fn a_missing_budget_is_told_from_one_that_is_there() {
        let with = |budget: &str| Contract::parse(&format!("{MINIMAL}{budget}")).unwrap().check_budget();
        with("[budget]\nram = 24000\n").unwrap();
        for none in ["", "[budget]\n"] {
            assert!(with(none).unwrap_err().to_string().contains("macs = \"40%\""));
        }
    }

    #[test]
    fn another_input_is_in_the_text() {
        let c = Contract::parse(&format!("{MINIMAL}[budget]\nmacs = \"40%\"\n")).unwrap();
        assert_eq!(c.clone().with_input(c.input.clone()).unwrap().text, c.text);
        let other = InputNorm { scale: 0.5, mean: vec![0.25], std: vec![2.0] };
        let changed = c.with_input(other).unwrap();
        let again = Contract::parse(&changed.text).unwrap();
        assert_eq!(again, changed);
    }

    #[test]
    fn wrong_input_is_named() {
        for (text, want) in [
            ("", "is empty"),
            (" \n# groups = [\"g\"]\n", "is empty"),
            ("[budget]\nmacs = 1", "fairness"),
            ("[fairness]\ngroups=[]\nmax_excess_drop=0.1", "groups is empty"),
            ("[fairness]\ngroups=[\"g\"]\nmax_excess_drop=2.0", "max_excess_drop"),
            ("[fairness]\ngroups=[\"g\"]\nmax_excess_drop=0.1\nmetric=\"f1\"", "f1"),
            ("[fairness]\ngroups=[\"g\"]\nmax_excess_drop=0.1\nspeed=1", "speed"),
            ("[fairness]\ngroups=[\"g\"]\nmax_excess_drop=0.1\n[budget]\nmacs=\"0%\"", "0%"),
            ("[fairness]\ngroups=[\"g\"]\nmax_excess_drop=0.1\n[input]\nstd=[0.0]", "std"),
        ] {
            let e = Contract::parse(text).unwrap_err().to_string();
            assert!(e.contains(want), "{text:?}: {e}");
        }
    }
}
