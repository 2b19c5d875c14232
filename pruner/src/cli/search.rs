//! `evenkeel search`: a front of small networks, and the smallest that keeps the contract.

use super::job::{Job, Loaded, Told};
use clap::Args;
use evenkeel::chain;
use evenkeel::contract::Contract;
use evenkeel::error::{Context, Error, Result};
use evenkeel::fair::{Predictions, judge_selection};
use evenkeel::graph::Graph;
use evenkeel::lower::lower;
use evenkeel::prune::Options;
use evenkeel::prune::pareto::nsga::Evolution;
use evenkeel::prune::pareto::{Archive, Bar, Candidate, Pareto, Settings, Task, short};
use evenkeel::report::front::Front;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The margin unless it is given, as a share of the contract's bound. Test rows are another draw of people: of models whose
/// bound just holds on selection rows, about half would fail on test.
const MARGIN: f64 = 0.25;

/// Searches for the smallest network that keeps a contract, under its budget, and judges that one once on the rows of
/// `test`.
///
/// A short run of pruning gives checkpoints; candidates are cut out of them, fine-tuned for --tune steps and bred over cost,
/// metric and excess drop (NSGA-II). The smallest of the front that holds on selection rows after a whole recovery, in
/// int8 and with a margin, is picked and written as `prune` writes. The front is written beside it (.front.html and
/// .front.json). All is kept in the work folder: the same command goes on where it was stopped, and with more
/// --generations where it ended.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel search model.onnx --data set.npz --contract contract.toml -o model.keel --generations 20\nExit codes: 0 PASS (or written with --allow-unproven), 1 FAIL, UNDECIDED or nothing to pick, 2 an error."
)]
pub struct Search {
    #[command(flatten)]
    job: Job,
    /// The work folder [default: the output with the extension .search]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// How often children are bred
    #[arg(long, default_value_t = 8)]
    generations: usize,
    /// Candidates that live at once
    #[arg(long, default_value_t = 16)]
    population: usize,
    /// How far every bound must stay from its limit on selection rows, as a share like max_excess_drop; may be negative where
    /// there are few of them [default: a quarter of max_excess_drop]
    #[arg(long, allow_negative_numbers = true)]
    margin: Option<f64>,
    /// What everybody may lose on selection rows, as a share [default: max_excess_drop]
    #[arg(long)]
    max_drop: Option<f64>,
    /// How deep the run goes that gives the checkpoints, as a share of the budget
    #[arg(long, default_value_t = 0.5)]
    reach: f64,
    /// Candidates that get the whole recovery, at most
    #[arg(long, default_value_t = 4)]
    finalists: usize,
}

impl Search {
    pub fn run(&self) -> Result<ExitCode> {
        let mut options = self.job.options(None)?;
        self.check()?;
        let loaded = self.job.load(&mut options)?;
        let f = &loaded.contract.fairness;
        let bar = Bar {
            margin: self.margin.unwrap_or(MARGIN * f.max_excess_drop),
            max_drop: self.max_drop.unwrap_or(f.max_excess_drop),
        };
        let work = self.work.clone().unwrap_or_else(|| self.job.output.with_extension("search"));
        let archive = Archive::open(&work, self.settings(&loaded.contract, &options)?)?;
        let page = self.job.output.with_extension("front.html");
        let found = self.search(&loaded, &options, bar, archive, &page);
        let found = match found {
            Err(_) if loaded.stop.is_set() => {
                return Err(Error::new("stopped; what was evaluated is kept")
                    .at(&work)
                    .help("the same command goes on from there"));
            }
            found => found?,
        };
        let Some((number, outcome, before)) = found.picked else {
            if self.job.json {
                super::print_json(&serde_json::json!({ "search": found.front }))?;
            } else {
                say!("{}front: {}", found.front.text(), page.display());
            }
            eprintln!("{}", nothing(&found.front));
            return Ok(ExitCode::from(1));
        };
        self.job.save_network(&loaded, &outcome)?;
        let method = format!(
            "{}, searched: {} candidates of {} updates each over {} generations of {}, {} updates of recovery, learning \
             rate {}",
            options.method,
            found.front.candidates.len(),
            options.tune,
            self.generations,
            self.population,
            options.recover,
            options.rate
        );
        let notes = (!before.is_empty()).then(|| {
            format!(
                "These test rows had judged {} other pick(s) of this search before. Whoever chose this one with those \
                 verdicts in mind has chosen on test rows.",
                before.len()
            )
        });
        let told = Told { audit: self.job.audit(&loaded, &options)?, method, notes: notes.into_iter().collect() };
        let finished = self.job.finish(loaded, &outcome, &options, told)?;
        if !self.job.json {
            say!("{}candidate {number} is picked; front: {}\n", found.front.text(), page.display());
        }
        self.job.tell(&finished, Some(("search", serde_json::to_value(&found.front).context("search")?)))
    }

    fn search(&self, loaded: &Loaded, options: &Options, bar: Bar, archive: Archive, page: &Path) -> Result<Found> {
        let (contract, p, stop) = (&loaded.contract, &loaded.p, &loaded.stop);
        let short = short(options);
        let task = Task {
            dense: &loaded.dense,
            train: loaded.train(),
            selection: loaded.selection(),
            rows: &p.data.select,
            contract,
            options: &short,
            frame: &loaded.frame,
        };
        let mut pareto = Pareto::start(task, self.reach, archive, stop).map_err(|e| e.at(&self.job.model))?;
        let how = Evolution { population: self.population, generations: self.generations, seed: self.job.seed };
        pareto.evolve(how, stop).map_err(|e| e.at(&self.job.model))?;
        let front = |candidates: &[Candidate], picked: Option<usize>| -> Result<Front> {
            let title = self.job.output.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
            let limits = [contract.fairness.max_excess_drop, bar.margin, bar.max_drop];
            let front = Front::new(&title, contract.fairness.metric, limits, candidates, picked);
            front.save(page)?;
            Ok(front)
        };
        // The front is there to look at even if the rest is stopped.
        front(pareto.archive().candidates(), None)?;
        stop.check()?;
        let dense = chain::f32_classes(&loaded.dense, &p.data.select, &contract.input, &options.device)?;
        let judge = |graph: &Graph| {
            let q = chain::quantised(graph, &p.train, &contract.input, &options.device)?;
            let small = lower(&q, &loaded.frame.extras, self.job.target)?;
            let model = chain::open(&small.bytes, &self.job.output)?;
            let int8 = chain::int8_classes(&model, &p.data.select)?;
            judge_selection(&p.data.select, contract, &Predictions { dense: dense.clone(), pruned: int8.clone(), int8 })
        };
        let picked = pareto.pick(options, &bar, self.finalists, judge, stop)?;
        let front = front(pareto.archive().candidates(), picked.as_ref().map(|p| p.0))?;
        let picked = picked.map(|(number, outcome)| Ok((number, outcome, pareto.archive_mut().judge(number)?)));
        Ok(Found { front, picked: picked.transpose()? })
    }

    fn check(&self) -> Result<()> {
        if self.population < 4 {
            return Err(Error::new("--population must be at least 4").help("16 is a good start"));
        }
        if self.finalists == 0 {
            return Err(Error::new("--finalists must be at least 1").help("the pick is made among them"));
        }
        if !(self.reach > 0.0 && self.reach <= 1.0) {
            return Err(Error::new("--reach must be over 0 and at most 1"));
        }
        let share = |name: &str, v: Option<f64>| match v {
            Some(v) if !(-1.0..=1.0).contains(&v) => {
                Err(Error::new(format!("{name} must be a share between -1 and 1")).help("0.01 is one point"))
            }
            _ => Ok(()),
        };
        share("--margin", self.margin)?;
        share("--max-drop", self.max_drop)
    }

    /// What candidates depend on.
    fn settings(&self, contract: &Contract, o: &Options) -> Result<Settings> {
        let list = [
            ("model", fingerprint(&self.job.model)?),
            ("data set", fingerprint(&self.job.data)?),
            ("contract", format!("{:016x}", fnv(contract.text.as_bytes()))),
            ("--method", o.method.to_string()),
            ("--target", self.job.target.to_string()),
            ("--steps", o.steps.to_string()),
            ("--tune", o.tune.to_string()),
            ("--batch", o.batch.to_string()),
            ("--lr", o.rate.to_string()),
            ("--round-to", o.round_to.to_string()),
            ("--min-share", o.min_share.to_string()),
            ("--no-norm", (!o.restore_norm).to_string()),
            ("--device", self.job.device.clone()),
            ("--seed", o.seed.to_string()),
            ("--population", self.population.to_string()),
            ("--reach", self.reach.to_string()),
        ];
        Ok(list.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

/// What a search ends in.
struct Found {
    front: Front,
    /// Number, what pruning would have given, and who was judged before.
    picked: Option<(usize, evenkeel::prune::Outcome, Vec<usize>)>,
}

/// Why nothing was picked, and what may help.
fn nothing(f: &Front) -> String {
    let stands = || f.candidates.iter().filter_map(|c| Some((c.number, c.recovered?.stand)));
    let enough = stands().filter(|(_, s)| s.drop <= f.max_drop);
    let closest = enough.filter_map(|(n, s)| Some((n, s.slack?))).max_by(|a, b| a.1.total_cmp(&b.1));
    let points = |v: f64| format!("{:.2}", 100.0 * v);
    let why = match closest {
        Some((number, slack)) => format!(
            "the closest, candidate {number}, keeps its bounds {} points from their limits, and the margin is {} points",
            points(slack),
            points(f.margin)
        ),
        None if stands().all(|(_, s)| s.slack.is_none()) => {
            "some group has too few selection rows or clusters for any bound".to_owned()
        }
        None => format!("everybody loses more than {} points in all of them", points(f.max_drop)),
    };
    format!(
        "nothing is picked and the test rows were not touched: of the recovered candidates none holds on selection rows; \
         {why}\n  help: search on with more --generations or --finalists, raise the budget, put more people into `val`, or \
         ask for less with --margin or --max-drop"
    )
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A fingerprint of a file.
fn fingerprint(path: &Path) -> Result<String> {
    Ok(format!("{:016x}", fnv(&std::fs::read(path).at(path)?)))
}
