//! `evenkeel monitor decode`: what snapshots say, one by one.

use super::super::print_json;
use super::read::{Inputs, terms};
use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel_monitor::evidence::interval::{Z95, wilson};
use evenkeel_monitor::message::Received;
use evenkeel_monitor::snapshot::Snapshot;
use evenkeel_monitor::terms::Terms;
use evenkeel_runtime::monitor::{AlarmRecord, Kind};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Reads snapshots and says what they hold; refuses by name what is forged, damaged or cut.
#[derive(Args)]
#[command(after_help = "Example: evenkeel monitor decode snapshots/ --model model.keel --key fleet.key")]
pub struct Decode {
    #[command(flatten)]
    inputs: Inputs,
    /// The .keel file that the devices run; gives the groups their names
    #[arg(long)]
    model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Decode {
    pub fn run(&self) -> Result<()> {
        let terms = self.model.as_deref().map(terms).transpose()?;
        let (mut all, mut refused) = (Vec::new(), 0);
        for message in self.inputs.read()? {
            let path = message.path.display();
            match &message.read {
                Ok(received) => {
                    let terms = terms.as_ref().filter(|t| t.fits(&received.snapshot).is_ok());
                    if self.json {
                        all.push(value(&message.path, received, terms));
                    } else {
                        print(&path.to_string(), received, terms, self.model.is_some());
                    }
                }
                Err(e) => {
                    refused += 1;
                    all.push(json!({"file": message.path, "refused": e.to_string()}));
                    if !self.json {
                        say!("{path}: REFUSED: {e}");
                    }
                }
            }
        }
        if self.json {
            print_json(&all)?;
        }
        if refused > 0 {
            return Err(Error::new(format!("{refused} of the messages are refused")));
        }
        Ok(())
    }
}

fn name(terms: Option<&Terms>, group: usize) -> String {
    terms.and_then(|t| t.groups.get(group)).map_or_else(|| format!("group {group}"), |g| g.name.clone())
}

fn profile(snapshot: &Snapshot) -> &'static str {
    ["", "core", "alarm", "gap", "full"].get(usize::from(snapshot.common.profile)).copied().unwrap_or("unknown")
}

fn value(path: &std::path::Path, received: &Received, terms: Option<&Terms>) -> Value {
    let s = &received.snapshot;
    let (h, c) = (&s.header, &s.common);
    let group = |(i, cell): (usize, &evenkeel_monitor::snapshot::Cell)| {
        json!({"group": name(terms, i), "n": cell.counts.n, "correct": cell.counts.correct,
               "floor": terms.and_then(|t| t.groups.get(i)).map(|g| g.floor()),
               "settled": cell.gap.map(|g| g.settled), "predictions": cell.traffic.map(|t| t.predictions()),
               "expired": cell.traffic.map(|t| t.expired), "shadowed": cell.traffic.map(|t| t.shadowed),
               "disagreed": cell.traffic.map(|t| t.disagreed), "confidence": cell.traffic.map(|t| t.confidence)})
    };
    let alarm = |r: &AlarmRecord| {
        let kind = Kind::of_code(r.kind)?;
        Some(json!({"kind": kind.words(), "group": name(terms, usize::from(r.group)), "times": r.times,
               "events": r.events, "n": r.n, "correct": r.correct}))
    };
    json!({"file": path, "verified": received.verified, "device": h.device, "incarnation": h.incarnation, "boot": h.boot,
           "seq": h.seq, "model": c.model, "config": c.config, "profile": profile(s), "events": c.events,
           "sources": {"reference": c.sources[0], "user": c.sources[1], "outcome": c.sources[2], "complaint": c.sources[3]},
           "unknown": {"n": c.unknown.n, "correct": c.unknown.correct, "predictions": c.unknown_predictions, "expired": c.unknown_expired},
           "crowded": c.crowded, "alarms": c.alarms.iter().filter_map(alarm).collect::<Vec<_>>(),
           "groups": s.cells.iter().enumerate().map(group).collect::<Vec<_>>()})
}

fn print(path: &str, received: &Received, terms: Option<&Terms>, named: bool) {
    let s = &received.snapshot;
    let (h, c) = (&s.header, &s.common);
    let verified = if received.verified { "verified" } else { "NOT VERIFIED" };
    say!("{path}: device {} snapshot {} ({verified})", h.device, h.seq);
    say!(
        "  incarnation {:08x}, boot {}, model {:08x}, configuration {:08x}, profile {}",
        h.incarnation,
        h.boot,
        c.model,
        c.config,
        profile(s)
    );
    if named && terms.is_none() {
        say!("  it was counted under another configuration than that of the model file: groups have no names");
    }
    let [reference, user, outcome, complaint] = c.sources;
    say!(
        "  {} labelled events; labels: {reference} reference, {user} user, {outcome} outcome, {complaint} complaint; {} too close; {} of an unknown group",
        c.events,
        c.crowded,
        c.unknown.n
    );
    for (i, cell) in s.cells.iter().enumerate() {
        let n = cell.counts;
        let (lo, hi) = wilson(n.correct, n.n, Z95);
        let floor = terms.and_then(|t| t.groups.get(i)).map_or(String::new(), |g| format!(", floor {:.3}", g.floor()));
        let traffic = cell.traffic.map_or(String::new(), |t| {
            format!(
                "; {} predictions, {} without label, {} of {} shadowed disagree",
                t.predictions(),
                t.expired,
                t.disagreed,
                t.shadowed
            )
        });
        let share = if n.n == 0 {
            "no labels".into()
        } else {
            format!("{:.3}, 95 % {lo:.3} to {hi:.3}", f64::from(n.correct) / f64::from(n.n))
        };
        say!("  {:<30} {:>6} of {:>6} right ({share}{floor}){traffic}", name(terms, i), n.correct, n.n);
    }
    for (r, kind) in c.alarms.iter().filter_map(|r| Some((r, Kind::of_code(r.kind)?))) {
        say!(
            "  ALARM: {} {}, {} times; first at event {}, with {} of {} right",
            name(terms, usize::from(r.group)),
            kind.words(),
            r.times,
            r.events,
            r.correct,
            r.n
        );
    }
}
