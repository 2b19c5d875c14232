//! `cargo xtask bench`: instructions, sizes and times of the reference networks and those of ../shared, in one go. Each
//! table is printed as Markdown; `benches/README.md` holds a printed copy.

use crate::networks::{self, BYTES, MODELS, reference};
use crate::sh::{Result, cmd, output, shared, target};
use crate::{aarch64, examples, firmware, peers, setup};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What an instruction count is of: how the file is compiled, and how it is run.
struct Way {
    name: &'static str,
    target: &'static str,
    run: &'static [&'static str],
}

/// Instructions are counted in these ways.
const WAYS: [Way; 5] = [
    Way { name: "cortex-m4", target: "cortex-m4", run: &[] },
    Way { name: "cortex-m55", target: "cortex-m55", run: &[] },
    Way { name: "aarch64, no dotprod", target: "aarch64", run: &["--no-dotprod"] },
    Way { name: "aarch64, dotprod", target: "aarch64", run: &["--no-i8mm"] },
    Way { name: "aarch64, i8mm", target: "aarch64", run: &[] },
];

/// The file of counts that the tests hold the kernels and the monitor to.
const BUDGET: &str = "benches/budget.json";

/// The `evenkeel` command, and a folder for its files.
pub struct Bench {
    pub evenkeel: PathBuf,
    programs: Vec<(&'static str, PathBuf)>,
    pub dir: PathBuf,
    pub shared: PathBuf,
}

impl Bench {
    /// Builds the command, the firmware and the program for AArch64.
    pub fn new() -> Result<Self> {
        let shared = shared().ok_or("the models in ../shared (or EVENKEEL_DATA) are not there")?;
        setup::all()?;
        let mut programs = firmware::build()?;
        programs.push((aarch64::VARIABLE, aarch64::build()?));
        let evenkeel = peers::build_command()?;
        let dir = target().join("bench");
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Bench { evenkeel, programs, dir, shared })
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let text = output(cmd(&self.evenkeel).envs(self.programs.iter().cloned()).args(args).arg("--json"))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", args.join(" ")))
    }

    /// A network as a file for a target: the int8 network where there is one, otherwise quantised from f32.
    fn compile(&self, name: &str, target: &str, flags: &[&str]) -> Result<String> {
        let keel = text(&self.dir.join(format!("{name}-{target}-{}.keel", flags.concat())));
        let models = self.shared.join("models");
        let base = ["-o", &keel, "--target", target];
        match MODELS.iter().find(|m| m.0 == name) {
            None => {
                let model = text(&models.join(format!("mlperf_tiny/{name}_qdq.onnx")));
                self.json(&[&["compile", &model], &base[..], flags].concat())?;
            }
            Some((_, data)) => {
                let model = text(&models.join(format!("{name}.onnx")));
                let data = text(&self.shared.join(format!("data/{data}.npz")));
                let norm = if name.starts_with("face") { BYTES } else { &[] };
                self.json(&[&["compile", &model, "--data", &data], &base[..], norm, flags].concat())?;
            }
        }
        Ok(keel)
    }

    /// A network, compiled and run in one of the ways. Its output bytes are compared with the host's.
    fn count(&self, name: &str, way: &Way, flags: &[&str]) -> Result<Value> {
        let keel = self.compile(name, way.target, flags)?;
        self.json(&[&["bench", &keel, "--target", way.target, "--rows", "2"], way.run].concat())
    }
}

/// A path as an argument.
pub fn text(p: &Path) -> String {
    p.to_string_lossy().into_owned()
}

/// A number, 0 where there is none.
pub fn n(v: &Value) -> u64 {
    v.as_u64().unwrap_or(0)
}

/// All tables. `--layers` prints the layers too, `--no-peers` leaves out the times on this host, `--accept` writes the
/// counts on the emulated microcontrollers to the budget file.
pub fn bench(flags: &[String]) -> Result<()> {
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    if let Some(unknown) = flags.iter().find(|f| !["--layers", "--no-peers", "--accept"].contains(&f.as_str())) {
        return Err(format!("bench has no flag `{unknown}`; it has --layers, --no-peers and --accept"));
    }
    let b = Bench::new()?;
    let all = ["--form", "dense"];
    let dense =
        instructions(&b, "Instructions per inference, every weight stored", &all, networks::all(), has("--layers"))?;
    let references = || networks::MLPERF.iter().map(|m| m.name);
    let half = instructions(&b, "With the smaller half of all blocks zero", &["--blocks", "50%"], references(), false)?;
    if has("--accept") {
        accept(&dense, &half)?;
    }
    sizes(&b, &dense)?;
    if !has("--no-peers") {
        println!("\n## Time on this host\n");
        peers::peers(7)?;
    }
    // Last: it builds the command anew, as tests have it.
    println!("\n## Code of a minimal firmware\n");
    examples::examples()
}

/// Counts per network, in the order of [`WAYS`].
type Counts = Vec<(&'static str, Vec<Value>)>;

fn instructions(
    b: &Bench,
    title: &str,
    flags: &[&str],
    names: impl Iterator<Item = &'static str>,
    layers: bool,
) -> Result<Counts> {
    println!("\n## {title}\n");
    print!("| network | MACs |");
    WAYS.iter().for_each(|w| print!(" {} | per MAC |", w.name));
    println!(" CMSIS-NN ÷ M4 | CMSIS-NN ÷ M55 | argmax | checksum |");
    println!("| --- | ---: |{} ---: | ---: | ---: | --- |", " ---: | ---: |".repeat(WAYS.len()));
    let mut counts = Counts::new();
    for name in names {
        let runs = WAYS.iter().map(|way| b.count(name, way, flags)).collect::<Result<Vec<_>>>()?;
        let macs = |v: &Value| v["layers"].as_array().into_iter().flatten().map(|l| n(&l["macs"])).sum::<u64>();
        print!("| {name} | {} |", macs(&runs[0]));
        for run in &runs {
            print!(" {} | {:.3} |", n(&run["total"]), n(&run["total"]) as f64 / macs(run).max(1) as f64);
        }
        for (i, run) in runs.iter().take(2).enumerate() {
            let ratio = reference(name).map(|r| r.cmsis_nn[i] as f64 / n(&run["total"]).max(1) as f64);
            print!(" {} |", ratio.map_or_else(|| "–".into(), |r| format!("{r:.2}")));
        }
        println!(" {} | {} |", n(&runs[0]["argmax"]), runs[0]["checksum"].as_str().unwrap_or(""));
        counts.push((name, runs));
    }
    println!(
        "\nOutput bytes of every run were equal to the host's portable kernels; checksums are of the Cortex-M4's."
    );
    if layers {
        for (name, runs) in &counts {
            per_layer(name, runs);
        }
    }
    Ok(counts)
}

/// Layers on the two emulated microcontrollers.
fn per_layer(name: &str, runs: &[Value]) {
    println!(
        "\n### {name}\n\n| layer | operator | MACs | cortex-m4 | cortex-m55 |\n| --- | --- | ---: | ---: | ---: |"
    );
    let layers = |v: &Value| v["layers"].as_array().cloned().unwrap_or_default();
    for (a, b) in layers(&runs[0]).iter().zip(&layers(&runs[1])) {
        let word = |k: &str| a[k].as_str().unwrap_or("").to_owned();
        println!("| {} | {} | {} | {} | {} |", word("name"), word("op"), n(&a["macs"]), n(&a["count"]), n(&b["count"]));
    }
}

fn sizes(b: &Bench, dense: &Counts) -> Result<()> {
    println!("\n## Bytes, packed for the Cortex-M4\n");
    println!("| network | .keel | with half of the blocks zero | .tflite | .keel ÷ .tflite | arena | arena of TFLM |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, runs) in dense {
        let known = reference(name);
        let half = match known {
            Some(_) => {
                let keel = b.compile(name, "cortex-m4", &["--blocks", "50%"])?;
                std::fs::metadata(&keel).map_err(|e| format!("{keel}: {e}"))?.len().to_string()
            }
            None => "–".into(),
        };
        let (bytes, of) = (n(&runs[0]["bytes"]), |f: fn(&networks::Reference) -> u64| known.map(f));
        let or_dash = |v: Option<u64>| v.map_or_else(|| "–".into(), |v| v.to_string());
        let ratio = known.map_or_else(|| "–".into(), |r| format!("{:.2}", bytes as f64 / r.tflite as f64));
        println!(
            "| {name} | {bytes} | {half} | {} | {ratio} | {} | {} |",
            or_dash(of(|r| r.tflite)),
            n(&runs[0]["arena"]),
            or_dash(of(|r| r.tflm_arena))
        );
    }
    Ok(())
}

/// Writes the counts on the microcontrollers to the budget file; what else is in it stays.
fn accept(dense: &Counts, half: &Counts) -> Result<()> {
    let path = crate::sh::root().join(BUDGET);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut budget: Map<String, Value> = serde_json::from_str(&text).map_err(|e| format!("{BUDGET}: {e}"))?;
    for (name, runs) in dense.iter().filter(|(name, _)| reference(name).is_some()) {
        let halves = half.iter().find(|h| h.0 == *name).map(|h| &h.1);
        let entry = |i: usize| {
            let half = halves.map_or(0, |h| n(&h[i]["total"]));
            json!({"dense": n(&runs[i]["total"]), "half_of_blocks": half})
        };
        budget.insert((*name).into(), json!({WAYS[0].name: entry(0), WAYS[1].name: entry(1)}));
    }
    let text = serde_json::to_string_pretty(&Value::Object(budget)).map_err(|e| e.to_string())?;
    std::fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
    println!("\nwrote {BUDGET}");
    Ok(())
}
