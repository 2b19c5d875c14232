//! `evenkeel inspect`: what is in a network or a `.keel` file.

use super::{certificate_line, floor, print_json, thousands};
use clap::Args;
use evenkeel::couple::couple;
use evenkeel::error::{Context, Result};
use evenkeel::{chain, onnx};
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::verdict_name;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Shows the layers, their cost, and which channels go together.
#[derive(Args)]
#[command(after_help = "Example: evenkeel inspect model.onnx")]
pub struct Inspect {
    /// An ONNX network or a .keel file
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn run(&self) -> Result<()> {
        if self.model.extension().is_some_and(|e| e == "keel") {
            self.keel(&self.model)
        } else {
            self.onnx(&self.model)
        }
    }

    fn onnx(&self, path: &Path) -> Result<()> {
        let graph = onnx::load(path)?;
        let coupling = couple(&graph);
        let layers: Vec<_> = (0..graph.nodes.len())
            .map(|i| {
                let n = &graph.nodes[i];
                json!({"name": n.name, "op": n.op.name(), "shape": [n.shape.c, n.shape.h, n.shape.w], "macs": graph.macs_of(i)})
            })
            .collect();
        if self.json {
            let classes: Vec<_> = coupling
                .classes
                .iter()
                .map(|c| json!({"name": c.name, "channels": c.channels, "frozen": c.frozen}))
                .collect();
            return print_json(
                &json!({"file": path, "macs": graph.macs(), "params": graph.params(), "layers": layers, "channel_groups": classes}),
            );
        }
        say!(
            "{}: {} → {}, {} MACs, {} parameters",
            path.display(),
            graph.input_shape(),
            graph.output_shape(),
            thousands(graph.macs() as u64),
            thousands(graph.params() as u64)
        );
        for (i, n) in graph.nodes.iter().enumerate() {
            say!(
                "  {:<34} {:<14} {:>14} {:>14}",
                n.name,
                n.op.name(),
                n.shape.to_string(),
                thousands(graph.macs_of(i) as u64)
            );
        }
        say!("coupled channel groups:");
        for c in &coupling.classes {
            let note = c.frozen.as_ref().map_or(String::new(), |r| format!("  not prunable: {r}"));
            say!(
                "  {:<34} {:>5} channels, {} producers, {} consumers{note}",
                c.name,
                c.channels,
                c.producers.len(),
                c.consumers.len()
            );
        }
        Ok(())
    }

    fn keel(&self, path: &Path) -> Result<()> {
        let file = MappedFile::open(path).at(path)?;
        let model = chain::open(file.bytes(), path)?;
        let ops = model.ops();
        let shape = |t: u16| model.tensors()[t as usize].shape();
        let macs = chain::macs(&model);
        let certificate = model.certificate();
        if self.json {
            let layers: Vec<_> = ops.iter().enumerate().map(|(i, o)| json!({"name": model.name(o.name), "op": o.code_name(), "shape": shape(o.output), "macs": model.macs(i)})).collect();
            let groups = certificate.map(|(_, g)| g.iter().map(|g| json!({"group": model.name(g.name), "n": g.n, "dense": g.dense, "pruned": g.pruned, "int8": g.int8})).collect::<Vec<_>>());
            return print_json(
                &json!({"file": path, "bytes": model.file_len(), "dtype": model.dtype().name(), "arena": model.arena_bytes(), "macs": macs, "layers": layers, "contract": model.contract(), "certificate": groups}),
            );
        }
        say!(
            "{}: {}, {} bytes, arena {} bytes, {} MACs",
            path.display(),
            model.dtype().name(),
            thousands(model.file_len() as u64),
            thousands(model.arena_bytes() as u64),
            thousands(macs)
        );
        for (i, o) in ops.iter().enumerate() {
            say!(
                "  {:<34} {:<14} {:>16} {:>14}",
                model.name(o.name),
                o.code_name(),
                format!("{:?}", shape(o.output)),
                thousands(model.macs(i))
            );
        }
        if let Some((head, groups)) = certificate {
            say!(
                "certificate: {} at confidence {}{}",
                verdict_name(head.verdict),
                head.confidence,
                if head.unproven != 0 { " (exported with --allow-unproven)" } else { "" }
            );
            groups.iter().for_each(|g| say!("{}", certificate_line(&model, g)));
        }
        if let Some((_, floors)) = model.monitor() {
            for f in floors {
                say!("monitor: {} has the floor {:.3}", model.name(f.name), floor(f));
            }
        }
        if !model.contract().is_empty() {
            say!("contract:\n{}", model.contract().trim_end());
        }
        Ok(())
    }
}
