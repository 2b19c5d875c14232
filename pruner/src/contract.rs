//! The contract: what the user demands of the small model, written once, carried through the whole chain.

use serde::{Deserialize, Serialize};

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
    /// Group columns; `a*b` is an intersection.
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
#[serde(try_from = "toml::Value", into = "String")]
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
