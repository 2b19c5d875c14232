//! `evenkeel monitor replay`: every alarm recomputed from snapshots alone.

use super::super::print_json;
use super::read::{Inputs, terms};
use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel_monitor::collect::audit;
use evenkeel_monitor::replay::{Alarm, Replay as Found, replay};
use evenkeel_monitor::terms::Terms;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Recomputes alarms from the snapshots of each device, and checks that its evidence and alarms can be true.
#[derive(Args)]
#[command(after_help = "Example: evenkeel monitor replay snapshots/ --model model.keel --key fleet.key")]
pub struct Replay {
    #[command(flatten)]
    inputs: Inputs,
    /// The .keel file that the devices run
    #[arg(long)]
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub fn run(&self) -> Result<()> {
        let terms = terms(&self.model)?;
        let (mut found, mut unclean) = (Vec::new(), 0);
        for history in audit(self.inputs.snapshots()?) {
            let device = history.key.device;
            let one = replay(&history, &terms).map_err(|e| Error::new(e).prefix(format!("device {device}")))?;
            unclean += usize::from(!one.is_clean());
            if self.json {
                found.push(value(&one, &terms, history.duplicates));
            } else {
                print(&one, &terms, history.duplicates);
            }
        }
        if self.json {
            print_json(&found)?;
        }
        if unclean > 0 {
            return Err(Error::new(format!("the snapshots of {unclean} devices are not what an honest device sends"))
                .help("someone else may have their keys, or their storage was copied or restored: enrol them anew"));
        }
        Ok(())
    }
}

fn name(terms: &Terms, group: usize) -> &str {
    terms.groups.get(group).map_or("", |g| g.name.as_str())
}

fn value(found: &Found, terms: &Terms, duplicates: usize) -> Value {
    let alarm = |a: &Alarm| {
        json!({"kind": a.kind.name(), "group": name(terms, a.group), "standing": a.standing.name(), "reported_in": a.reported,
               "recomputed_in": a.recomputed, "events": a.record.map(|r| r.events), "n": a.n})
    };
    let fault = |f: &evenkeel_monitor::replay::Fault| json!({"seq": f.seq, "group": f.group.map(|g| name(terms, g)), "what": f.what});
    let evidence = |e: &evenkeel_monitor::replay::Evidence| json!({"kind": e.kind.name(), "group": name(terms, e.group), "share": e.share});
    json!({"device": found.key.device, "incarnation": found.key.incarnation, "snapshots": found.snapshots,
           "duplicates": duplicates, "clean": found.is_clean(), "alarms": found.alarms.iter().map(alarm).collect::<Vec<_>>(),
           "faults": found.faults.iter().map(fault).collect::<Vec<_>>(),
           "evidence": found.evidence.iter().map(evidence).collect::<Vec<_>>()})
}

fn print(found: &Found, terms: &Terms, duplicates: usize) {
    let key = &found.key;
    let clean = if found.is_clean() { "all of it can be true" } else { "IT CANNOT BE TRUE" };
    let twice = if duplicates > 0 { format!(", {duplicates} came twice") } else { String::new() };
    say!("device {} incarnation {:08x}: {} snapshots{twice}: {clean}", key.device, key.incarnation, found.snapshots);
    for f in &found.faults {
        let group = f.group.map_or(String::new(), |g| format!(" ({})", name(terms, g)));
        say!("  FAULT in snapshot {}: {}{group}", f.seq, f.what);
    }
    let seq = |s: Option<u32>| s.map_or("-".to_owned(), |s| s.to_string());
    if found.alarms.is_empty() {
        say!("  no alarm, reported or recomputed");
    } else {
        say!("  {:<30} {:<32} {:>8} {:>10}  standing", "group", "alarm", "reported", "recomputed");
    }
    for a in &found.alarms {
        say!(
            "  {:<30} {:<32} {:>8} {:>10}  {}",
            name(terms, a.group),
            a.kind.name(),
            seq(a.reported),
            seq(a.recomputed),
            a.standing.name()
        );
    }
}
