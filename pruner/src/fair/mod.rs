//! Metrics, statistics, the verdict, the risk pre-check.
//!
//! | module | job |
//! | --- | --- |
//! | [`metrics`] | what a model does on a set of rows |
//! | [`disparity`] | differences between groups and between classes, under the names of the field |
//! | [`stats`] | quantiles and intervals of one proportion |
//! | [`contrast`] | bounds on a weighted sum of stratum means: every bound of the verdict is one |
//! | [`verdict`] | PASS, FAIL or UNDECIDED; the only reader of the verdict split |
//! | [`table`] | the verdict as text for a terminal |
//! | [`audit`] | groups at risk, before any pruning |

pub mod audit;
pub mod contrast;
pub mod disparity;
mod evaluate;
pub mod metrics;
pub mod stats;
pub mod table;
pub mod verdict;

pub use audit::{Audit, GroupRisk, audit};
pub use metrics::Predictions;
pub use table::table;
pub use verdict::{Outcome, Verdict, judge, judge_selection};

/// Where the shared test data lie; says so when they are absent.
#[cfg(test)]
pub(crate) fn shared_dir() -> Option<std::path::PathBuf> {
    let dir = std::env::var_os("EVENKEEL_DATA")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    if !dir.is_dir() {
        println!("skipped: no shared data");
        return None;
    }
    Some(dir)
}
