//! `evenkeel methods`: what `--method` takes.

use super::print_json;
use clap::Args;
use evenkeel::error::Result;
use evenkeel::fair::table::align;
use evenkeel::prune::recipe::{Gradients, Kind, Labels, PARTS, Part};
use serde::Serialize;

/// Lists the parts that pruning methods are made of, what each needs, and where it is from.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel methods\nA method is a sum of parts: one that scores channels (magnitude where none is named), and any others, e.g. fairgrape+kd+ceag.\nWhere the training rows have no group labels, `default` is taylor+pw-loss+ckd, and parts that need labels are refused."
)]
pub struct Methods {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A line of the list.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    /// `score`, `fine-tuning`, `schedule` or `sum`.
    kind: &'static str,
    /// What it stands for, of a sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_for: Option<&'static str>,
    group_labels: Labels,
    gradients: Gradients,
    words: &'static str,
    paper: &'static str,
}

impl Line {
    fn new(p: &Part) -> Self {
        let (kind, stands_for) = match p.kind {
            Kind::Score(..) => ("score", None),
            Kind::Before | Kind::After => ("schedule", None),
            Kind::Sum(parts) => ("sum", Some(parts)),
            _ => ("fine-tuning", None),
        };
        Line {
            name: p.name,
            kind,
            stands_for,
            group_labels: p.labels,
            gradients: p.gradients,
            words: p.words,
            paper: p.paper,
        }
    }
}

impl Methods {
    pub fn run(&self) -> Result<()> {
        let lines: Vec<Line> = PARTS.iter().map(Line::new).collect();
        if self.json {
            return print_json(&lines);
        }
        let labels = |l: &Line| match l.group_labels {
            Labels::None => "not needed",
            Labels::TwoInPaper => "any (two in the paper)",
            Labels::Any => "any",
        };
        let gradients = |l: &Line| match l.gradients {
            Gradients::None => "none",
            Gradients::First => "first",
            Gradients::Fisher => "Fisher",
            Gradients::Training => "trains",
        };
        let head = ["method", "kind", "group labels", "gradients"].map(str::to_owned).to_vec();
        let row = |l: &Line| vec![l.name.into(), l.kind.into(), labels(l).into(), gradients(l).into()];
        say!("{}", align(&std::iter::once(head).chain(lines.iter().map(row)).collect::<Vec<_>>()));
        for l in &lines {
            let sum = l.stands_for.map_or_else(String::new, |s| format!(" (= {s})"));
            say!("{}{sum}: {} [{}]", l.name, l.words, l.paper);
        }
        Ok(())
    }
}
