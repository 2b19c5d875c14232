//! `evenkeel repack`: a file for another target.

use super::thousands;
use clap::Args;
use evenkeel::chain;
use evenkeel::error::{Context, Error, Result};
use evenkeel::files;
use evenkeel::graph::{Shape, Window};
use evenkeel::lower::Target;
use evenkeel::lower::pays::{Layer, pays};
use evenkeel_runtime::Model;
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{OpRecord, TensorRecord, op, repack_model};
use std::path::PathBuf;

/// Lays the weights of a .keel file out for another target; what it computes, contract and certificate stay.
///
/// Activations keep their places, so a file that was compiled for a microcontroller stays as small in RAM on a host. A
/// signature is left out, as it would be one of other bytes.
#[derive(Args)]
#[command(after_help = "Example: evenkeel repack model.keel --target x86-64 -o model-host.keel")]
pub struct Repack {
    /// The .keel file
    model: PathBuf,
    /// What the new file is for: portable, cortex-m4, cortex-m55, aarch64 or x86-64
    #[arg(long)]
    target: Target,
    /// Where the new file goes
    #[arg(short, long)]
    output: PathBuf,
}

impl Repack {
    pub fn run(&self) -> Result<()> {
        let file = MappedFile::open(&self.model).map_err(|e| Error::new(e).at(&self.model))?;
        let model = chain::open(file.bytes(), &self.model)?;
        if model.dtype().is_float() {
            return Err(Error::new(format!(
                "the model computes in {}, and is packed for no target",
                model.dtype().name()
            ))
            .at(&self.model)
            .help("use it as it is: every target takes it"));
        }
        let form = |op: &OpRecord, density: f64| match layer(&model, op) {
            Some(layer) if pays(self.target, &layer, density) => Form::Blocks,
            _ => Form::Dense,
        };
        let bytes = repack_model(&model, self.target.packing(), form)
            .context("cannot repack")
            .map_err(|e| e.at(&self.model))?;
        files::write(&self.output, &bytes)?;
        say!("{}: {} bytes for {}", self.output.display(), thousands(bytes.len() as u64), self.target);
        Ok(())
    }
}

/// The operator as the cost model knows it.
fn layer(model: &Model, record: &OpRecord) -> Option<Layer> {
    let tensor = |i: u16| model.tensors().get(i as usize);
    let shape = |t: &TensorRecord, c: u32| Shape::new(c as usize, t.h as usize, t.w as usize);
    let (x, y) = (tensor(record.input)?, tensor(record.output)?);
    match record.code {
        op::LINEAR => Some(Layer::linear(x.elements(), record.out_channels as usize)),
        op::CONV => {
            let pair = |of: [u16; 2]| of.map(usize::from);
            let [top, left] = pair(record.pad);
            let (kernel, stride, dilation) = (pair(record.kernel), pair(record.stride), pair(record.dilation));
            let window = Window { kernel, stride, dilation, pad: [top, left, top, left] };
            Some(Layer::conv(&window, shape(x, x.c), shape(y, record.out_channels)))
        }
        _ => None,
    }
}
