//! The report: one self-contained HTML page and the same data as JSON.
//!
//! The page needs no network, no script and no font of its own, and follows the reader's light or dark theme. Plots
//! are drawn as SVG inside the page ([`plot`]), so their colours follow the theme and every mark has a tooltip.

pub mod charts;
pub mod evidence;
pub mod front;
mod page;
pub mod plain;
pub mod plot;
mod scatter;

pub use page::html;

use crate::error::{Context, Result};
use crate::fair::audit::Audit;
use crate::fair::foresight::{Foresight, foresight};
use crate::fair::{Panel, Verdict};
use crate::files;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// All that a report says. As JSON, the verdict's keys stand at the top level and the budget is a map by name, as other
/// tools rely on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// The dense model, as the user named it.
    pub model: String,
    /// The file that was made.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Verdict on the held-out rows.
    #[serde(flatten, skip_deserializing, default = "Verdict::empty")]
    pub verdict: Verdict,
    /// All other fairness metrics on the same rows; reports of old have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Panel>,
    /// The contract as the user wrote it.
    pub contract: String,
    /// What the device spends.
    #[serde(with = "budget_map")]
    pub budget: Vec<BudgetLine>,
    /// Channels per layer.
    pub layers: Vec<LayerLine>,
    /// The pruning schedule, step by step, measured on selection rows.
    pub history: Vec<HistoryLine>,
    /// How it was pruned, in one line.
    pub method: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// The command that makes the same file again.
    pub command: String,
    /// What else a reader should know.
    #[serde(rename = "report_notes")]
    pub notes: Vec<String>,
    /// The pre-check of the dense model, made before pruning. Reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// How well it had predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foresight: Option<Foresight>,
}

/// One line of the budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetLine {
    /// `macs`, `flash` or `ram`.
    #[serde(skip)]
    pub name: String,
    /// The contract's limit in MACs or bytes.
    pub limit: Option<u64>,
    /// Of the dense model.
    pub dense: u64,
    /// Of the file that was made.
    pub value: u64,
}

impl BudgetLine {
    /// Whether the limit is kept; `None` without one.
    pub fn kept(&self) -> Option<bool> {
        self.limit.map(|l| self.value <= l)
    }
}

/// Channels of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerLine {
    /// The layer.
    pub name: String,
    /// Output channels of the dense model.
    pub before: usize,
    /// Output channels that remain.
    pub after: usize,
}

/// One step of the pruning schedule, measured on selection rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Its number.
    pub step: usize,
    /// MACs as a share of the dense model's, 0 to 1.
    pub macs: f64,
    /// Metric of everybody.
    pub overall: f64,
    /// Metric of the worst group.
    pub worst: f64,
    /// Largest excess drop of all groups (estimate).
    pub max_excess_drop: f64,
    /// What the step did, e.g. `prune`, `fine-tune`, `quantise`.
    pub phase: String,
}

impl Report {
    /// The report with the pre-check, held against the verdict.
    pub fn with_audit(self, audit: Audit) -> Self {
        let foresight = Some(foresight(&audit, &self.verdict));
        Report { audit: Some(audit), foresight, ..self }
    }

    /// Reads a report back from its JSON.
    ///
    /// # Errors
    /// Says what is missing or wrong in the text.
    pub fn parse(json: &str) -> Result<Self> {
        let what = "this is no report of evenkeel";
        let value: serde_json::Value = serde_json::from_str(json).context(what)?;
        // Read apart from the rest: flattened numbers do not survive serde_json's arbitrary precision, which
        // another crate of the build may switch on.
        let verdict = serde_json::from_value(value.clone()).context(what)?;
        let report: Report = serde_json::from_value(value).context(what)?;
        Ok(Report { verdict, ..report })
    }

    /// The report as JSON text.
    ///
    /// # Errors
    /// Only where the serialiser refuses, which finite data do not cause.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).context("cannot write the report as JSON")
    }

    /// The verdict, the pre-check held against it, and what to do next, as text for a terminal; ends with a newline.
    pub fn text(&self) -> String {
        let mut out = crate::fair::table(&self.verdict);
        out.extend(self.foresight.iter().map(|f| format!("pre-check: {}\n", f.words)));
        let e = plain::explain(self);
        out.push_str(&format!("\n{}\nWhat to do next:\n", e.answer));
        out.extend(e.next.iter().map(|line| format!("  - {line}\n")));
        out
    }

    /// Writes the page to `path` and the JSON beside it, with the extension `json`.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, html(self)?.as_bytes())?;
        files::write(&path.with_extension("json"), self.json()?.as_bytes())
    }
}

/// `[{name, …}]` in Rust, `{name: {…}}` in JSON.
mod budget_map {
    use super::BudgetLine;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(lines: &[BudgetLine], s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(lines.iter().map(|l| (&l.name, l)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<BudgetLine>, D::Error> {
        let mut map = BTreeMap::<String, BudgetLine>::deserialize(d)?;
        let order = ["macs", "flash", "ram"];
        Ok(order
            .iter()
            .filter_map(|name| Some(BudgetLine { name: (*name).to_owned(), ..map.remove(*name)? }))
            .collect())
    }
}

#[cfg(test)]
mod tests;
