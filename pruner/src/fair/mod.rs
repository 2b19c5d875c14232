//! Metrics, statistics, the verdict, the risk pre-check.
//!
//! | module | job |
//! | --- | --- |
//! | [`metrics`] | what a model does on a set of rows |
//! | [`confusion`] | counts of a group's rows, and every rate of a class |
//! | [`parity`] | differences and ratios between groups, under the names of fairlearn and AIF360 |
//! | [`change`] | what pruning does to groups and classes |
//! | [`disparity`] | how unevenly classes change: CEV and SDE |
//! | [`calibration`] | ECE, Brier score, log loss |
//! | [`exemplars`] | rows that pruning treats otherwise, over several runs |
//! | [`cka`] | how alike two layers represent the same rows |
//! | [`mod@bootstrap`] | intervals of what has no closed form, of rows or clusters |
//! | [`mod@similarity`] | CKA of the layers of a dense and a pruned network |
//! | [`panel`] | all metrics of a dense and a small model, with intervals |
//! | [`stats`] | quantiles and intervals of one proportion |
//! | [`contrast`] | bounds on a weighted sum of stratum means: every bound of the verdict is one |
//! | [`noise`] | what wrong labels of groups can do to a mean |
//! | [`verdict`] | PASS, FAIL or UNDECIDED; the only reader of the verdict split |
//! | [`mod@slack`] | how far a verdict is from its limits |
//! | [`mod@table`] | the verdict as text for a terminal |
//! | [`mod@simulate`] | how often verdicts err, and how much data they need, on models whose truth is known |
//! | [`mod@audit`] | risk factors of the groups, before any pruning |
//! | [`risk`] | factors to a ranking with words |
//! | [`mod@foresight`] | how well that ranking had predicted, after the verdict |

pub mod audit;
pub mod bootstrap;
pub mod calibration;
pub mod change;
pub mod cka;
pub mod confusion;
pub mod contrast;
pub mod disparity;
mod evaluate;
pub mod exemplars;
mod findings;
pub mod foresight;
#[cfg(test)]
mod golden;
pub mod metrics;
pub mod noise;
pub mod panel;
pub mod parity;
pub mod risk;
pub mod similarity;
pub mod simulate;
pub mod slack;
pub mod stats;
pub mod table;
pub mod verdict;

pub use audit::{Audit, GroupRisk, audit};
pub use metrics::Predictions;
pub use panel::{Comparison, Panel, panel_table};
pub use slack::slack;
pub use table::table;
pub use verdict::{GroupVerdict, Outcome, Verdict, check, judge, judge_selection};
