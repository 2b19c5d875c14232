//! Metrics, statistics, the verdict, the risk pre-check.
//!
//! | module | job |
//! | --- | --- |
//! | [`metrics`] | what a model does on a set of rows |
//! | [`disparity`] | differences between groups and between classes, under the names of the field |
//! | [`stats`] | quantiles and intervals of one proportion |
//! | [`contrast`] | bounds on a weighted sum of stratum means: every bound of the verdict is one |
//! | [`verdict`] | PASS, FAIL or UNDECIDED; the only reader of the verdict split |
//! | [`mod@slack`] | how far a verdict is from its limits |
//! | [`mod@table`] | the verdict as text for a terminal |
//! | [`mod@audit`] | groups at risk, before any pruning |

pub mod audit;
pub mod contrast;
pub mod disparity;
mod evaluate;
pub mod metrics;
pub mod slack;
pub mod stats;
pub mod table;
pub mod verdict;

pub use audit::{Audit, GroupRisk, audit};
pub use metrics::Predictions;
pub use slack::slack;
pub use table::table;
pub use verdict::{Outcome, Verdict, check, judge, judge_selection};
