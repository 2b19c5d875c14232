//! From widths to a network: cut out of the nearest larger checkpoint by what its channels matter.

use crate::couple::{Coupling, couple, widths};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::prune::schedule::Search;
use crate::prune::score::{Scorer, Scores};
use crate::prune::select::{Candidates, Rules, narrow};
use crate::prune::shrink::shrink;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A network of the run, with its channels scored once.
pub(super) struct Checkpoint {
    pub graph: Graph,
    pub coupling: Coupling,
    pub widths: Vec<usize>,
    pub scores: Scores,
}

impl Checkpoint {
    /// Scores the channels of the run's network number `index` as the method does. Where a method learns its gates, which
    /// takes a training of its own for each budget, by the gradients of gates.
    pub fn new(graph: Graph, index: usize, shared: &Search) -> Result<Self> {
        let coupling = couple(&graph);
        let widths = widths(&coupling);
        if widths.len() != shared.widths.len() || widths.iter().zip(&shared.widths).any(|(now, dense)| now > dense) {
            return Err(Error::new("a checkpoint of the work folder does not fit the network")
                .help("choose another --work, or remove this folder and begin anew"));
        }
        let scorer = match shared.options.method.scorer {
            Scorer::Bifp | Scorer::Ffw => Scorer::Taylor,
            scorer => scorer,
        };
        let mut rng = seeded(shared.options.seed, &[index]);
        let scores = shared.scoring(&graph, &coupling).scores(scorer, &mut rng)?;
        Ok(Checkpoint { graph, coupling, widths, scores })
    }
}

/// The network of these widths, and the number of the checkpoint that it is cut out of: the last, and so the most
/// trained, that is nowhere narrower. The first is the dense network, which is nowhere narrower than any.
pub(super) fn cut(
    path: &[Checkpoint],
    widths: &[usize],
    dense_widths: &[usize],
    rules: &Rules,
) -> Result<(usize, Graph)> {
    let covers = |c: &Checkpoint| c.widths.iter().zip(widths).all(|(have, want)| have >= want);
    let Some((i, from)) = path.iter().enumerate().rev().find(|(_, c)| covers(c)) else {
        return Err(Error::new("these widths are larger than those of the dense network"));
    };
    let candidates = Candidates { graph: &from.graph, coupling: &from.coupling, scores: &from.scores, dense_widths };
    Ok((i, shrink(&from.graph, &from.coupling, &narrow(&candidates, widths, rules))?))
}

/// Random numbers that belong to a seed and to what they are for, whatever was drawn before.
pub(super) fn seeded(seed: u64, what: &[usize]) -> ChaCha8Rng {
    let mix = |h: u64, w: u64| (h ^ w).wrapping_mul(0x0000_0100_0000_01b3);
    ChaCha8Rng::seed_from_u64(what.iter().fold(mix(0xcbf2_9ce4_8422_2325, seed), |h, &w| mix(h, w as u64 + 1)))
}
