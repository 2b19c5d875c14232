//! `evenkeel patterns`: which blocks of zeros would make which layer faster on a target, before pruning.

use super::{print_json, thousands};
use clap::Args;
use evenkeel::chain;
use evenkeel::contract::InputNorm;
use evenkeel::error::{Error, Result};
use evenkeel::lower::Target;
use evenkeel::lower::forecast::{Forecast, of_graph, of_network};
use evenkeel::lower::pays::unit;
use serde_json::json;
use std::path::PathBuf;

/// Predicts what each layer costs with every weight and with blocks of zeros: what pays on a target, before pruning.
///
/// Convolutions over all channels and linear layers are listed: others have no blocks. Numbers are those of a model of the
/// kernels' loops: instructions, on x86-64 nanoseconds of a server with AVX-512 VNNI. `bench` measures a compiled file.
#[derive(Args)]
#[command(after_help = "Example: evenkeel patterns model.onnx --target cortex-m4")]
pub struct Patterns {
    /// The ONNX network, f32 or quantised
    model: PathBuf,
    /// cortex-m4, cortex-m55, aarch64 or x86-64
    #[arg(long)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Patterns {
    pub fn run(&self) -> Result<()> {
        if self.target == Target::Portable {
            return Err(Error::new("the portable target has no blocks, so nothing can be said of them")
                .help("give --target cortex-m4, cortex-m55, aarch64 or x86-64"));
        }
        let layers = match chain::load_quantised(&self.model, &InputNorm::default())? {
            Some(q) => of_network(&q, self.target),
            None => of_graph(&chain::load_network(&self.model)?, self.target).map_err(|e| e.at(&self.model))?,
        };
        let total = total(&layers);
        if self.json {
            return print_json(
                &json!({"target": self.target.name(), "unit": unit(self.target), "layers": layers, "total": total}),
            );
        }
        say!("{} on {}, {} per inference:", self.model.display(), self.target, unit(self.target));
        say!(
            "  {:<34} {:<7} {:>12} {:>12} {:>12} {:>12} {:>10}  pays",
            "layer",
            "op",
            "MACs",
            "dense",
            "50% zero",
            "75% zero",
            "break-even"
        );
        layers.iter().for_each(row);
        row(&total);
        say!("Blocks pay in a layer when more than the break-even share of them is zero.");
        Ok(())
    }
}

fn row(f: &Forecast) {
    let pays = match f.dense {
        dense if f.half < dense => "50%",
        dense if f.quarter < dense => "75%",
        _ => "-",
    };
    say!(
        "  {:<34} {:<7} {:>12} {:>12} {:>12} {:>12} {:>9.1}%  {pays}",
        f.name,
        f.op,
        thousands(f.macs),
        thousands(f.dense),
        thousands(f.half),
        thousands(f.quarter),
        (1.0 - f.break_even) * 100.0
    );
}

/// All layers together, each with blocks only where they pay.
fn total(layers: &[Forecast]) -> Forecast {
    let sum = |of: fn(&Forecast) -> u64| layers.iter().map(of).sum::<u64>();
    let (dense, quarter) = (sum(|f| f.dense), sum(|f| f.quarter.min(f.dense)));
    let macs = sum(|f| f.macs);
    let weighted: f64 = layers.iter().map(|f| f.break_even * f.macs as f64).sum();
    Forecast {
        name: "total".into(),
        op: "",
        macs,
        dense,
        half: sum(|f| f.half.min(f.dense)),
        quarter,
        break_even: weighted / macs.max(1) as f64,
    }
}
