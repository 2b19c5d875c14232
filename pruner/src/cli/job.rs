//! What `prune` and `search` share: the flags, what they load, and the end of the chain, from a small network to a
//! judged file.

use super::{InputFlags, check_rate, print_json, thousands};
use clap::Args;
use evenkeel::certify;
use evenkeel::chain::{self, Prepared};
use evenkeel::contract::Contract;
use evenkeel::error::{Context, Error, Result};
use evenkeel::fair::audit::Audit;
use evenkeel::fair::panel::panel_of;
use evenkeel::fair::{self, Outcome as Judged, Predictions, Verdict};
use evenkeel::field::Measured;
use evenkeel::files;
use evenkeel::graph::Graph;
use evenkeel::lower::{Cost, Target, lower};
use evenkeel::net::{Split, device, set::classes};
use evenkeel::onnx;
use evenkeel::precheck::precheck;
use evenkeel::progress::Stop;
use evenkeel::prune::fallback::for_rows;
use evenkeel::prune::select::Frame;
use evenkeel::prune::{BlockOptions, Options, Outcome, Recipe, can_begin};
use evenkeel::report::{BudgetLine, HistoryLine, LayerLine, Report};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Inputs, outputs, and how to train.
#[derive(Args)]
pub struct Job {
    /// The dense ONNX network
    pub model: PathBuf,
    /// The data set (.npz with x, y, split, group columns)
    #[arg(long)]
    pub data: PathBuf,
    /// The contract (.toml)
    #[arg(long)]
    pub contract: PathBuf,
    /// Where the .keel file goes
    #[arg(short, long)]
    pub output: PathBuf,
    /// The method: a sum of parts such as fairgrape+kd+ceag; `evenkeel methods` lists them
    #[arg(long, default_value = "default")]
    pub method: Recipe,
    /// What the file is for: portable, cortex-m4, cortex-m55, aarch64 or x86-64
    #[arg(long, default_value_t)]
    pub target: Target,
    /// Write the file although its verdict is not PASS
    #[arg(long)]
    allow_unproven: bool,
    /// Share of each group's rows whose label of the group may be wrong; widens all bounds [default: the contract's]
    #[arg(long, value_name = "SHARE")]
    group_noise: Option<f64>,
    /// Pruning steps
    #[arg(long, default_value_t = 6)]
    pub steps: usize,
    /// Optimiser steps after each pruning step
    #[arg(long, default_value_t = 60)]
    pub tune: usize,
    /// Optimiser steps of the recovery at the end
    #[arg(long, default_value_t = 900)]
    pub recover: usize,
    /// Rows per optimiser step
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 3e-3)]
    pub lr: f64,
    /// Keep channels in multiples of this
    #[arg(long, default_value_t = 4)]
    pub round_to: usize,
    /// Every layer keeps at least this share of its channels
    #[arg(long, default_value_t = 0.125)]
    pub min_share: f64,
    /// Recover with folded convolutions as they are, without giving them their normalisation back
    #[arg(long)]
    pub no_norm: bool,
    #[command(flatten)]
    input: InputFlags,
    /// Device to train on: cpu, or cuda, wgpu, tch where built in
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What the flags name, checked and ready.
pub struct Loaded {
    pub contract: Contract,
    pub dense: Graph,
    pub p: Prepared,
    pub frame: Frame,
    pub stop: Stop,
    /// Where the pruned network goes.
    pub onnx: PathBuf,
}

impl Loaded {
    /// Training rows.
    pub fn train(&self) -> Split<'_> {
        Split { set: &self.p.train, groups: &self.p.train_groups }
    }

    /// Selection rows.
    pub fn selection(&self) -> Split<'_> {
        Split { set: &self.p.select, groups: &self.p.select_groups }
    }
}

/// What a command tells the report.
pub struct Told {
    pub audit: Audit,
    /// How it was pruned, in one line.
    pub method: String,
    pub notes: Vec<String>,
}

/// What the chain ended in.
pub struct Finished {
    pub report: Report,
    /// Where its page is.
    page: PathBuf,
    /// Whether the file was written.
    written: bool,
}

impl Job {
    /// Loads all, and finds out early what would else be found missing only at the end.
    /// Where no training row has a group label, `options` get a method that needs none.
    pub fn load(&self, options: &mut Options) -> Result<Loaded> {
        files::check_folder(&self.output)?;
        let contract = Contract::load(&self.contract)?;
        let input = self.input.apply(&contract.input)?;
        let contract = contract.with_input(input)?;
        let contract = match self.group_noise {
            Some(noise) => contract.with_group_noise(noise)?,
            None => contract,
        };
        let dense = chain::load_network(&self.model)?;
        let p = Prepared::load(&self.data, &dense, &contract.input, &contract.fairness.groups)?;
        fair::check(&p.data.select, &contract).map_err(|e| e.at(&self.data))?;
        let fallback;
        (options.method, fallback) =
            for_rows(&options.method, &p.train_groups, &p.train.y).map_err(|e| e.at(&self.data))?;
        fallback.iter().for_each(|words| eprintln!("{words}"));
        if p.data.verdict.is_empty() {
            return Err(Error::new("array `split` has no row `test`")
                .at(&self.data)
                .help("the verdict is made on rows that nothing else has seen: put some people into `test`"));
        }
        let onnx = self.output.with_extension("pruned.onnx");
        for output in [&self.output, &onnx] {
            files::keep(&[&self.model, &self.data, &self.contract], output)?;
        }
        let extras = certify::blank(&contract, &p.select_groups, dense.output_shape().len())?;
        let frame = Frame { norm: chain::input_channels(&contract.input).len(), extras, target: self.target };
        // Before the pre-check, which takes its time.
        can_begin(&dense, &contract, options, &frame).map_err(|e| e.at(&self.model))?;
        Ok(Loaded { contract, dense, p, frame, stop: Stop::on_ctrl_c()?, onnx })
    }

    /// How to prune, with these blocks.
    pub fn options(&self, blocks: Option<BlockOptions>) -> Result<Options> {
        let at_least_one = [
            ("--steps", self.steps),
            ("--batch", self.batch),
            ("--round-to", self.round_to),
            ("--recover", self.recover),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, v)| *v == 0) {
            return Err(Error::new(format!("{name} must be at least 1")));
        }
        if !(0.0..=1.0).contains(&self.min_share) {
            return Err(Error::new("--min-share must be between 0 and 1"));
        }
        check_rate(self.lr)?;
        Ok(Options {
            method: self.method.clone(),
            steps: self.steps,
            tune: self.tune,
            recover: self.recover,
            batch: self.batch,
            rate: self.lr,
            round_to: self.round_to,
            min_share: self.min_share,
            restore_norm: !self.no_norm,
            blocks,
            seed: self.seed,
            device: device(&self.device)?,
        })
    }

    /// The pre-check of the dense network.
    pub fn audit(&self, l: &Loaded, options: &Options) -> Result<Audit> {
        precheck(&l.dense, &l.p, &l.contract.fairness, &options.device, self.seed, &l.stop)
    }

    /// Quantises a small network, judges it once on the test rows and writes what there is to write.
    pub fn finish(
        &self,
        loaded: Loaded,
        outcome: &Outcome,
        options: &Options,
        Told { audit, method, notes }: Told,
    ) -> Result<Finished> {
        let Loaded { contract, dense, p, frame, .. } = loaded;
        let q = chain::quantised(&outcome.graph, &p.train, &contract.input, &options.device)?;
        let small = lower(&q, &frame.extras, self.target)?;
        let model = chain::open(&small.bytes, &self.output)?;
        let (mut hash, mut metrics, mut measured) = ([0; 2], None, None);
        let verdict = fair::judge(p.data.verdict, &contract, |rows| {
            hash = certify::fingerprint(rows, &contract.fairness);
            let of = |graph: &Graph| chain::f32_outputs(graph, rows, &contract.input, &options.device);
            let (dense, pruned) = (of(&dense)?, of(&outcome.graph)?);
            let raw = chain::int8_outputs(&model, &rows.x, rows.width())?;
            let int8 = chain::real(&model, &raw);
            let train = (&p.data.train.y[..], &p.train_groups);
            metrics = Some(panel_of(rows, &contract.fairness, [&dense, &int8], train, options.seed)?);
            let [dense, pruned, int8] = [dense, pruned, int8].map(|o| classes(&o, model.output().elements()));
            measured = Some(Measured::of(&model, &contract.fairness, &p.data.select, rows, (&dense, &raw))?);
            Ok(Predictions { dense, pruned, int8 })
        })?;
        let passed = verdict.verdict == Judged::Pass;
        let measured = measured.ok_or_else(|| Error::new("the verdict saw no rows"))?;
        let extras = certify::extras(&contract, &verdict, hash, outcome.cost.0, !passed, &measured)?;
        let lowered = lower(&q, &extras, self.target)?;
        self.check_budget(outcome, &lowered.cost())?;
        let written = passed || self.allow_unproven;
        let unwritten = (!written).then(|| {
            format!(
                "{} was not written. If there is a file of that name, it is of an earlier run.",
                self.output.display()
            )
        });
        let notes = [notes, certify::weak_floors(&contract, &verdict), unwritten.into_iter().collect()].concat();
        let report = self.report(verdict, &contract, outcome, &lowered.cost()).with_audit(audit);
        let report = Report { method, notes, metrics, ..report };
        let page = self.output.with_extension("report.html");
        report.save(&page)?;
        if written {
            files::write(&self.output, &lowered.bytes)?;
        }
        Ok(Finished { report, page, written })
    }

    /// Says how it ended: with --json the report as JSON with `more` in it.
    pub fn tell(&self, f: &Finished, more: Option<(&str, Value)>) -> Result<ExitCode> {
        if self.json {
            let mut json = serde_json::to_value(&f.report).context("cannot write the report as JSON")?;
            if let (Some(object), Some((key, value))) = (json.as_object_mut(), more) {
                object.insert(key.to_owned(), value);
            }
            print_json(&json)?;
        } else {
            self.print(&f.report, &f.page);
        }
        if !f.written {
            eprintln!(
                "{} was not written: the verdict is {}; to write it all the same, marked as unproven, add --allow-unproven",
                self.output.display(),
                f.report.verdict.verdict
            );
        }
        Ok(if f.written { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    /// Keeps the network so far beside the output, and says so.
    pub fn stopped(&self, loaded: &Loaded, outcome: &Outcome) -> Error {
        let macs = thousands(outcome.cost.1.macs);
        Error::new(format!("stopped before the budget was met; the network so far ({macs} MACs, f32) is saved"))
            .at(&loaded.onnx)
    }

    /// Writes the pruned network beside the output.
    pub fn save_network(&self, loaded: &Loaded, outcome: &Outcome) -> Result<()> {
        onnx::save(&outcome.graph, &loaded.onnx)
    }

    /// The promise is about the bytes that ship, so they are what is checked.
    fn check_budget(&self, outcome: &Outcome, cost: &Cost) -> Result<()> {
        let over = outcome.limits.lines(cost).into_iter().find(|(_, limit, value)| value > limit);
        over.map_or(Ok(()), |(name, limit, value)| {
            Err(Error::new(format!(
                "the lowered file needs {value} of {name}, the budget is {limit}; it was not written"
            ))
            .at(&self.output)
            .help(format!("lower the limit of {name} by {} and prune again", value - limit)))
        })
    }

    fn report(&self, verdict: Verdict, contract: &Contract, o: &Outcome, cost: &Cost) -> Report {
        let dense = &o.cost.0;
        let line = |name: &str, limit, dense, value| BudgetLine { name: name.to_owned(), limit, dense, value };
        let history = o.history.iter().enumerate().map(|(step, h)| HistoryLine {
            step,
            macs: h.macs as f64 / dense.macs.max(1) as f64,
            overall: h.overall,
            worst: h.worst,
            max_excess_drop: h.max_excess_drop,
            phase: h.phase.clone(),
        });
        Report {
            title: self.output.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned()),
            model: self.model.display().to_string(),
            file: self.output.display().to_string(),
            bytes: cost.flash,
            verdict,
            metrics: None,
            contract: contract.text.clone(),
            budget: vec![
                line("macs", o.limits.macs, dense.macs, cost.macs),
                line("flash", o.limits.flash, dense.flash, cost.flash),
                line("ram", o.limits.ram, dense.ram, cost.ram),
            ],
            layers: o
                .widths
                .iter()
                .map(|(name, before, after)| LayerLine { name: name.clone(), before: *before, after: *after })
                .collect(),
            history: history.collect(),
            method: String::new(),
            seed: self.seed,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            notes: Vec::new(),
            audit: None,
            foresight: None,
        }
    }

    fn print(&self, r: &Report, page: &Path) {
        for l in &r.budget {
            let limit = l.limit.map_or_else(|| "no limit".to_owned(), |v| format!("limit {}", thousands(v)));
            say!("{:<6} {:>12} of {:>12} dense, {limit}", l.name, thousands(l.value), thousands(l.dense));
        }
        r.notes.iter().for_each(|note| say!("{note}"));
        say!("{}", r.text());
        say!("report: {}", page.display());
    }
}
