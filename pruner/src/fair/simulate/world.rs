//! Models whose true rates are known: what verdicts are drawn from.

use crate::contract::Metric;

/// The people and the two models, as the population has them.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// What the contract measures: accuracy or macro recall.
    pub metric: Metric,
    /// Groups; their shares sum to 1.
    pub groups: Vec<Group>,
    /// Correlation of the outcomes of two rows of one cluster, 0 to 1.
    pub icc: f64,
}

/// One group of people.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its share of the population.
    pub share: f64,
    /// Its classes; their mixes sum to 1.
    pub classes: Vec<Class>,
}

/// What happens to rows of one class in one group. The rest of the probability is: both models are wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// Share of the group's rows.
    pub mix: f64,
    /// Probability that both models are right.
    pub both: f64,
    /// Probability of a harmful flip: dense right, int8 wrong.
    pub harm: f64,
    /// Probability of a helpful flip: dense wrong, int8 right.
    pub help: f64,
}

/// What a verdict on infinitely many rows would find, per group.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Excess drop: the group's drop less everybody's.
    pub excess: Vec<f64>,
    /// Metric of the int8 model.
    pub int8: Vec<f64>,
}

impl World {
    /// The truth in this population (a superpopulation: the people of a verdict are a sample of it).
    pub fn truth(&self) -> Truth {
        let drop = |c: &Class| c.harm - c.help;
        let everybody = self.everybody(drop);
        Truth {
            excess: self.groups.iter().map(|g| self.of_group(g, drop) - everybody).collect(),
            int8: self.groups.iter().map(|g| self.of_group(g, |c| c.both + c.help)).collect(),
        }
    }

    /// The metric of one group of what `f` says of a row.
    fn of_group(&self, g: &Group, f: impl Fn(&Class) -> f64) -> f64 {
        match self.metric {
            Metric::MacroRecall => g.classes.iter().map(f).sum::<f64>() / g.classes.len() as f64,
            _ => g.classes.iter().map(|c| c.mix * f(c)).sum(),
        }
    }

    /// The metric of everybody.
    fn everybody(&self, f: impl Fn(&Class) -> f64) -> f64 {
        if self.metric != Metric::MacroRecall {
            return self.groups.iter().map(|g| g.share * self.of_group(g, &f)).sum();
        }
        let classes = self.groups.first().map_or(0, |g| g.classes.len());
        let recall = |c: usize| {
            let of = |f: &dyn Fn(&Class) -> f64| {
                self.groups.iter().map(|g| g.share * g.classes[c].mix * f(&g.classes[c])).sum::<f64>()
            };
            of(&f) / of(&|_| 1.0)
        };
        (0..classes).map(recall).sum::<f64>() / classes.max(1) as f64
    }

    /// The same world where each of the groups `which` has more harmful flips, so that the excess drop of the first of
    /// them is `excess`.
    #[must_use]
    pub fn with_excess(&self, which: &[usize], excess: f64) -> World {
        let at = |extra: f64| {
            let mut world = self.clone();
            for &g in which {
                world.groups[g].classes.iter_mut().for_each(|c| {
                    c.harm += extra;
                    c.both -= extra;
                });
            }
            world
        };
        let of = |world: &World| which.first().map_or(0.0, |&g| world.truth().excess[g]);
        // The excess drop is linear in the rates.
        let (none, unit) = (of(self), of(&at(0.01)));
        at((excess - none) / (unit - none) * 0.01)
    }

    /// The same world where both models are right less often (by `less`) in the groups `which`.
    #[must_use]
    pub fn with_lower_metric(&self, which: &[usize], less: f64) -> World {
        let mut world = self.clone();
        for &g in which {
            world.groups[g].classes.iter_mut().for_each(|c| c.both -= less);
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(mix: f64, harm: f64) -> Class {
        Class { mix, both: 0.8, harm, help: 0.02 }
    }

    fn world(metric: Metric) -> World {
        let group = |share, mix| Group { share, classes: vec![class(mix, 0.04), class(1.0 - mix, 0.08)] };
        World { metric, groups: vec![group(0.25, 0.5), group(0.75, 0.9)], icc: 0.0 }
    }

    #[test]
    fn truths_by_hand() {
        let t = world(Metric::Accuracy).truth();
        // Drops: 0.5 · 0.02 + 0.5 · 0.06 = 0.04 and 0.9 · 0.02 + 0.1 · 0.06 = 0.024; everybody 0.028.
        assert!((t.excess[0] - 0.012).abs() < 1e-12 && (t.excess[1] + 0.004).abs() < 1e-12, "{t:?}");
        assert!(t.int8.iter().all(|v| (v - 0.82).abs() < 1e-12));
        let t = world(Metric::MacroRecall).truth();
        assert!(t.excess.iter().all(|e| e.abs() < 1e-12), "equal recalls, however mixed: {t:?}");
    }

    #[test]
    fn the_limit_is_met_exactly() {
        for metric in [Metric::Accuracy, Metric::MacroRecall] {
            let t = world(metric).with_excess(&[0], 0.03).truth();
            assert!((t.excess[0] - 0.03).abs() < 1e-12, "{t:?}");
            let t = world(metric).with_lower_metric(&[1], 0.1).truth();
            assert!((t.int8[0] - t.int8[1] - 0.1).abs() < 1e-12);
        }
    }
}
