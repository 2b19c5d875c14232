//! `evenkeel report`: the page of a report again.

use clap::Args;
use evenkeel::error::{Context, Result};
use evenkeel::{fair, files, report};
use std::path::{Path, PathBuf};

/// Makes the HTML page of a report from its JSON, or prints its verdict and metrics.
#[derive(Args)]
#[command(after_help = "Example: evenkeel report model.report.json -o report.html")]
pub struct Report {
    /// A .report.json that `evenkeel prune` wrote
    report: PathBuf,
    /// Where the page goes; verdict and metrics are printed in any case
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Report {
    pub fn run(&self) -> Result<()> {
        let r = read(&self.report)?;
        if let Some(out) = &self.output {
            files::keep(&[&self.report], out)?;
            files::write(out, report::html(&r)?.as_bytes())?;
        }
        if self.json {
            say!("{}", r.json()?);
        } else {
            say!("{}", r.text().trim_end());
            r.metrics.iter().for_each(|m| say!("{}", fair::panel_table(m)));
        }
        Ok(())
    }
}

/// Reads a report back.
fn read(path: &Path) -> Result<report::Report> {
    let text = std::fs::read_to_string(path).context("cannot read the report").map_err(|e| e.at(path))?;
    report::Report::parse(&text)
        .map_err(|e| e.at(path).help("reports are the .report.json files that `evenkeel prune` writes"))
}
