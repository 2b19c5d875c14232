//! `evenkeel verify`: is the file what its certificate says?

use super::{certificate_line, key, print_json, thousands};
use clap::Args;
use evenkeel::certify;
use evenkeel::chain;
use evenkeel::contract::{Contract, Limit};
use evenkeel::error::{Context, Error, Result};
use evenkeel::fair::{self, Predictions, verdict::Outcome};
use evenkeel::lower::Cost;
use evenkeel::net::device;
use evenkeel::{data as sets, fair::Verdict, fair::metrics::sign};
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::{CertificateGroup, CertificateHead, verdict, verdict_name};
use evenkeel_runtime::monitor::self_test;
use evenkeel_runtime::{Model, Session};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Reproduces the verdict from the file: runs it on the rows of `test` and compares with its certificate.
///
/// The file carries its contract, and per group what the dense model reached and the bound of the excess drop.
/// On the rows that the verdict was made on, the int8 results must be equal, and then the bounds are too. On
/// other rows, or to compute everything anew, give the dense network with --dense. With --key, the file must be signed
/// with that key; that alone is checked where no data are given.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel verify model.keel --data set.npz\nExit codes: 0 PASS, 1 FAIL or UNDECIDED, 2 an error (the certificate is not true, for one)."
)]
pub struct Verify {
    /// The .keel file
    model: PathBuf,
    /// The data set (.npz)
    #[arg(long, required_unless_present = "key")]
    data: Option<PathBuf>,
    /// A public key's file (see `evenkeel keygen`): refuse the file unless it is signed with the secret key to it
    #[arg(long)]
    key: Option<PathBuf>,
    /// The dense ONNX network: judge anew instead of comparing with the certificate
    #[arg(long)]
    dense: Option<PathBuf>,
    /// End with 0 whatever the verdict
    #[arg(long)]
    no_fail: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the self-test that devices run at boot.
fn self_test(model: &Model) -> Result<()> {
    let packed = chain::packed_for_host(model)?;
    let here = &Model::from_bytes(packed.bytes()).context("packed for this host")?;
    let mut arena = chain::arena(here);
    let mut session = Session::new(here, bytemuck::cast_slice_mut(&mut arena)).context("session")?;
    self_test::run(here, &mut session).map(drop).map_err(Error::new)
}

impl Verify {
    pub fn run(&self) -> Result<ExitCode> {
        let file = MappedFile::open(&self.model).at(&self.model)?;
        let model = match &self.key {
            Some(key) => Model::from_signed_bytes(file.bytes(), &key::read(key)?)
                .map_err(|e| Error::new(e).at(&self.model).help("do not use it, unless you know why"))?,
            None => chain::open(file.bytes(), &self.model)?,
        };
        let Some(data) = &self.data else {
            say!("{}: signed with this key, and unchanged since", self.model.display());
            return Ok(ExitCode::SUCCESS);
        };
        if model.contract().is_empty() {
            return Err(Error::new("the file carries no contract")
                .at(&self.model)
                .help("files of `evenkeel compile` have none; use `evenkeel prune`"));
        }
        let contract = Contract::parse(model.contract()).map_err(|e| e.at(&self.model))?;
        let outcome = match &self.dense {
            Some(dense) => self.anew(&model, &contract, data, dense)?,
            None => self.reproduce(&model, &contract, data)?,
        };
        Ok(if outcome == Outcome::Pass || self.no_fail { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    /// Judges the file against the dense network.
    fn anew(&self, model: &Model, contract: &Contract, data: &Path, dense: &Path) -> Result<Outcome> {
        let graph = chain::load_network(dense)?;
        // The file's input normalisation holds gains of the quantisation: the contract's own is the dense network's.
        let mut v = fair::judge(sets::load(data)?.verdict, contract, |rows| {
            let dense = chain::f32_classes(&graph, rows, &contract.input, &device("cpu")?)?;
            let int8 = chain::int8_classes(model, rows)?;
            Ok(Predictions { dense, pruned: int8.clone(), int8 })
        })
        .map_err(|e| e.at(data))?;
        // Nobody gave the pruned network in f32.
        v.overall.pruned = None;
        v.groups.iter_mut().for_each(|g| (g.pruned, g.pruned_interval) = (None, [0.0, 1.0]));
        let outcome = v.verdict;
        if self.json {
            print_json(&with_file(&v, &self.file_facts(model, contract))?)?
        } else {
            say!("{}", fair::table(&v))
        }
        Ok(outcome)
    }

    /// Compares the file's results with its certificate.
    fn reproduce(&self, model: &Model, contract: &Contract, data: &Path) -> Result<Outcome> {
        let (head, groups) =
            model.certificate().ok_or_else(|| Error::new("the file carries no certificate").at(&self.model))?;
        let mut hash = [0; 2];
        // Dense results are the certificate's; only what the int8 bytes do is measured here.
        let v = fair::judge(sets::load(data)?.verdict, contract, |rows| {
            hash = certify::fingerprint(rows, &contract.fairness);
            let int8 = chain::int8_classes(model, rows)?;
            Ok(Predictions { dense: int8.clone(), pruned: int8.clone(), int8 })
        })
        .map_err(|e| e.at(data))?;
        if hash != head.data_hash {
            return Err(Error::new("these are not the rows, or not the groups, that the certificate was made on")
                .at(data)
                .help(
                    "give the same data set, with the same groups and clusters, or the dense network with --dense to judge on \
                     these rows",
                ));
        }
        let wrong = compare(model, head, groups, &v).or_else(|| beyond(model, head, groups, contract));
        if let Some(wrong) = wrong {
            return Err(Error::new(format!("the certificate is not true: {wrong}")).at(&self.model).help(
                "the file or the groups of the data were changed, or another version made the file: make it again, or \
                     judge on these groups with --dense and the dense network",
            ));
        }
        self_test(model).map_err(|e| e.at(&self.model))?;
        let out = self.certified(model, contract, head, groups);
        if self.json {
            print_json(&out)?
        } else {
            self.print(model, head, groups)
        }
        Ok(match verdict_name(head.verdict) {
            "PASS" => Outcome::Pass,
            "FAIL" => Outcome::Fail,
            _ => Outcome::Undecided,
        })
    }

    fn file_facts(&self, model: &Model, contract: &Contract) -> Value {
        let cost = Cost { macs: chain::macs(model), flash: model.file_len() as u64, ram: model.arena_len() as u64 };
        let b = &contract.budget;
        let dense = model.certificate().map_or([0; 4], |c| c.0.dense_cost);
        let dense = Cost {
            macs: u64::from(dense[0]) | u64::from(dense[1]) << 32,
            flash: dense[2].into(),
            ram: dense[3].into(),
        };
        let line = |limit: Option<Limit>, value: u64, dense: u64| json!({"limit": limit.map(|l| l.resolve(dense)), "value": value, "dense": dense});
        json!({"file": self.model, "bytes": cost.flash, "budget": {"macs": line(b.macs, cost.macs, dense.macs), "flash": line(b.flash, cost.flash, dense.flash), "ram": line(b.ram, cost.ram, dense.ram)}})
    }

    fn certified(
        &self,
        model: &Model,
        contract: &Contract,
        head: &CertificateHead,
        groups: &[CertificateGroup],
    ) -> Value {
        let finite = |v: f32| v.is_finite().then_some(v);
        let rows: Vec<Value> = groups
            .iter()
            .map(|g| {
                json!({"group": model.name(g.name), "n": g.n, "clusters": g.clusters, "dense": g.dense, "pruned": g.pruned, "int8": g.int8,
                       "excess_drop": {"value": g.excess_drop, "upper": finite(g.excess_drop_upper)}, "verdict": verdict_name(g.verdict)})
            })
            .collect();
        let good = |g: &CertificateGroup| g.int8 * sign(contract.fairness.metric) as f32;
        let worst = groups.iter().min_by(|a, b| good(a).total_cmp(&good(b)));
        let worst = worst.map(|g| json!({"group": model.name(g.name), "int8": g.int8}));
        let mut out = self.file_facts(model, contract);
        out["verdict"] = json!(verdict_name(head.verdict));
        out["confidence"] = json!(head.confidence);
        out["reproduced"] = json!(true);
        out["unproven"] = json!(head.unproven != 0);
        out["overall"] = json!({"n": head.n, "dense": head.dense, "pruned": head.pruned, "int8": head.int8});
        out["groups"] = json!(rows);
        out["worst_group"] = json!(worst);
        out
    }

    fn print(&self, model: &Model, head: &CertificateHead, groups: &[CertificateGroup]) {
        say!(
            "{}: {} bytes, arena {} bytes",
            self.model.display(),
            thousands(model.file_len() as u64),
            thousands(model.arena_len() as u64)
        );
        say!("int8 results on {} rows equal the certificate's, group by group", thousands(head.n.into()));
        groups.iter().for_each(|g| say!("{}", certificate_line(model, g)));
        say!(
            "{} at confidence {}{}",
            verdict_name(head.verdict),
            head.confidence,
            if head.unproven != 0 { ", exported as unproven" } else { "" }
        );
    }
}

/// The first thing that is not as the certificate says.
fn compare(model: &Model, head: &CertificateHead, groups: &[CertificateGroup], v: &Verdict) -> Option<String> {
    let same = |what: &str, said: f32, seen: Option<f64>| {
        let seen = seen.unwrap_or(0.0) as f32;
        (said.to_bits() != seen.to_bits()).then(|| format!("{what} is {seen}, it says {said}"))
    };
    if groups.len() != v.groups.len() {
        return Some(format!("there are {} groups, it lists {}", v.groups.len(), groups.len()));
    }
    same("int8 over all rows", head.int8, v.overall.int8).or_else(|| {
        groups.iter().zip(&v.groups).find_map(|(said, seen)| {
            let name = model.name(said.name);
            if name != seen.group || said.n as usize != seen.n {
                return Some(format!("group {} with {} rows, it says {name} with {}", seen.group, seen.n, said.n));
            }
            same(&format!("int8 of {name}"), said.int8, seen.int8)
        })
    })
}

/// A group that does not keep the contract although the certificate says PASS.
fn beyond(model: &Model, head: &CertificateHead, groups: &[CertificateGroup], contract: &Contract) -> Option<String> {
    let limit = contract.fairness.max_excess_drop as f32;
    // Rounding to f32 may move a bound that is just the limit.
    let keeps = |g: &&CertificateGroup| g.verdict == verdict::PASS && g.excess_drop_upper <= limit + 1e-6;
    let broken = groups.iter().find(|g| !keeps(g)).filter(|_| head.verdict == verdict::PASS)?;
    Some(format!("it says PASS, but {} does not keep the contract", model.name(broken.name)))
}

/// A verdict's JSON with the facts of the file added.
fn with_file(v: &Verdict, facts: &Value) -> Result<Value> {
    let mut out = serde_json::to_value(v).map_err(Error::new)?;
    if let (Some(out), Some(facts)) = (out.as_object_mut(), facts.as_object()) {
        out.extend(facts.clone());
    }
    Ok(out)
}
