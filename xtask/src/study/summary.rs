//! Runs put together over seeds: what a method gives, and what it gives more or less than another on the same seeds.

use super::cases::{CANDIDATES, METHODS};
use super::load::{Run, Study};
use super::stats::Estimate;

/// What is measured of a run.
pub type Measure = fn(&Run) -> Option<f64>;

pub const OVERALL: Measure = |r| Some(r.overall);
pub const WORST: Measure = |r| Some(r.worst);
pub const EXCESS: Measure = |r| Some(r.excess);
pub const CEV: Measure = |r| r.cev;
pub const DISSIMILARITY: Measure = |r| r.dissimilarity;
pub const MACS_SHARE: Measure = |r| Some(r.macs_share);

/// The runs of one method on one case at one budget, by seed.
pub struct Cellful<'a> {
    pub method: &'a str,
    pub runs: Vec<&'a Run>,
}

/// All methods of a case at a budget, in the order of [`METHODS`] and [`CANDIDATES`], others after them.
pub fn methods<'a>(study: &'a Study, case: &str, budget: u32) -> Vec<Cellful<'a>> {
    let mut found: Vec<Cellful<'a>> = Vec::new();
    for run in study.runs.iter().filter(|r| r.case == case && r.budget == budget) {
        match found.iter_mut().find(|c| c.method == run.method) {
            Some(cell) => cell.runs.push(run),
            None => found.push(Cellful { method: &run.method, runs: vec![run] }),
        }
    }
    let place = |m: &str| {
        let known = METHODS.iter().chain(&CANDIDATES).position(|k| *k == m).unwrap_or(usize::MAX - 1);
        if m == study.default { 0 } else { known + 1 }
    };
    found.sort_by_key(|c| place(c.method));
    found
}

/// The runs of one method, where there are any.
pub fn method<'a>(study: &'a Study, case: &str, budget: u32, name: &str) -> Option<Cellful<'a>> {
    let name = if name == "default" { &study.default } else { name };
    methods(study, case, budget).into_iter().find(|c| c.method == name)
}

impl Cellful<'_> {
    /// Mean over seeds.
    pub fn estimate(&self, measure: Measure) -> Option<Estimate> {
        Estimate::of(self.runs.iter().filter_map(|r| measure(r)))
    }

    /// Mean difference to another method over the seeds that both have: this less the other.
    pub fn less(&self, other: &Cellful, measure: Measure) -> Option<Estimate> {
        self.paired(other, measure, |a, b| Some(a - b))
    }

    /// Geometric mean of the ratio to another method over the seeds that both have.
    pub fn over(&self, other: &Cellful, measure: Measure) -> Option<Estimate> {
        let log = |a: f64, b: f64| (a > 0.0 && b > 0.0).then(|| (a / b).ln());
        Some(self.paired(other, measure, log)?.map(f64::exp))
    }

    fn paired(&self, other: &Cellful, measure: Measure, of: impl Fn(f64, f64) -> Option<f64>) -> Option<Estimate> {
        Estimate::of(self.runs.iter().filter_map(|a| {
            let b = other.runs.iter().find(|b| b.seed == a.seed)?;
            of(measure(a)?, measure(b)?)
        }))
    }

    /// The group whose excess drop is largest on average over seeds, so that what chance does to one run counts less.
    pub fn most_harmed(&self) -> Option<(&str, Estimate)> {
        let of = |group: &str| {
            let drops = self.runs.iter().filter_map(|r| r.drops.iter().find(|(g, _)| g == group));
            Estimate::of(drops.map(|d| d.1))
        };
        let groups = self.runs.first()?.drops.iter().map(|(g, _)| g.as_str());
        groups.filter_map(|g| Some((g, of(g)?))).max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))
    }

    /// How many verdicts there are of each kind: PASS, UNDECIDED, FAIL.
    pub fn verdicts(&self) -> [usize; 3] {
        ["PASS", "UNDECIDED", "FAIL"].map(|v| self.runs.iter().filter(|r| r.verdict == v).count())
    }

    /// The mean ends of the intervals that each run has over the rows or clusters of the verdict split.
    pub fn mean_interval(&self, of: fn(&Run) -> Option<[f64; 2]>) -> Option<[f64; 2]> {
        let all: Vec<[f64; 2]> = self.runs.iter().filter_map(|r| of(r)).collect();
        let mean = |i: usize| all.iter().map(|v| v[i]).sum::<f64>() / all.len() as f64;
        (!all.is_empty()).then(|| [mean(0), mean(1)])
    }
}

/// A small study for tests: on motionsense at 25 %, over seeds 0 to 2, `default` stands for `kd`.
#[cfg(test)]
pub fn sample_study() -> Study {
    use super::cases::CASES;
    use super::load::sample;
    let mut study = Study { runs: vec![], failures: vec![], default: "kd".to_owned(), others: 0, programs: vec![] };
    let cells = [
        ("magnitude", [0.80, 0.81, 0.82], [0.03, 0.02, 0.04]),
        ("kd", [0.84, 0.86, 0.85], [0.01, 0.01, 0.02]),
        ("fpgm", [0.80, 0.82, 0.81], [0.03, 0.03, 0.03]),
    ];
    for (method, worst, excess) in cells {
        for seed in 0..3 {
            study.add(&CASES[0], 25, &sample(method, seed, worst[seed as usize], excess[seed as usize]));
        }
    }
    study.add(&CASES[0], 25, &serde_json::json!({ "method": "bifp", "seed": 1, "report": null, "error": "no gates" }));
    study
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_of_the_same_seeds() {
        let study = sample_study();
        let of = |name: &str| method(&study, "motionsense", 25, name).unwrap();
        let (magnitude, best) = (of("magnitude"), of("default"));
        assert_eq!(best.method, "kd");
        assert!((magnitude.estimate(WORST).unwrap().mean - 0.81).abs() < 1e-12);
        // Differences 0.04, 0.05, 0.03: mean 0.04, standard deviation 0.01, 4.3027 of t with 2 degrees of freedom.
        let d = best.less(&magnitude, WORST).unwrap();
        assert!((d.mean - 0.04).abs() < 1e-12);
        assert!((d.interval.unwrap()[0] - (0.04 - 4.302653 * 0.01 / 3f64.sqrt())).abs() < 1e-6);
        // Ratios 1/3, 1/2, 1/2.
        let ratio = best.over(&magnitude, CEV).unwrap();
        assert!((ratio.mean - (1f64 / 12.0).cbrt()).abs() < 1e-12);
        assert_eq!(best.verdicts(), [0, 3, 0]);
        let interval = best.mean_interval(|r| r.worst_interval).unwrap();
        assert!((interval[0] - 0.7).abs() < 1e-12 && (interval[1] - 0.9).abs() < 1e-12);
        let mut fewer = of("magnitude");
        fewer.runs.remove(0);
        assert_eq!(best.less(&fewer, WORST).unwrap().n, 2);
    }

    #[test]
    fn the_default_comes_first_and_failures_apart() {
        let study = sample_study();
        let names: Vec<&str> = methods(&study, "motionsense", 25).iter().map(|c| c.method).collect();
        assert_eq!(names, ["kd", "magnitude", "fpgm"]);
        assert_eq!((study.failures.len(), study.failures[0].error.as_str()), (1, "no gates"));
        let run = &study.runs[0];
        assert!((run.dissimilarity.unwrap() - 0.2).abs() < 1e-12 && run.foresight[0] == Some((1.0, 0.5)));
        assert_eq!((run.macs_share, run.worst_dense, run.excess), (0.25, 0.88, 0.03));
        // Two groups of 400 rows: each drop has a variance of (0.1 - 0.02²) / 400; the larger of two is 1 / √π deviations.
        let by_chance = (0.0996_f64 / 400.0 / std::f64::consts::PI).sqrt();
        assert!((run.excess_by_chance.unwrap() - by_chance).abs() < 1e-6);
        let magnitude = method(&study, "motionsense", 25, "magnitude").unwrap();
        let (group, drop) = magnitude.most_harmed().unwrap();
        assert!(group == "g=b" && (drop.mean - 0.03).abs() < 1e-12);
    }
}
