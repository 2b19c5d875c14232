//! The space that is searched: a width for every class of channels that may shrink.

use super::nsga::Genome;
use crate::couple::{Coupling, widths};
use crate::error::Result;
use crate::graph::Graph;
use crate::lower::Cost;
use crate::prune::resize::Shapes;
use crate::prune::select::{Frame, Limits, Rules, allowed};
use rand::{Rng, RngExt};
use std::cell::RefCell;

/// The widths that every class may take, and what a network of them costs.
pub(super) struct Space<'a> {
    shapes: RefCell<Shapes<'a>>,
    frame: &'a Frame,
    /// Classes with more than one width.
    classes: Vec<usize>,
    /// Of each of them, its widths, ascending.
    allowed: Vec<Vec<usize>>,
    /// Widths of all classes in the dense network.
    dense: Vec<usize>,
}

impl<'a> Space<'a> {
    /// The space of a folded dense network under the rules.
    pub fn new(dense: &Graph, coupling: &'a Coupling, rules: &Rules, frame: &'a Frame) -> Self {
        let all = coupling.classes.iter().map(|c| allowed(dense, c, rules)).enumerate();
        let (classes, allowed) = all.filter(|(_, widths)| widths.len() > 1).unzip();
        let shapes = RefCell::new(Shapes::new(dense, coupling));
        Space { shapes, frame, classes, allowed, dense: widths(coupling) }
    }

    /// How many widths each gene chooses from.
    pub fn levels(&self) -> Vec<usize> {
        self.allowed.iter().map(Vec::len).collect()
    }

    /// The width of every class.
    pub fn widths(&self, genome: &Genome) -> Vec<usize> {
        let mut widths = self.dense.clone();
        for ((&class, allowed), &level) in self.classes.iter().zip(&self.allowed).zip(genome) {
            widths[class] = allowed[level.min(allowed.len() - 1)];
        }
        widths
    }

    /// The genome of the widest network that is nowhere wider than `widths`, where the rules allow that.
    pub fn genome(&self, widths: &[usize]) -> Genome {
        let level = |(&class, allowed): (&usize, &Vec<usize>)| {
            allowed.partition_point(|w| *w <= widths[class]).saturating_sub(1)
        };
        self.classes.iter().zip(&self.allowed).map(level).collect()
    }

    /// What the file of a network of these widths costs.
    pub fn cost(&self, genome: &Genome) -> Result<Cost> {
        let mut shapes = self.shapes.borrow_mut();
        self.widths(genome).into_iter().enumerate().for_each(|(class, width)| shapes.set(class, width));
        self.frame.cost(shapes.graph())
    }

    /// The genome with one level less in genes that chance names, until the limits hold: no time goes into training
    /// what the budget forbids.
    pub fn repair(&self, mut genome: Genome, limits: &Limits, rng: &mut impl Rng) -> Result<Genome> {
        while !limits.hold(&self.cost(&genome)?) {
            let larger: Vec<usize> = (0..genome.len()).filter(|&i| genome[i] > 0).collect();
            // The smallest network keeps every limit that can be met.
            let Some(&gene) = (!larger.is_empty()).then(|| &larger[rng.random_range(0..larger.len())]) else { break };
            genome[gene] -= 1;
        }
        Ok(genome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::couple::couple;
    use crate::graph::norm::fold_batch_norm;
    use crate::graph::samples::random_graph;
    use crate::prune::schedule::can_be_met;
    use crate::prune::score::magnitude;
    use crate::prune::select::{Candidates, Policy, narrow};
    use crate::prune::shrink::shrink;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Any genome is a network that can be cut out of the dense one, costs what the space says and, repaired, keeps
        /// the limits.
        #[test]
        fn genomes_are_networks(seed: u64, round_to in 1usize..5, share in 0.2f64..1.0, by_group: bool) {
            let graph = fold_batch_norm(random_graph(seed));
            let frame = Frame::default();
            let Ok(dense) = frame.cost(&graph) else { return Ok(()) };
            let coupling = couple(&graph);
            let policy = if by_group { Policy::Share } else { Policy::Cheapest };
            let rules = Rules { round_to, min_share: 0.1, policy };
            let space = Space::new(&graph, &coupling, &rules, &frame);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let genome: Genome = space.levels().iter().map(|&l| rng.random_range(0..l)).collect();
            prop_assert_eq!(&space.genome(&space.widths(&genome)), &genome);
            let scores = magnitude(&graph, &coupling);
            let all = widths(&coupling);
            let from = Candidates { graph: &graph, coupling: &coupling, scores: &scores, dense_widths: &all };
            let small = shrink(&graph, &coupling, &narrow(&from, &space.widths(&genome), &rules)).unwrap();
            prop_assert_eq!(widths(&couple(&small)), space.widths(&genome));
            prop_assert_eq!(frame.cost(&small).unwrap(), space.cost(&genome).unwrap());
            let limits = Limits { macs: Some((dense.macs as f64 * share) as u64), ..Default::default() };
            if can_be_met(&graph, &coupling, &limits, &rules, &frame).is_ok() {
                let repaired = space.repair(genome, &limits, &mut rng).unwrap();
                prop_assert!(limits.hold(&space.cost(&repaired).unwrap()));
            }
        }
    }
}
