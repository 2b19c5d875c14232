//! Calibration: which range of values each node takes on real rows.

use super::histogram::Histogram;
use crate::error::{Error, Result};
use crate::graph::NodeId;

/// How a node's range follows from its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The smallest and the largest value: nothing is clipped, and one outlier coarsens every step.
    MinMax,
    /// The clipping with the least squared error of the quantised values: rounding error `step² / 12` plus
    /// clipping error (Banner et al., NeurIPS 2019), over a histogram of 2048 bins on each side of zero.
    #[default]
    Mse,
}

/// Values of every node of a graph, gathered row by row. The same rows in any order give the same ranges.
#[derive(Clone, Debug)]
pub struct Ranges {
    method: Method,
    nodes: Vec<Histogram>,
}

impl Ranges {
    /// For a graph of `nodes` nodes, with the default method.
    pub fn new(nodes: usize) -> Self {
        Ranges { method: Method::default(), nodes: vec![Histogram::default(); nodes] }
    }

    /// Uses `method` instead.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Counts in the values of one node: one row or many, in any layout. A node that the graph does not have
    /// is ignored.
    pub fn observe(&mut self, node: NodeId, values: &[f32]) {
        if let Some(histogram) = self.nodes.get_mut(node) {
            histogram.observe(values);
        }
    }

    /// Adds what another thread has seen of the same graph.
    pub fn merge(&mut self, other: &Ranges) {
        for (a, b) in self.nodes.iter_mut().zip(&other.nodes) {
            a.merge(b);
        }
    }

    /// The range of one node, widened to include zero; `(0, 0)` where all values were zero.
    ///
    /// # Errors
    /// When the node was never observed, or took a value that is not a number.
    pub fn range(&self, node: NodeId) -> Result<(f32, f32)> {
        self.range_by(node, self.method)
    }

    /// As [`Ranges::range`], by the method given.
    pub(super) fn range_by(&self, node: NodeId, method: Method) -> Result<(f32, f32)> {
        let Some(h) = self.nodes.get(node).filter(|h| h.total + h.broken > 0) else {
            return Err(
                Error::new("was not calibrated").help("calibrate on one row at least, with every node's values")
            );
        };
        if h.broken > 0 {
            return Err(Error::new(format!("takes {} values that are NaN or infinite in calibration", h.broken))
                .help("check the input normalisation and the network's weights"));
        }
        Ok(match method {
            Method::MinMax => (h.min.min(0.0), h.max.max(0.0)),
            Method::Mse => h.least_error(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_zero_and_say_what_is_missing() {
        let mut r = Ranges::new(2).with_method(Method::MinMax);
        r.observe(0, &[2.0, 3.0]);
        let mut other = Ranges::new(2);
        other.observe(0, &[-1.0]);
        r.merge(&other);
        assert_eq!(r.range(0).unwrap(), (-1.0, 3.0));
        assert!(r.range(1).unwrap_err().to_string().contains("not calibrated"));
        r.observe(1, &[f32::NAN]);
        assert!(r.range(1).unwrap_err().to_string().contains("NaN"));
        r.observe(9, &[1.0]);
    }
}
