//! `evenkeel prune`: the whole chain, from a dense network to a judged file.

use super::job::{Job, Told};
use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel::prune::blocks::Pattern;
use evenkeel::prune::{BlockOptions, prune};
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
    #[command(flatten)]
    job: Job,
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
}

impl Prune {
    pub fn run(&self) -> Result<ExitCode> {
        let mut options = self.job.options(self.block_options()?)?;
        let loaded = self.job.load(&mut options)?;
        if options.blocks.is_none() {
            loaded.contract.check_budget().map_err(|e| e.at(&self.job.contract))?;
        }
        let audit = self.job.audit(&loaded, &options)?;
        let outcome = {
            let (contract, frame, stop) = (&loaded.contract, &loaded.frame, &loaded.stop);
            prune(&loaded.dense, loaded.train(), loaded.selection(), contract, &options, frame, stop)
                .map_err(|e| e.at(&self.job.model))?
        };
        self.job.save_network(&loaded, &outcome)?;
        if outcome.stopped {
            return Err(self.job.stopped(&loaded, &outcome));
        }
        let method = format!(
            "{}, pruning steps: {}, updates after each: {}, of recovery: {}, learning rate: {}",
            options.method, options.steps, options.tune, options.recover, options.rate
        );
        let notes = options.blocks.map(|b| block_note(b.pattern.under(&options.method), &outcome.blocks));
        let cut = outcome.cut_short.then(|| "The user stopped the recovery before its last step.".to_owned());
        let notes = notes.into_iter().chain(cut).collect();
        let finished = self.job.finish(loaded, &outcome, &options, Told { audit, method, notes })?;
        self.job.tell(&finished, None)
    }

    fn block_options(&self) -> Result<Option<BlockOptions>> {
        if self.block_steps == 0 {
            return Err(Error::new("--block-steps must be at least 1"));
        }
        Ok(self.blocks.map(|pattern| BlockOptions {
            pattern: if self.block_uniform { pattern.even() } else { pattern },
            steps: self.block_steps,
        }))
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
