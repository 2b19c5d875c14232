//! Scores from the weights alone.

use super::{Scores, Scoring};
use crate::couple::{Class, Coupling};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::prune::norm::moments;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Every channel as good as any other: what a method must beat.
pub fn random(coupling: &Coupling, rng: &mut ChaCha8Rng) -> Scores {
    let score = |class: &Class| (0..class.channels).map(|_| rng.random_range(0.0..1.0)).collect();
    Scores { groups: vec![coupling.classes.iter().map(score).collect()] }
}

/// L1 norm of the filters that produce a channel, summed over the producers of its class (Li et al. 2017).
pub fn magnitude(graph: &Graph, coupling: &Coupling) -> Scores {
    let score = |class: &Class| {
        let mut s = vec![0.0; class.channels];
        filters(graph, class, |filters| {
            for (s, f) in s.iter_mut().zip(filters) {
                *s += f.iter().map(|v| f64::from(v.abs())).sum::<f64>();
            }
        });
        s
    };
    Scores { groups: vec![coupling.classes.iter().map(score).collect()] }
}

/// Sum of the distances of a filter to all others of its layer, summed over the producers of its class (FPGM, He et al.
/// 2019): a filter in the middle of the others can be replaced by them. Distances are Euclidean, as in the paper.
pub fn fpgm(graph: &Graph, coupling: &Coupling) -> Scores {
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let score = |class: &Class| {
        let mut s = vec![0.0; class.channels];
        filters(graph, class, |filters| {
            for (s, f) in s.iter_mut().zip(filters) {
                *s += filters.iter().map(|other| distance(f, other)).sum::<f64>();
            }
        });
        s
    };
    Scores { groups: vec![coupling.classes.iter().map(score).collect()] }
}

/// Calls `each` with the filters of every producer of a class, one per channel.
fn filters(graph: &Graph, class: &Class, mut each: impl FnMut(&[&[f32]])) {
    for member in class.producers.iter().chain(&class.through) {
        let (weight, fan_in) = match &graph.nodes[member.node].op {
            Op::Conv(c) => (&c.weight, c.fan_in()),
            Op::Linear(l) => (&l.weight, l.inp),
            _ => continue,
        };
        let run = member.span * fan_in;
        let all: Vec<&[f32]> = weight[member.offset * fan_in..].chunks(run).take(class.channels).collect();
        each(&all);
    }
}

/// `|γ|` of the batch normalisation behind the layers that make a channel (network slimming, Liu et al. 2017), scaled to
/// mean 1 in each layer, and the mean over the layers, so that classes compare.
///
/// Networks arrive folded. The scale of a normalisation is the standard deviation of its output, so that is measured on
/// training rows; of fully connected layers too, which have none.
///
/// # Errors
/// When the device fails.
pub fn bn_scale(s: &Scoring) -> Result<Scores> {
    let is_layer = |&id: &NodeId| matches!(s.graph.nodes[id].op, Op::Conv(_) | Op::Linear(_));
    let layers: Vec<NodeId> = (0..s.graph.nodes.len()).filter(is_layer).collect();
    let moments = moments(s.graph, &layers, s.train.set, s.device)?;
    let of_class = |class: &Class| {
        let (mut score, mut members) = (vec![0.0; class.channels], 0.0);
        for member in class.producers.iter().chain(&class.through) {
            let Some(at) = layers.iter().position(|id| *id == member.node) else { continue };
            let own = moments[at].1[member.offset..].chunks(member.span).take(class.channels);
            let own: Vec<f64> = own.map(|var| (var.iter().sum::<f64>() / var.len() as f64).sqrt()).collect();
            let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
            score.iter_mut().zip(own).for_each(|(s, g)| *s += g / mean.max(1e-12));
            members += 1.0;
        }
        score.iter_mut().for_each(|s| *s /= f64::max(members, 1.0));
        score
    };
    Ok(Scores { groups: vec![s.coupling.classes.iter().map(of_class).collect()] })
}
