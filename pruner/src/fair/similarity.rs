//! Linear CKA between the layers of a dense and a pruned network, for everybody and for every group.
//!
//! Layers are convolutions, linear layers and sums, matched by name, before their activation. A layer's features are its
//! channels, each averaged over space: the memory is rows × channels, and both networks may have any widths. What a
//! channel does at one place and undoes at another is not seen. Values of groups of different size do not compare well
//! (see [`super::cka`]), so `rows` stands beside each.

use super::cka::{Gram, linear_cka};
use super::table::align;
use crate::data::GroupSet;
use crate::error::{Error, Result};
use crate::graph::{Graph, Op};
use crate::net::{Net, Set, floats};
use crate::progress::Stop;
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most rows that everybody is represented by.
const EVERYBODY: usize = 512;

/// Most rows of a group, and of all groups together.
const GROUP: usize = 256;
const GROUPS: usize = 4096;

/// Fewest rows that a group needs.
const FEWEST: usize = 8;

/// Rows whose activations are held at once.
const BATCH: usize = 32;

/// CKA of all layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// Rows that stand for everybody, evenly spread.
    pub rows: usize,
    /// Rows that stand for each group.
    pub group_rows: BTreeMap<String, usize>,
    /// In the network's order.
    pub layers: Vec<LayerSimilarity>,
}

/// CKA of one layer, 0 to 1; `None` where all rows are represented alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSimilarity {
    /// Its name.
    pub layer: String,
    /// Of everybody.
    pub everybody: Option<f64>,
    /// Of each group with at least eight rows.
    pub groups: BTreeMap<String, Option<f64>>,
}

/// Compares two networks layer by layer on the rows of `set`.
///
/// # Errors
/// Networks without a layer in common, no rows, a device that fails, or when the user stopped it.
pub fn similarity(
    dense: &Graph,
    pruned: &Graph,
    set: &Set,
    groups: &GroupSet,
    device: &Device,
    stop: &Stop,
) -> Result<Similarity> {
    let pairs = matched(dense, pruned);
    if pairs.is_empty() || set.is_empty() {
        return Err(Error::new("the two networks have no layer of the same name, or there are no rows")
            .help("compare a network with what was pruned from it"));
    }
    let everybody = spread(&(0..set.len()).collect::<Vec<_>>(), EVERYBODY);
    let each = GROUP.min(GROUPS / groups.groups.len().max(1)).max(FEWEST);
    let of_groups: Vec<(&str, Vec<usize>)> = groups
        .groups
        .iter()
        .filter(|g| g.rows.len() >= FEWEST)
        .map(|g| (g.name.as_str(), spread(&g.rows, each)))
        .collect();
    let mut rows: Vec<usize> = of_groups.iter().flat_map(|g| &g.1).chain(&everybody).copied().collect();
    rows.sort_unstable();
    rows.dedup();
    let features = |graph: &Graph, ids: &[usize]| features(&Net::new(graph, device), ids, set, &rows, stop);
    let (ids_d, ids_p): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
    let (of_dense, of_pruned) = (features(dense, &ids_d)?, features(pruned, &ids_p)?);
    let layer = |((id, d), p): ((&usize, &Vec<f32>), &Vec<f32>)| {
        let cka = |some: &[usize]| {
            let gram = |x: &[f32]| {
                let width = x.len() / rows.len();
                let at = |row: &usize| rows.binary_search(row).map_or(&[][..], |k| &x[k * width..(k + 1) * width]);
                Gram::of(&some.iter().flat_map(at).copied().collect::<Vec<f32>>(), some.len())
            };
            linear_cka(&gram(d), &gram(p))
        };
        LayerSimilarity {
            layer: dense.nodes[*id].name.clone(),
            everybody: cka(&everybody),
            groups: of_groups.iter().map(|(name, rows)| ((*name).to_owned(), cka(rows))).collect(),
        }
    };
    let layers = ids_d.par_iter().zip(&of_dense).zip(&of_pruned).map(layer).collect();
    let group_rows = of_groups.iter().map(|(name, rows)| ((*name).to_owned(), rows.len())).collect();
    Ok(Similarity { rows: everybody.len(), group_rows, layers })
}

/// Layers of both networks, by name.
fn matched(dense: &Graph, pruned: &Graph) -> Vec<(usize, usize)> {
    let is_layer = |op: &Op| matches!(op, Op::Conv(_) | Op::Linear(_) | Op::Add);
    let of_pruned: BTreeMap<&str, usize> =
        pruned.nodes.iter().enumerate().filter(|(_, n)| is_layer(&n.op)).map(|(i, n)| (n.name.as_str(), i)).collect();
    let layers = dense.nodes.iter().enumerate().filter(|(_, n)| is_layer(&n.op));
    layers.filter_map(|(i, n)| Some((i, *of_pruned.get(n.name.as_str())?))).collect()
}

/// At most `count` of `rows`, evenly spread.
fn spread(rows: &[usize], count: usize) -> Vec<usize> {
    let n = rows.len().min(count);
    (0..n).map(|k| rows[k * rows.len() / n]).collect()
}

/// Per node, `rows × channels`.
fn features(net: &Net, ids: &[usize], set: &Set, rows: &[usize], stop: &Stop) -> Result<Vec<Vec<f32>>> {
    let mut out = vec![Vec::new(); ids.len()];
    for rows in rows.chunks(BATCH) {
        stop.check()?;
        let values = net.forward_all(net.input(set.gather(rows)));
        for (out, &id) in out.iter_mut().zip(ids) {
            out.extend(floats(values[id].clone().mean_dim(3).mean_dim(2))?);
        }
    }
    Ok(out)
}

/// Layers by groups as text; ends with a newline. Of many groups, the least alike one stands for all.
pub(super) fn table(s: &Similarity) -> String {
    let show = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let names: Vec<&String> = s.group_rows.keys().collect();
    let all = names.len() <= 6;
    let mut head = vec!["CKA dense–pruned".to_owned(), format!("everybody ({})", s.rows)];
    if all {
        head.extend(s.group_rows.iter().map(|(name, n)| format!("{name} ({n})")));
    } else {
        head.push("least alike group".to_owned());
    }
    let mut rows = vec![head];
    for l in &s.layers {
        let mut row = vec![l.layer.clone(), show(l.everybody)];
        if all {
            row.extend(names.iter().map(|n| show(l.groups.get(*n).copied().flatten())));
        } else {
            let least = l.groups.iter().filter_map(|(n, v)| Some((n, (*v)?))).min_by(|a, b| a.1.total_cmp(&b.1));
            row.extend(least.map(|(n, v)| format!("{n} {}", show(Some(v)))));
        }
        rows.push(row);
    }
    align(&rows)
}
