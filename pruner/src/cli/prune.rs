//! `evenkeel prune`: the whole chain, from a dense network to a judged file.

use super::{InputFlags, check_rate, thousands};
use clap::Args;
use evenkeel::certify;
use evenkeel::chain::{self, Prepared};
use evenkeel::contract::Contract;
use evenkeel::error::{Error, Result};
use evenkeel::fair::panel::panel_of;
use evenkeel::fair::{self, Outcome as Judged, Predictions, Verdict};
use evenkeel::files;
use evenkeel::graph::Graph;
use evenkeel::lower::{Cost, Target, lower};
use evenkeel::net::{Split, device, set::classes};
use evenkeel::onnx;
use evenkeel::precheck::precheck;
use evenkeel::progress::Stop;
use evenkeel::prune::blocks::Pattern;
use evenkeel::prune::fallback::for_rows;
use evenkeel::prune::select::Frame;
use evenkeel::prune::{BlockOptions, Options, Outcome, Recipe, prune};
use evenkeel::report::{BudgetLine, HistoryLine, LayerLine, Report};
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a network smaller under a contract and judges the int8 file once on the rows of `test`.
///
/// Writes the .keel file, the pruned f32 network beside it (.pruned.onnx), and the report (.report.html and
/// .report.json). A file whose verdict is not PASS is only written with --allow-unproven, and carries that.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel prune model.onnx --data set.npz --contract contract.toml -o model.keel\nExit codes: 0 PASS (or written with --allow-unproven), 1 FAIL or UNDECIDED, 2 an error."
)]
pub struct Prune {
    /// The dense ONNX network
    model: PathBuf,
    /// The data set (.npz with x, y, split, group columns)
    #[arg(long)]
    data: PathBuf,
    /// The contract (.toml)
    #[arg(long)]
    contract: PathBuf,
    /// Where the .keel file goes
    #[arg(short, long)]
    output: PathBuf,
    /// The method: a sum of parts such as fairgrape+kd+ceag; `evenkeel methods` lists them
    #[arg(long, default_value = "default")]
    method: Recipe,
    /// What the file is for: portable, cortex-m4, cortex-m55, aarch64 or x86-64
    #[arg(long, default_value_t)]
    target: Target,
    /// Write the file although its verdict is not PASS
    #[arg(long)]
    allow_unproven: bool,
    /// Pruning steps
    #[arg(long, default_value_t = 6)]
    steps: usize,
    /// Optimiser steps after each pruning step
    #[arg(long, default_value_t = 60)]
    tune: usize,
    /// Optimiser steps of the recovery at the end
    #[arg(long, default_value_t = 900)]
    recover: usize,
    /// Rows per optimiser step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Keep channels in multiples of this
    #[arg(long, default_value_t = 4)]
    round_to: usize,
    /// Every layer keeps at least this share of its channels
    #[arg(long, default_value_t = 0.125)]
    min_share: f64,
    /// Make blocks of weights zero after the channels are gone: the share that becomes zero (50%), or how many stay of
    /// each so many neighbours (2:4). Only in layers that this makes faster on the target
    #[arg(long, value_name = "PATTERN")]
    blocks: Option<Pattern>,
    /// The same share of blocks in each row of them, so that all outputs take equally long
    #[arg(long, requires = "blocks")]
    block_uniform: bool,
    /// Steps in which blocks become zero, each followed by --tune updates
    #[arg(long, default_value_t = 3, requires = "blocks")]
    block_steps: usize,
    /// Recover with folded convolutions as they are, without giving them their normalisation back
    #[arg(long)]
    no_norm: bool,
    #[command(flatten)]
    input: InputFlags,
    /// Device to train on: cpu, or cuda, wgpu, tch where built in
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Prune {
    pub fn run(&self) -> Result<ExitCode> {
        let mut options = self.options()?;
        let contract = Contract::load(&self.contract)?;
        let input = self.input.apply(&contract.input)?;
        let contract = contract.with_input(input)?;
        let dense = chain::load_network(&self.model)?;
        let p = Prepared::load(&self.data, &dense, &contract.input, &contract.fairness.groups)?;
        let fallback;
        (options.method, fallback) =
            for_rows(&options.method, &p.train_groups, &p.train.y).map_err(|e| e.at(&self.data))?;
        fallback.iter().for_each(|words| eprintln!("{words}"));
        // All that would be found missing only at the end.
        fair::check(&p.data.select, &contract).map_err(|e| e.at(&self.data))?;
        if p.data.verdict.is_empty() {
            return Err(Error::new("array `split` has no row `test`")
                .at(&self.data)
                .help("the verdict is made on rows that nothing else has seen: put some people into `test`"));
        }
        files::check_folder(&self.output)?;
        let onnx = self.output.with_extension("pruned.onnx");
        for output in [&self.output, &onnx] {
            files::keep(&[&self.model, &self.data, &self.contract], output)?;
        }
        let stop = Stop::on_ctrl_c()?;
        let norm = chain::input_channels(&contract.input);
        let extras = certify::blank(&contract, &p.select_groups)?;
        let frame = Frame { norm: norm.len(), extras, target: self.target };
        let train = Split { set: &p.train, groups: &p.train_groups };
        let selection = Split { set: &p.select, groups: &p.select_groups };
        let audit = precheck(&dense, &p, &contract.fairness, &options.device, self.seed, &stop)?;
        let outcome =
            prune(&dense, train, selection, &contract, &options, &frame, &stop).map_err(|e| e.at(&self.model))?;
        onnx::save(&outcome.graph, &onnx)?;
        if outcome.stopped {
            let macs = thousands(outcome.cost.1.macs);
            return Err(Error::new(format!(
                "stopped before the budget was met; the network so far ({macs} MACs, f32) is saved"
            ))
            .at(&onnx));
        }
        let q = chain::quantised(&outcome.graph, &p.train, &contract.input, &options.device)?;
        let small = lower(&q, &frame.extras, self.target)?;
        let model = chain::open(&small.bytes, &self.output)?;
        let (mut hash, mut metrics) = ([0; 2], None);
        let verdict = fair::judge(p.data.verdict, &contract, |rows| {
            hash = certify::fingerprint(rows);
            let of = |graph: &Graph| chain::f32_outputs(graph, rows, &contract.input, &options.device);
            let (dense, pruned) = (of(&dense)?, of(&outcome.graph)?);
            let int8 = chain::outputs(&model, &rows.x, rows.width())?;
            let train = (&p.data.train.y[..], &p.train_groups);
            metrics = Some(panel_of(rows, &contract.fairness, [&dense, &int8], train, options.seed)?);
            let [dense, pruned, int8] = [dense, pruned, int8].map(|o| classes(&o, model.output().elements()));
            Ok(Predictions { dense, pruned, int8 })
        })?;
        let passed = verdict.verdict == Judged::Pass;
        let lowered = lower(&q, &certify::extras(&contract, &verdict, hash, outcome.cost.0, !passed)?, self.target)?;
        self.check_budget(&outcome, &lowered.cost())?;
        let report = self.report(verdict, &contract, &outcome, &lowered.cost(), &options).with_audit(audit);
        let report = Report { metrics, ..report };
        let page = self.output.with_extension("report.html");
        report.save(&page)?;
        let written = passed || self.allow_unproven;
        if written {
            files::write(&self.output, &lowered.bytes)?;
        }
        if self.json {
            say!("{}", report.json()?)
        } else {
            self.print(&report, &page)
        }
        if !written {
            eprintln!(
                "{} was not written: the verdict is {}; to write it all the same, marked as unproven, add --allow-unproven",
                self.output.display(),
                report.verdict.verdict
            );
        }
        Ok(if written { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn options(&self) -> Result<Options> {
        let at_least_one = [
            ("--steps", self.steps),
            ("--batch", self.batch),
            ("--round-to", self.round_to),
            ("--recover", self.recover),
            ("--block-steps", self.block_steps),
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
            blocks: self.blocks.map(|pattern| BlockOptions {
                pattern: if self.block_uniform { pattern.even() } else { pattern },
                steps: self.block_steps,
            }),
            seed: self.seed,
            device: device(&self.device)?,
        })
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

    fn report(&self, verdict: Verdict, contract: &Contract, o: &Outcome, cost: &Cost, options: &Options) -> Report {
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
            method: format!(
                "{}, {} steps of {} updates, {} of recovery, learning rate {}",
                options.method, options.steps, options.tune, options.recover, options.rate
            ),
            seed: options.seed,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            notes: options.blocks.map(|b| block_note(b.pattern, &o.blocks)).into_iter().collect(),
            audit: None,
            foresight: None,
        }
    }

    fn print(&self, r: &Report, page: &std::path::Path) {
        for l in &r.budget {
            let limit = l.limit.map_or_else(|| "no limit".to_owned(), |v| format!("limit {}", thousands(v)));
            say!("{:<6} {:>12} of {:>12} dense, {limit}", l.name, thousands(l.value), thousands(l.dense));
        }
        r.notes.iter().for_each(|note| say!("{note}"));
        say!("{}", r.text());
        say!("report: {}", page.display());
    }
}

/// What became zero, for the report.
fn block_note(pattern: Pattern, layers: &[(String, usize, usize)]) -> String {
    let line = |(name, all, zero): &(String, usize, usize)| format!("{name} {zero} of {all}");
    match layers {
        [] => format!("blocks: {pattern} asked for; in what is left of the layers they would not be faster"),
        _ => format!("blocks: {pattern}; zero in {}", layers.iter().map(line).collect::<Vec<_>>().join(", ")),
    }
}
