//! The pre-check as the commands run it: the dense network on selection rows, then `fair::audit`.

use crate::chain::Prepared;
use crate::contract::Fairness;
use crate::data::groups::cluster_codes;
use crate::error::Result;
use crate::fair::audit::{Audit, AuditInput, audit};
use crate::graph::Graph;
use crate::net::{Net, Split};
use crate::progress::Stop;
use crate::prune::score::gradient_norms;
use burn::tensor::Device;

/// Audits the dense network on the selection rows: the groups, metric, confidence and clusters that are `asked` for.
///
/// # Errors
/// A column that is not there, a network that gives values that are not finite, a device that fails, a user's stop.
pub fn precheck(
    dense: &Graph,
    data: &Prepared,
    asked: &Fairness,
    device: &Device,
    seed: u64,
    stop: &Stop,
) -> Result<Audit> {
    let (set, groups) = (&data.select, &data.select_groups);
    let clusters = asked.cluster.as_deref().map(|name| cluster_codes(&data.data.select, Some(name))).transpose()?;
    let logits = set.logits(&Net::new(dense, device), stop)?;
    let norms = gradient_norms(dense, Split { set, groups }, device, seed, stop)?;
    audit(AuditInput {
        logits: &logits,
        y: &set.y,
        classes: dense.output_shape().len(),
        groups,
        grad_norms: Some(&norms),
        metric: asked.metric,
        confidence: asked.confidence,
        clusters: clusters.as_deref(),
    })
}
