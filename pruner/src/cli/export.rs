//! `evenkeel export`: a file as source code for firmware, or as ONNX for other runtimes.

use super::{print_json, thousands};
use clap::{Args, ValueEnum};
use evenkeel::chain;
use evenkeel::error::{Context, Error, Result};
use evenkeel::export::{self, Facts};
use evenkeel_runtime::cast::MappedFile;
use serde_json::json;
use std::path::PathBuf;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A crate without std
    Rust,
    /// A C array and a header with its constants
    C,
    /// An ONNX file with QuantizeLinear and DequantizeLinear, for other int8 runtimes
    Onnx,
}

/// Writes a .keel file as source code for firmware, or as an ONNX file for other int8 runtimes.
#[derive(Args)]
#[command(after_help = "Example: evenkeel export model.keel --to c -o firmware/model")]
pub struct Export {
    /// The .keel file
    model: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    to: Form,
    /// The folder for it
    #[arg(short, long)]
    output: PathBuf,
    /// Replace files in a folder that is not empty
    #[arg(long)]
    force: bool,
    /// Where the crate finds the folder `runtime` of this project (as the crate's Cargo.toml shall say it); without it, the
    /// crate depends on the runtime by its version
    #[arg(long)]
    runtime: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Export {
    pub fn run(&self) -> Result<()> {
        let file = MappedFile::open(&self.model).at(&self.model)?;
        let model = chain::open(file.bytes(), &self.model)?;
        let name = self.model.file_stem().unwrap_or_default().to_string_lossy();
        let facts = Facts::new(&model, file.bytes(), &name);
        let files = match (self.to, &self.runtime) {
            (Form::Rust, runtime) => export::to_rust(&facts, runtime.as_deref()),
            (Form::C, None) => export::to_c(&facts),
            (Form::Onnx, None) => {
                let bytes = export::to_onnx(&model, &name).map_err(|e| e.at(&self.model))?;
                vec![(format!("{}.onnx", facts.identifier()).into(), bytes)]
            }
            (_, Some(_)) => return Err(Error::new("--runtime is for --to rust").help("leave --runtime out")),
        };
        export::write(&self.output, &files, self.force)?;
        if self.json {
            let files: Vec<_> = files.iter().map(|(path, _)| path).collect();
            return print_json(
                &json!({"folder": self.output, "files": files, "bytes": facts.bytes.len(), "arena": facts.arena_len, "packing": facts.packing, "groups": facts.groups}),
            );
        }
        for (path, bytes) in &files {
            say!("{}: {} bytes", self.output.join(path).display(), thousands(bytes.len() as u64));
        }
        Ok(())
    }
}
