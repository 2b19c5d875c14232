//! Soft nearest-neighbour loss of each channel's activations against the groups (SCP, Kong et al., MICCAI 2024).
//!
//! `SNNL = -1/b Σ_i ln( Σ_{j≠i, S_j=S_i} e^(-d_ij/T) / Σ_{j≠i} e^(-d_ij/T) )` with the cosine distance `d` of the
//! channel's flattened map and `T = 1`. A low loss means that the channel tells the groups apart; such channels go
//! first. No gradients are needed. Rows are drawn alike from every group of the contract's first entry that has two
//! or more, and rows that belong to several entries count by that one.
//!
//! A channel is looked at where its map is whole, before a global pool. Channels of a single value have no direction: all
//! that are positive would be alike. There `d` is the squared difference over the variance of the channel.

use super::{Scores, Scoring};
use crate::couple::Class;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::net::{Net, floats};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Rows that are compared with each other.
const ROWS: usize = 192;

/// Scores of every channel.
///
/// # Errors
/// When the device fails.
pub fn snnl(s: &Scoring, rng: &mut ChaCha8Rng) -> Result<Scores> {
    let groups = s.train.groups;
    let of_entry: Vec<usize> = groups.of_entry(0).into_iter().filter(|&g| groups.groups[g].rows.len() > 1).collect();
    let each = (ROWS / of_entry.len().max(1)).max(2);
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for &g in &of_entry {
        let own: Vec<usize> = groups.groups[g].rows.sample(rng, each).copied().collect();
        labels.extend(std::iter::repeat_n(g, own.len()));
        rows.extend(own);
    }
    let net = Net::new(s.graph, s.device);
    let seen: Vec<NodeId> = s.coupling.classes.iter().map(|c| whole(s.graph, c)).collect();
    let watch: Vec<usize> = seen.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let values = net.forward_hooked(net.input(s.train.set.gather(&rows)), &[], &watch).1;
    let mut out = Vec::with_capacity(seen.len());
    for (i, (class, node)) in s.coupling.classes.iter().zip(&seen).enumerate() {
        if class.frozen.is_some() {
            out.push(vec![0.0; class.channels]);
            continue;
        }
        let value = &values[watch.partition_point(|w| w < node)];
        let [n, c, h, w] = value.dims();
        let (host, sample) = (floats(value.clone())?, c * h * w);
        let parts = s.coupling.parts(*node);
        let before = parts.iter().take_while(|p| p.class != i);
        let offset: usize = before.map(|p| p.span * s.coupling.classes[p.class].channels * h * w).sum();
        let span = parts.iter().find(|p| p.class == i).map_or(1, |p| p.span) * h * w;
        let map =
            |u: usize| -> Vec<&[f32]> { (0..n).map(|k| &host[k * sample + offset + u * span..][..span]).collect() };
        out.push((0..class.channels).map(|u| loss(&map(u), &labels)).collect());
    }
    Ok(Scores { groups: vec![out] })
}

/// The last node whose value has a map of each channel; where there is none, the last of all, which its readers see.
fn whole(graph: &Graph, class: &Class) -> NodeId {
    let is_map = |&&id: &&NodeId| graph.nodes[id].shape.h * graph.nodes[id].shape.w > 1;
    class.nodes.iter().filter(is_map).max().or(class.nodes.iter().max()).copied().unwrap_or(0)
}

/// Loss of one channel's maps.
fn loss(maps: &[&[f32]], labels: &[usize]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let norms: Vec<f64> = maps.iter().map(|m| dot(m, m).sqrt().max(1e-12)).collect();
    let n = maps.len().max(1) as f64;
    let value = |m: &&[f32]| f64::from(m.first().copied().unwrap_or(0.0));
    let mean = maps.iter().map(value).sum::<f64>() / n;
    let var = (maps.iter().map(|m| (value(m) - mean).powi(2)).sum::<f64>() / n).max(1e-12);
    let distance = |i: usize, j: usize| match maps[i].len() {
        1 => (value(&maps[i]) - value(&maps[j])).powi(2) / var,
        _ => 1.0 - dot(maps[i], maps[j]) / (norms[i] * norms[j]),
    };
    let mut total = 0.0;
    for i in 0..maps.len() {
        let (mut same, mut all) = (0.0, 0.0);
        for j in (0..maps.len()).filter(|j| *j != i) {
            let near = (-distance(i, j)).exp();
            all += near;
            if labels[i] == labels[j] {
                same += near;
            }
        }
        total -= (f64::max(same, 1e-300) / f64::max(all, 1e-300)).ln();
    }
    total / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let e = std::f64::consts::E;
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
        let (a, b): (&[f32], &[f32]) = (&[2.0, 0.0], &[0.0, 1.0]);
        // Cosine distance 0 in a group, 1 between them.
        near(loss(&[a, a, b, b], &[0, 0, 1, 1]), (1.0 + 2.0 / e).ln());
        near(loss(&[a, a, b, b], &[0, 1, 0, 1]), (1.0 + 2.0 / e).ln() + 1.0);
        // Single values, all positive: squared difference over a variance of 1.
        let values: [&[f32]; 4] = [&[1.0], &[1.0], &[3.0], &[3.0]];
        near(loss(&values, &[0, 0, 1, 1]), (1.0 + 2.0 * (-4.0_f64).exp()).ln());
        // A channel that is dead tells nothing.
        let dead: [&[f32]; 4] = [&[0.0, 0.0]; 4];
        near(loss(&dead, &[0, 0, 1, 1]), 3.0_f64.ln());
    }
}
