//! Soft nearest-neighbour loss of each channel's activations against the groups (SCP, Kong et al., MICCAI 2024).
//!
//! `SNNL = -1/b Σ_i ln( Σ_{j≠i, S_j=S_i} e^(-d_ij/T) / Σ_{j≠i} e^(-d_ij/T) )` with the cosine distance `d` of the
//! channel's flattened map and `T = 1`. A low loss means that the channel tells the groups apart; such channels go
//! first. No gradients are needed. Rows are drawn alike from every group of the contract's first entry, and rows that
//! belong to several entries count by that one.

use super::{Scores, Scoring};
use crate::error::Result;
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
    let of_entry: Vec<usize> = groups.of_entry(0).into_iter().filter(|&g| !groups.groups[g].rows.is_empty()).collect();
    let each = (ROWS / of_entry.len().max(1)).max(2);
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for &g in &of_entry {
        let own: Vec<usize> = groups.groups[g].rows.sample(rng, each).copied().collect();
        labels.extend(std::iter::repeat_n(g, own.len()));
        rows.extend(own);
    }
    let net = Net::new(s.graph, s.device);
    // The last node of a class is what its readers see.
    let seen: Vec<usize> = s.coupling.classes.iter().map(|c| c.nodes.iter().copied().max().unwrap_or(0)).collect();
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

/// Loss of one channel's maps.
fn loss(maps: &[&[f32]], labels: &[usize]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let norms: Vec<f64> = maps.iter().map(|m| dot(m, m).sqrt().max(1e-12)).collect();
    let mut total = 0.0;
    for (i, a) in maps.iter().enumerate() {
        let (mut same, mut all) = (0.0, 0.0);
        for (j, b) in maps.iter().enumerate().filter(|(j, _)| *j != i) {
            let near = (dot(a, b) / (norms[i] * norms[j]) - 1.0).exp();
            all += near;
            if labels[i] == labels[j] {
                same += near;
            }
        }
        total -= (same.max(1e-300) / all.max(1e-300)).ln();
    }
    total / maps.len().max(1) as f64
}
