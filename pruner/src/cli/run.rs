//! `evenkeel run`: inputs through a file.

use super::print_json;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use evenkeel::chain;
use evenkeel::data;
use evenkeel::error::{Context, Result};
use evenkeel_runtime::cast::MappedFile;
use serde_json::json;
use std::path::PathBuf;

/// Runs inputs through a .keel file and prints classes and outputs.
#[derive(Args)]
#[command(after_help = "Example: evenkeel run model.keel --input x.npy")]
pub struct Run {
    /// The .keel file
    model: PathBuf,
    /// A .npy array of raw inputs (rows × C × L or rows × C × H × W), or a .npz with an array `x`
    #[arg(long)]
    input: PathBuf,
    /// Name of the array in a .npz
    #[arg(long, default_value = "x")]
    array: String,
    /// Only the first rows
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    rows: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Run {
    pub fn run(&self) -> Result<()> {
        let file = MappedFile::open(&self.model).at(&self.model)?;
        let model = chain::open(file.bytes(), &self.model)?;
        let npz = self.input.extension().is_some_and(|e| e == "npz");
        let (shape, x) = data::load_array(&self.input, npz.then_some(self.array.as_str()))?;
        let rows = chain::rows_of(&model, &shape).map_err(|e| e.at(&self.input))?.min(self.rows.unwrap_or(usize::MAX));
        let width = model.input().elements();
        let y = chain::outputs(&model, &x[..rows * width], width)?;
        let real: Vec<&[f32]> = y.chunks(model.output().elements()).collect();
        let classes: Vec<usize> = real.iter().map(|r| evenkeel::net::set::classes(r, r.len())[0]).collect();
        if self.json {
            return print_json(&json!({"file": self.model, "classes": classes, "outputs": real}));
        }
        for (i, (class, outputs)) in classes.iter().zip(&real).enumerate() {
            let shown: Vec<String> = outputs.iter().take(16).map(|v| format!("{v:.3}")).collect();
            say!("{i}: class {class}  [{}{}]", shown.join(", "), if outputs.len() > 16 { ", …" } else { "" });
        }
        Ok(())
    }
}
