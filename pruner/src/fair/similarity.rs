//! Linear CKA between the layers of a dense and a pruned network, for everybody and for every group.
//!
//! Layers are convolutions, linear layers and sums, matched by name, before their activation. A layer's features are its
//! channels, each averaged over space: the memory is rows × channels, and both networks may have any widths. What a
//! channel does at one place and undoes at another is not seen. Values of groups of different size do not compare well
//! (see [`super::cka`]), so the number of rows stands beside each. Intervals come from a jackknife over clusters, or over
//! twenty blocks of rows, with Student's t, and hold at once for all groups and everybody of a layer.

use super::cka::{Gram, jackknife_error, linear_cka};
use super::stats::t_quantile;
use super::table::align;
use super::verdict::Bounded;
use crate::data::GroupSet;
use crate::error::{Error, Result};
use crate::graph::{Graph, Op};
use crate::net::{Net, Set, floats};
use crate::progress::Stop;
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most rows that everybody is represented by.
const EVERYBODY: usize = 512;

/// Most rows of a group, and of all groups together.
const GROUP: usize = 256;
const GROUPS: usize = 4096;

/// Fewest rows that a group needs.
const FEWEST: usize = 8;

/// Blocks of the jackknife where rows are independent.
const BLOCKS: u32 = 20;

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

/// CKA of one layer, 0 to 1; without value where all rows are represented alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSimilarity {
    /// Its name.
    pub layer: String,
    /// Of everybody.
    pub everybody: Bounded,
    /// Of each group with at least eight rows.
    pub groups: BTreeMap<String, Bounded>,
}

/// Rows to compare two networks on.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The rows.
    pub set: &'a Set,
    /// Their groups.
    pub groups: &'a GroupSet,
    /// Their clusters, where they are not independent.
    pub clusters: Option<&'a [u32]>,
    /// Confidence of the intervals.
    pub confidence: f64,
}

/// Compares two networks layer by layer on the rows of `sample`.
///
/// # Errors
/// Networks without a layer in common, no rows, a device that fails, or when the user stopped it.
pub fn similarity(
    dense: &Graph,
    pruned: &Graph,
    sample: Sample<'_>,
    device: &Device,
    stop: &Stop,
) -> Result<Similarity> {
    let Sample { set, groups, clusters, confidence } = sample;
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
    let alpha = (1.0 - confidence) / (2 * (of_groups.len() + 1)) as f64;
    let layer = |((id, d), p): ((&usize, &Vec<f32>), &Vec<f32>)| {
        let cka = |some: &[usize]| {
            let gram = |x: &[f32]| {
                let width = x.len() / rows.len();
                let at = |row: &usize| rows.binary_search(row).map_or(&[][..], |k| &x[k * width..(k + 1) * width]);
                Gram::of(&some.iter().flat_map(at).copied().collect::<Vec<f32>>(), some.len())
            };
            let (d, p) = (gram(d), gram(p));
            let blocks: Vec<u32> = match clusters {
                Some(c) => some.iter().map(|&row| c[row]).collect(),
                None => (0..some.len() as u32).map(|k| k % BLOCKS).collect(),
            };
            bounded(linear_cka(&d, &p), jackknife_error(&d, &p, &blocks), &blocks, alpha)
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

/// A value with its interval at level `1 - 2 alpha`.
fn bounded(value: Option<f64>, error: Option<f64>, blocks: &[u32], alpha: f64) -> Bounded {
    let count = blocks.iter().collect::<BTreeSet<_>>().len();
    let half = error.map(|e| e * t_quantile(1.0 - alpha, count as f64 - 1.0));
    let at = |sign: f64| Some((value? + sign * half?).clamp(0.0, 1.0));
    Bounded { value, lower: at(-1.0), upper: at(1.0) }
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
    let show = |b: Bounded| match (b.value, b.lower, b.upper) {
        (Some(v), Some(lo), Some(hi)) => format!("{v:.3} [{lo:.2}, {hi:.2}]"),
        (Some(v), ..) => format!("{v:.3}"),
        _ => "–".to_owned(),
    };
    let names: Vec<&String> = s.group_rows.keys().collect();
    let all = names.len() <= 4;
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
            row.extend(names.iter().map(|n| show(l.groups.get(*n).copied().unwrap_or_default())));
        } else {
            let valued = l.groups.iter().filter_map(|(n, b)| Some((n, *b, b.value?)));
            let least = valued.min_by(|a, b| a.2.total_cmp(&b.2));
            row.extend(least.map(|(n, b, _)| format!("{n} {}", show(b))));
        }
        rows.push(row);
    }
    align(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::groups::Group;
    use crate::net::{device, zoo};

    /// Twelve rows of made-up values, the last two a group that is too small.
    fn rows(graph: &Graph) -> (Set, GroupSet) {
        let width = graph.input_shape().len();
        let x = (0..12 * width).map(|i| ((i * 37 + i / width * 11) % 101) as f32 / 40.0 - 1.2).collect();
        let groups = [("many", 0..10), ("few", 10..12)].map(|(n, r)| Group { name: n.into(), rows: r.collect() });
        let of_row = (0..12).map(|i| vec![u32::from(i > 9)]).collect();
        (Set::for_test(x, vec![0; 12], width), GroupSet { groups: groups.to_vec(), of_row })
    }

    #[test]
    fn a_network_is_like_itself_and_unlike_another() {
        let cpu = device("cpu").unwrap();
        let net = |seed| zoo::build("cnn1d", &[3, 32], 4, seed).unwrap();
        let (set, groups) = rows(&net(1));
        let of = |other: &Graph| {
            let sample = Sample { set: &set, groups: &groups, clusters: None, confidence: 0.9 };
            similarity(&net(1), other, sample, &cpu, &Stop::default()).unwrap()
        };
        let (own, other) = (of(&net(1)), of(&net(2)));
        assert!(own.layers.len() > 2 && own.group_rows == BTreeMap::from([("many".to_owned(), 10)]));
        for (a, b) in own.layers.iter().zip(&other.layers) {
            let [a, b] = [a, b].map(|l| l.groups["many"]);
            assert!((a.value.unwrap() - 1.0).abs() < 1e-9 && a.lower.unwrap() > 0.999);
            assert!(b.value.unwrap() < 0.9999 && b.lower < b.value && b.value < b.upper, "{b:?}");
        }
        assert!(table(&other).lines().count() == own.layers.len() + 1);
    }

    #[test]
    fn networks_without_a_common_layer_are_refused() {
        let cpu = device("cpu").unwrap();
        let dense = zoo::build("mlp", &[8], 3, 0).unwrap();
        let mut other = dense.clone();
        other.nodes.iter_mut().for_each(|n| n.name.push('x'));
        let (set, groups) = rows(&dense);
        let sample = Sample { set: &set, groups: &groups, clusters: None, confidence: 0.9 };
        let e = similarity(&dense, &other, sample, &cpu, &Stop::default()).unwrap_err().to_string();
        assert!(e.contains("same name"), "{e}");
    }
}
