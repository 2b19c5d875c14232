//! A network's layers as [`super::pays`] sees them: what they will cost before there is a pruned network.

use super::pays::{Layer, Stored, break_even, cost};
use super::program::{Item, Kind, of_quantised, of_steps};
use super::target::Target;
use crate::error::Result;
use crate::graph::Graph;
use crate::quant::QGraph;
use crate::quant::fuse::fuse;
use serde::Serialize;

/// A layer that has a matrix of weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The name in the user's file.
    pub name: String,
    /// `Conv` or `Linear`.
    pub op: &'static str,
    /// Multiply-accumulates with every weight.
    pub macs: u64,
    /// Cost of one inference with every weight, in [`super::pays::unit`]s.
    pub dense: u64,
    /// With half of the blocks.
    pub half: u64,
    /// With a quarter of them.
    pub quarter: u64,
    /// The share of blocks below which leaving out the others pays; 0 where it never does.
    pub break_even: f64,
}

/// The convolutions and linear layers of a folded graph; nothing for the portable target, which has no model.
///
/// # Errors
/// What quantisation would refuse because of shapes.
pub fn of_graph(graph: &Graph, target: Target) -> Result<Vec<Forecast>> {
    let steps = fuse(graph)?;
    Ok(forecasts(&of_steps(graph, &steps), target))
}

/// Those of a quantised network.
pub fn of_network(q: &QGraph, target: Target) -> Vec<Forecast> {
    forecasts(&of_quantised(q, &vec![None; q.nodes.len()]), target)
}

fn forecasts(items: &[Item], target: Target) -> Vec<Forecast> {
    let layer = |item: &Item| {
        let from = items[*item.inputs.first()?].shape;
        match item.kind {
            Kind::Conv { window, groups: 1 } => Some(("Conv", Layer::conv(&window, from, item.shape))),
            Kind::Linear => Some(("Linear", Layer::linear(from.len(), item.shape.c))),
            _ => None,
        }
    };
    let forecast = |item: &Item| {
        let (op, layer) = layer(item)?;
        let at = |stored| cost(target, &layer, stored).map(|n| n.round() as u64);
        Some(Forecast {
            name: item.name.to_owned(),
            op,
            macs: layer.macs(),
            dense: at(Stored::Dense)?,
            half: at(Stored::Blocks(0.5))?,
            quarter: at(Stored::Blocks(0.25))?,
            break_even: break_even(target, &layer)?,
        })
    };
    items.iter().filter_map(forecast).collect()
}
