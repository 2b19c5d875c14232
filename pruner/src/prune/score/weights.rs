//! Scores from the weights alone.

use super::{Scores, Scoring};
use crate::couple::{Class, Coupling};
use crate::error::Result;
use crate::graph::{Graph, Op};
use crate::prune::norm::with_norm;
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

/// `|γ|` of the batch normalisation behind the producers (network slimming, Liu et al. 2017), scaled to mean 1 in each
/// layer so that layers compare. Networks arrive folded, so the normalisation is measured on training rows again.
///
/// # Errors
/// When the device fails.
pub fn bn_scale(s: &Scoring) -> Result<Scores> {
    let normed = with_norm(s.graph, s.train.set, s.device)?;
    let gamma = |name: &str| {
        let conv = normed.nodes.iter().position(|n| n.name == name)?;
        normed.nodes.iter().find_map(|n| match &n.op {
            Op::BatchNorm(b) if n.inputs == [conv] => Some(b.gamma.as_slice()),
            _ => None,
        })
    };
    let classes = s.coupling.classes.iter().map(|class| {
        let mut score = vec![0.0; class.channels];
        for member in class.producers.iter().chain(&class.through) {
            let Some(gamma) = gamma(&s.graph.nodes[member.node].name) else { continue };
            let own: Vec<f64> = gamma[member.offset..].chunks(member.span).map(|g| f64::from(g[0].abs())).collect();
            let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
            score.iter_mut().zip(own).for_each(|(s, g)| *s += g / mean.max(1e-12));
        }
        score
    });
    Ok(Scores { groups: vec![classes.collect()] })
}
