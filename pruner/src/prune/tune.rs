//! Fine-tuning between and after the steps of pruning, with the terms of the method.
//!
//! When constraints act is part of a method. `fair-then-prune` and `prune-then-fair` are the two-stage baselines of Dai et
//! al. 2023: the constraint acts on the dense network before pruning, for a third of the recovery's steps, or in the
//! recovery alone, with BiFP's surrogate where no constraint is named. `last-layer` (Mao et al., arXiv 2304.03935) trains the
//! last layer alone at the end, for a quarter of the steps, under the constraint (CEAG where none is named): few weights
//! over-fit a constraint less. It does so on the folded network, so that no normalisation moves, and what the recovery
//! gave stays where it is as good on the selection rows. Labels choose the best network of a fine-tuning only where the
//! constraints act in it.

use super::norm::with_norm;
use super::recipe::{Kind, When, is_constraint};
use super::schedule::Search;
use super::standing::Standing;
use super::terms::ceag::Constraint;
use super::terms::distil::Distil;
use super::terms::equal_loss::EqualLoss;
use super::terms::lift::Lift;
use super::terms::surrogate::Surrogate;
use crate::error::Result;
use crate::graph::Graph;
use crate::graph::norm::fold_batch_norm;
use crate::net::Net;
use crate::net::optimise::{Schedule, Task, fit};
use crate::net::term::{Reference, Term};
use crate::progress::Stop;
use indicatif::ProgressBar;
use rand_chacha::ChaCha8Rng;

/// Where in the schedule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Between,
    Recovery,
    LastLayer,
}

/// One fine-tuning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    stage: Stage,
    steps: usize,
    /// Weights that are zero stay zero.
    hold_zeros: bool,
}

impl Tuning {
    /// Of the dense network, before anything is pruned.
    pub fn before(steps: usize) -> Self {
        Tuning { stage: Stage::Before, steps, hold_zeros: false }
    }

    /// Between two steps of pruning.
    pub fn between(steps: usize, hold_zeros: bool) -> Self {
        Tuning { stage: Stage::Between, steps, hold_zeros }
    }

    /// At the end, keeping the best on the selection rows.
    pub fn recovery(steps: usize, hold_zeros: bool) -> Self {
        Tuning { stage: Stage::Recovery, steps, hold_zeros }
    }

    /// Of the last layer alone, keeping the best.
    pub fn last_layer(steps: usize, hold_zeros: bool) -> Self {
        Tuning { stage: Stage::LastLayer, steps, hold_zeros }
    }

    fn keeps_best(&self) -> bool {
        matches!(self.stage, Stage::Recovery | Stage::LastLayer)
    }
}

/// The terms of a method, whose multipliers live from one fine-tuning to the next.
pub(super) struct Tuner<'a> {
    search: &'a Search<'a>,
    /// Constraints come last, so that the others are a slice.
    terms: Vec<Box<dyn Term + 'a>>,
    constraints: usize,
    stop: &'a Stop,
    progress: &'a ProgressBar,
}

impl<'a> Tuner<'a> {
    pub fn new(search: &'a Search<'a>, stop: &'a Stop, progress: &'a ProgressBar) -> Self {
        let recipe = &search.options.method;
        let mut kinds = recipe.terms.clone();
        kinds.sort_by_key(|k| is_constraint(*k));
        let terms: Vec<_> = kinds.iter().filter_map(|k| term(search, *k)).collect();
        let constraints = kinds.iter().filter(|k| is_constraint(**k)).count();
        Tuner { search, terms, constraints, stop, progress }
    }

    /// The network fine-tuned, folded.
    ///
    /// # Errors
    /// When the device fails, or training diverged.
    pub fn tune(&mut self, graph: &Graph, how: Tuning, rng: &mut ChaCha8Rng) -> Result<Graph> {
        let (s, o) = (self.search, self.search.options);
        // Only the recovery is long enough for it: in the short tunings between, the scales of restored
        // normalisations move faster than the rest follows, and the next scores would be those of a ruin.
        let restore = o.restore_norm && how.stage == Stage::Recovery;
        let start = if restore { with_norm(graph, s.train.set, &o.device)? } else { graph.clone() };
        let schedule = Schedule {
            steps: how.steps,
            batch: o.batch,
            rate: o.rate,
            decay: 1e-4,
            eval_every: if how.keeps_best() { (how.steps / 10).max(1) } else { how.steps.max(1) },
        };
        let net = Net::new(&start, &o.device.clone().autodiff());
        let constrained = acts(o.method.when, how.stage);
        let active = if constrained { self.terms.len() } else { self.terms.len() - self.constraints };
        let reference = o.method.has_hints().then(|| Reference::new(s.dense, &start, &o.device));
        let dense = o.method.has(Kind::Mix).then(|| Net::new(s.dense, &o.device));
        let mut task = Task {
            train: s.train.set,
            row_weight: &s.row_weight,
            terms: &mut self.terms[..active],
            reference: reference.as_ref(),
            hold_zeros: how.hold_zeros,
            mix: dense.as_ref(),
            average: how.keeps_best() && o.method.has(Kind::Average),
            only: if how.stage == Stage::LastLayer { start.last_layer() } else { None },
        };
        // Where the constraints are silent, labels do not choose either.
        let bounded = constrained && o.method.has_constraint();
        let mut best = |net: &Net| -> Result<f64> {
            let Standing { overall, shown_excess_drop, .. } = s.judge(net)?;
            // Feasible candidates by their metric; others lose twice what they are shown to be over the bound.
            Ok(overall - if bounded { 2.0 * (shown_excess_drop - s.bound).max(0.0) } else { 0.0 })
        };
        let score: Option<crate::net::optimise::Score> = if how.keeps_best() { Some(&mut best) } else { None };
        let net = fit(net, &mut task, &schedule, score, rng, self.stop, self.progress)?;
        // What the recovery gave stays where training its last layer made it no better.
        if how.stage == Stage::LastLayer && best(&Net::new(&start, &o.device))? >= best(&net.valid())? {
            return Ok(start);
        }
        Ok(fold_batch_norm(net.to_graph()?))
    }
}

/// Whether the constraints act at a stage.
fn acts(when: When, stage: Stage) -> bool {
    match (when, stage) {
        // The last layer is trained for the constraint, whenever else it acts.
        (When::Always, _) | (_, Stage::LastLayer) => true,
        (When::Before, _) => stage == Stage::Before,
        (When::After, _) => stage == Stage::Recovery,
        (When::LastLayer, _) => false,
    }
}

/// The term of a part of a method, where it has one.
fn term<'a>(s: &'a Search, kind: Kind) -> Option<Box<dyn Term + 'a>> {
    let (groups, classes) = (s.train.groups, s.dense.output_shape().len());
    Some(match kind {
        Kind::Distil(teaches) => Box::new(Distil::new(&s.teacher, teaches, s.options.method.has_hints())),
        Kind::Hint(hint) => Box::new(hint),
        Kind::PwLoss => Box::new(s.pw.as_ref()?),
        Kind::Ceag => Box::new(Constraint::new(s.metric, s.bound, groups, &s.dense_train, &s.row_weight, classes)),
        Kind::Lift => Box::new(Lift::new(s.metric, s.bound, groups, &s.dense_train, classes)),
        Kind::EqualLoss => Box::new(EqualLoss::new(groups)),
        Kind::Surrogate => Box::new(Surrogate::new(groups)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_act_when_the_method_says() {
        let stages = [Stage::Before, Stage::Between, Stage::Recovery, Stage::LastLayer];
        let of = |when: When| stages.map(|stage| acts(when, stage));
        assert_eq!(of(When::Always), [true; 4]);
        assert_eq!(of(When::Before), [true, false, false, true]);
        assert_eq!(of(When::After), [false, false, true, true]);
        assert_eq!(of(When::LastLayer), [false, false, false, true]);
    }
}
