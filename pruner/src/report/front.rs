//! The front of a search: a table for a terminal, a page with plots, and the same as JSON.

use super::page::document;
use super::plain::thousands;
use super::scatter::{Point, scatter};
use crate::contract::Metric;
use crate::error::{Context, Result};
use crate::fair::table::{align, number, percent, points};
use crate::files;
use crate::prune::pareto::{Candidate, Stand, front};
use maud::{Markup, html};
use serde::Serialize;
use std::path::Path;

/// Marks of these plots.
const MARKS: &str = "svg .faint { fill: var(--s0); opacity: .3; } svg .front { fill: var(--s2); } \
    svg .picked { fill: none; stroke: var(--s1); stroke-width: 2.5; } tr.picked td { font-weight: 600; }";

/// All that a search found, on selection rows.
#[derive(Clone, Debug, Serialize)]
pub struct Front {
    /// Heading.
    pub title: String,
    /// The contract's metric.
    pub metric: Metric,
    /// The contract's limit on excess drops.
    pub max_excess_drop: f64,
    /// How far bounds must stay from their limits for a pick.
    pub margin: f64,
    /// What everybody may lose for a pick.
    pub max_drop: f64,
    /// All that was evaluated, by number.
    pub candidates: Vec<Candidate>,
    /// Numbers of those that none dominates, the cheapest first.
    pub front: Vec<usize>,
    /// The one that is picked.
    pub picked: Option<usize>,
}

impl Front {
    /// The front of what was evaluated.
    pub fn new(title: &str, metric: Metric, limits: [f64; 3], candidates: &[Candidate], picked: Option<usize>) -> Self {
        let [max_excess_drop, margin, max_drop] = limits;
        Front {
            title: title.to_owned(),
            metric,
            max_excess_drop,
            margin,
            max_drop,
            front: front(candidates),
            candidates: candidates.to_vec(),
            picked,
        }
    }

    /// Header and a row for each candidate of the front.
    fn rows(&self) -> Vec<Vec<String>> {
        let head = [
            "candidate",
            "cost",
            "MACs",
            "flash",
            "RAM",
            "overall",
            "worst",
            "drop",
            "excess",
            "to limit",
            "recovered",
            "worst",
            "excess",
            "to limit",
        ];
        let slack = |s: &Stand| s.slack.map_or_else(|| "no bound".to_owned(), |v| points(Some(v)));
        let row = |&i: &usize| {
            let c = &self.candidates[i];
            let s = &c.stand;
            let mut row = vec![
                format!("{i}{}", if self.picked == Some(i) { " picked" } else { "" }),
                percent(Some(c.cost)),
                thousands(c.macs),
                thousands(c.flash),
                thousands(c.ram),
                percent(Some(s.overall)),
                percent(Some(s.worst)),
                points(Some(s.drop)),
                points(Some(s.max_excess_drop)),
                slack(s),
            ];
            if let Some(r) = &c.recovered {
                let s = &r.stand;
                let [overall, worst] = [s.overall, s.worst].map(|v| percent(Some(v)));
                row.extend([overall, worst, points(Some(s.max_excess_drop)), slack(s)]);
            }
            row
        };
        std::iter::once(head.map(str::to_owned).to_vec()).chain(self.front.iter().map(row)).collect()
    }

    /// The front as text; ends with a newline.
    pub fn text(&self) -> String {
        format!(
            "{}{} of {} candidates are on the front, on selection rows\n",
            align(&self.rows()),
            self.front.len(),
            self.candidates.len()
        )
    }

    /// The page.
    pub fn html(&self) -> String {
        let picked = match self.picked {
            Some(i) => format!("Candidate {i} is picked: the smallest that was seen to hold after its recovery."),
            None => "No candidate is picked.".to_owned(),
        };
        let body = html! {
            header {
                h1 { (self.title) ": small networks that were tried" }
                p { (self.front.len()) " of " (self.candidates.len()) " candidates are on the front: no other is "
                    "cheaper, better and fairer at once. " (picked) }
                p.soft { "All numbers are of selection rows, so they guide and prove nothing; the verdict on test rows "
                    "is in the report." }
            }
            main { (self.plots()) (self.table()) }
        };
        document(&format!("{}: front", self.title), MARKS, body)
    }

    fn plots(&self) -> Markup {
        let point = |y: fn(&Stand) -> f64| {
            let all = self.candidates.iter().flat_map(move |c| {
                let class = if self.front.contains(&c.number) { "front" } else { "faint" };
                let title = format!(
                    "candidate {}: cost {}, overall {}, worst group {}, excess drop {}",
                    c.number,
                    percent(Some(c.cost)),
                    percent(Some(c.stand.overall)),
                    percent(Some(c.stand.worst)),
                    points(Some(c.stand.max_excess_drop))
                );
                let mark = Point { x: c.cost, y: y(&c.stand), class, title };
                let ring = (self.picked == Some(c.number)).then(|| Point { class: "picked", ..mark.clone() });
                std::iter::once(mark).chain(ring)
            });
            all.collect::<Vec<Point>>()
        };
        let cost = "cost, per cent of the budget";
        let limit = format!("limit {}", number(100.0 * self.max_excess_drop));
        html! {
            figure {
                (scatter("Cost and worst group", [cost, &format!("{} of the worst group, per cent", self.metric)], &point(|s| s.worst), None))
                figcaption { "Every candidate after its short fine-tuning: the front in colour, others faint, the pick with a ring. "
                    "Cost is the share of the budget that is used, the mean over its kinds." }
            }
            figure {
                (scatter("Cost and excess drop", [cost, "largest excess drop, points"], &point(|s| s.max_excess_drop), Some((self.max_excess_drop, &limit))))
                figcaption { "The largest excess drop of a group, an estimate. A pick needs its upper bound "
                    (number(100.0 * self.margin)) " points under the limit, and everybody to lose at most "
                    (number(100.0 * self.max_drop)) " points, after its recovery." }
            }
        }
    }

    fn table(&self) -> Markup {
        let rows = self.rows();
        html! {
            section {
                h2 { "The front" }
                div.wide { table {
                    @for (k, row) in rows.iter().enumerate() {
                        @if k == 0 { thead { tr { @for cell in row { th { (cell) } } } } }
                        @else {
                            tr class=[(self.picked == Some(self.front[k - 1])).then_some("picked")] { @for cell in row { td { (cell) } } }
                        }
                    }
                } }
                p.soft { "Drop: what everybody lost against the dense network. Excess: the largest excess drop. To limit: what is left "
                    "between the contract's bounds and their limits, in points; below zero a bound is over its limit. Recovered: "
                    "the same in int8 after the full recovery." }
            }
        }
    }

    /// Writes the page to `path` and the JSON beside it, with the extension `json`.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, self.html().as_bytes())?;
        let json = serde_json::to_vec_pretty(self).context("cannot write the front as JSON")?;
        files::write(&path.with_extension("json"), &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::Outcome;
    use crate::prune::pareto::Recovered;

    #[test]
    fn the_pick_is_marked_and_texts_are_escaped() {
        let candidate = |number: usize, cost: f64, overall: f64, recovered: Option<Recovered>| Candidate {
            number,
            widths: vec![number],
            start: 0,
            macs: 1200,
            flash: 5,
            ram: 6,
            cost,
            stand: Stand {
                overall,
                worst: overall,
                drop: 0.1,
                max_excess_drop: 0.01,
                slack: None,
                verdict: Outcome::Undecided,
            },
            recovered,
        };
        let first = candidate(0, 0.5, 0.8, None);
        let recovered = Recovered { steps: 5, stand: Stand { overall: 0.95, slack: Some(0.012), ..first.stand } };
        let all = [first, candidate(1, 0.9, 0.9, Some(recovered)), candidate(2, 0.9, 0.5, None)];
        let f = Front::new("<a>", Metric::Accuracy, [0.02, 0.005, 0.02], &all, Some(1));
        assert_eq!(f.front, [0, 1]);
        let text = f.text();
        assert!(text.contains("1 picked") && text.contains("95.0 %") && text.contains("+1.2"), "{text}");
        assert!(text.contains("no bound") && text.contains("2 of 3 candidates"), "{text}");
        let page = f.html();
        assert!(page.contains("&lt;a&gt;") && !page.contains("<a>"));
        assert_eq!(page.matches("class=\"picked\"").count(), 3, "a ring in each plot, and a row");
        assert_eq!(page.matches("class=\"faint\"").count(), 2);
    }
}
