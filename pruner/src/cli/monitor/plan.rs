//! `evenkeel monitor plan`: how soon a drop would be seen, and how often an alarm is false.

use super::super::print_json;
use super::read::terms;
use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel_monitor::plan::{Answer, Detector, Question, answer};
use evenkeel_monitor::terms::Terms;
use evenkeel_runtime::format::{FieldGroup, FieldHead, NameRef};
use evenkeel_runtime::monitor::{Kind, plan};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Says how many labels and days it takes until a drop of one group is seen, and how often an alarm is false.
///
/// Floors, tolerances and thresholds come from a .keel file, or from numbers.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  evenkeel monitor plan model.keel --group gender=female --labels-per-day 40 --drop 0.05\n  evenkeel monitor plan --floor 0.9 --accuracy 0.92 --groups 2 --run-length 100000 --labels-per-day 40 --drop 0.05"
)]
pub struct Plan {
    /// The .keel file, made under a contract
    #[arg(conflicts_with_all = ["floor", "groups", "tolerance", "run_length"])]
    model: Option<PathBuf>,
    /// The group that gets worse (default: the first)
    #[arg(long, requires = "model")]
    group: Option<String>,
    /// Labels of this group a day on one device
    #[arg(long = "labels-per-day")]
    labels: f64,
    /// Labels of all groups a day on one device (default: as many of each group)
    #[arg(long = "all-labels-per-day")]
    all_labels: Option<f64>,
    /// By how much its accuracy drops, as a share
    #[arg(long, default_value_t = 0.05)]
    drop: f64,
    /// Accuracy of all groups as long as all is well (default: the certified one of each)
    #[arg(long)]
    accuracy: Option<f64>,
    /// Without a file: the floor of all groups
    #[arg(long)]
    floor: Option<f64>,
    /// Without a file: how many groups
    #[arg(long, default_value_t = 2)]
    groups: usize,
    /// Without a file: the gap detector's tolerance; 0 for no gap detector
    #[arg(long, default_value_t = 0.02)]
    tolerance: f64,
    /// Without a file: labelled events between two false alarms of one detector, on average
    #[arg(long, default_value_t = 100_000.0)]
    run_length: f64,
    /// Streams that are simulated
    #[arg(long, default_value_t = 200)]
    runs: usize,
    /// Labels of the group after which a stream is given up
    #[arg(long, default_value_t = 10_000)]
    most: u32,
    /// Seed of all streams
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Labels of the group before it drops.
const HEALTHY: u32 = 1000;

impl Plan {
    pub fn run(&self) -> Result<()> {
        let terms = match &self.model {
            Some(path) => terms(path)?,
            None => self.numbers()?,
        };
        let group = match &self.group {
            None => 0,
            Some(name) => terms.groups.iter().position(|g| &g.name == name).ok_or_else(|| {
                let names: Vec<_> = terms.groups.iter().map(|g| g.name.as_str()).collect();
                Error::new(format!("there is no group `{name}`"))
                    .help(format!("the monitor's groups are {}", names.join(", ")))
            })?,
        };
        let accuracy = terms.groups.iter().map(|g| self.accuracy.or(g.certified)).collect::<Option<Vec<f64>>>();
        let accuracy = accuracy.ok_or_else(|| {
            Error::new("no accuracy is certified for each group").help("give the healthy accuracy with --accuracy")
        })?;
        let all_labels = self.all_labels.unwrap_or(self.labels * terms.groups.len() as f64);
        let question = Question {
            group,
            labels: self.labels,
            all_labels,
            accuracy,
            drop: self.drop,
            runs: self.runs,
            healthy: HEALTHY,
            most: self.most,
            seed: self.seed,
        };
        let found = answer(&terms, &question).map_err(Error::new)?;
        if self.json {
            return print_json(&self.value(&terms, &question, &found));
        }
        self.print(&terms, &question, &found);
        Ok(())
    }

    fn numbers(&self) -> Result<Terms> {
        let floor = self.floor.ok_or_else(|| Error::new("give a .keel file, or numbers from --floor on"))?;
        let record = plan::floor_record(NameRef::default(), floor);
        let head = plan::head(self.groups, self.run_length, 8).map_err(Error::new)?;
        let (gap_threshold, gap_q) = plan::gap(self.groups, self.run_length, 8).map_err(Error::new)?;
        let tolerance = if self.tolerance > 0.0 { plan::tolerance(self.tolerance) } else { Some(u32::MAX) };
        let tolerance = tolerance.ok_or_else(|| Error::new("--tolerance must be below a third"))?;
        let own = vec![FieldGroup { tolerance, ..FieldGroup::default() }; self.groups];
        let field = FieldHead { groups: self.groups as u32, gap_threshold, gap_q, ..FieldHead::default() };
        Terms::new(head, &vec![record; self.groups], Some((field, &own))).map_err(Error::new)
    }

    fn value(&self, terms: &Terms, q: &Question, found: &Answer) -> Value {
        let detector = |d: &Detector| {
            let days = |labels: Option<u32>| labels.map(|n| f64::from(n) / q.labels);
            let delay = match &d.delay {
                Ok(delay) => {
                    json!({"median_labels": delay.median, "p90_labels": delay.p90, "median_days": days(delay.median),
                                    "p90_days": days(delay.p90), "seen": delay.seen})
                }
                Err(never) => json!({"never": never.to_string()}),
            };
            let alarms = d.false_alarms.map(|f| {
                json!({"run_length": f.run_length, "per_year_at_most": f.per_year, "per_year_simulated": f.simulated})
            });
            json!({"delay": delay, "false_alarms": alarms})
        };
        json!({"group": terms.groups[q.group].name, "drop": q.drop, "labels_a_day": q.labels, "all_labels_a_day": q.all_labels,
               "accuracy": q.accuracy[q.group], "floor": terms.groups[q.group].floor(), "runs": q.runs, "seed": q.seed,
               "below_its_floor": detector(&found.floor), "behind_the_others": detector(&found.gap)})
    }

    fn print(&self, terms: &Terms, q: &Question, found: &Answer) {
        let own = &terms.groups[q.group];
        say!(
            "{}: accuracy drops from {:.3} to {:.3} (floor {:.3}) at {} labels a day of {} in all",
            own.name,
            q.accuracy[q.group],
            q.accuracy[q.group] - q.drop,
            own.floor(),
            q.labels,
            q.all_labels
        );
        for (what, d) in [(Kind::Floor.words(), &found.floor), (Kind::Gap.words(), &found.gap)] {
            match &d.delay {
                Err(never) => say!("  {what}: never seen: {never}"),
                Ok(delay) => {
                    let time = |labels: Option<u32>| {
                        labels.map_or(format!("more than {} labels", q.most), |n| {
                            format!("{n} labels, {:.1} days", f64::from(n) / q.labels)
                        })
                    };
                    say!("  {what}: seen after {} (median), {} (nine in ten)", time(delay.median), time(delay.p90));
                    if delay.seen < 1.0 {
                        say!("    {:.1} % of streams were seen within {} labels", 100.0 * delay.seen, q.most);
                    }
                }
            }
            if let Some(f) = d.false_alarms {
                say!(
                    "    false alarms, any group: at most {:.3} a year and device on average ({:.0} events apart); simulated {:.3}",
                    f.per_year,
                    f.run_length,
                    f.simulated
                );
            }
        }
    }
}
