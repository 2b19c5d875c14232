//! A monitor's evidence over time, as a page.

use super::page::document;
use super::plot::{legend, lines};
use crate::error::Result;
use crate::files;
use maud::{Markup, html};
use std::path::Path;

/// Groups with a line of their own; all others share one.
const OWN: usize = 2;

/// A group over the stream; each series has a value per step.
#[derive(Clone, Debug, Default)]
pub struct GroupTrace {
    /// Its name.
    pub name: String,
    /// Whether its sensor went bad.
    pub degraded: bool,
    /// Its certified floor.
    pub floor: f64,
    /// Share of right predictions among the step's labelled events; not a number where there were none.
    pub accuracy: Vec<f64>,
    /// Largest evidence against the floor in the step, as a share of what raises the alarm.
    pub below: Vec<f64>,
    /// The same for the gap to all others.
    pub behind: Vec<f64>,
    /// Its alarms, in words.
    pub alarms: Vec<String>,
}

/// A stream as its monitor saw it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Heading.
    pub title: String,
    /// What was streamed, in a sentence.
    pub about: String,
    /// Events of a step.
    pub step: usize,
    /// The monitor's groups.
    pub groups: Vec<GroupTrace>,
}

impl Evidence {
    /// The page.
    pub fn html(&self) -> String {
        let body = html! {
            header {
                h1 { (self.title) ": what the monitor saw" }
                p { (self.answer()) }
                p.soft { (self.about) }
            }
            main {
                section {
                    h2 { "Evidence that a group is below its floor" }
                    p { "At 100 % the alarm rings and the evidence begins anew. Healthy groups may come close now and "
                        "then: how rarely they ring is what the threshold was chosen for." }
                    (self.plot("Evidence below the floor", "largest", |g| &g.below, most))
                }
                section {
                    h2 { "Evidence that a group is behind all others" }
                    (self.plot("Evidence of a gap", "largest", |g| &g.behind, most))
                }
                section {
                    h2 { "Share of right predictions" }
                    (self.plot("Accuracy", "mean", |g| &g.accuracy, mean))
                }
                (self.table())
            }
        };
        document(&format!("{}: evidence over time", self.title), "", body)
    }

    /// Writes the page.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, self.html().as_bytes())
    }

    fn answer(&self) -> String {
        let rang: Vec<&str> = self.groups.iter().filter(|g| !g.alarms.is_empty()).map(|g| g.name.as_str()).collect();
        match rang[..] {
            [] => "No alarm rang.".to_owned(),
            [one] => format!("An alarm rang for {one}, and for no other group."),
            _ => format!("Alarms rang for {}.", rang.join(", ")),
        }
    }

    /// The groups in the order in which a reader asks about them: degraded ones, those that rang, those with most evidence.
    fn ranked(&self) -> Vec<&GroupTrace> {
        let evidence = |g: &GroupTrace| most(&mut g.below.iter().chain(&g.behind).copied());
        let mut groups: Vec<&GroupTrace> = self.groups.iter().collect();
        groups.sort_by(|a, b| {
            let rank = |g: &GroupTrace| (!g.degraded, g.alarms.is_empty());
            rank(a).cmp(&rank(b)).then(evidence(b).total_cmp(&evidence(a)))
        });
        groups
    }

    /// A line for each of the first groups, and one for the others, whose values `fold` makes one.
    fn plot(
        &self,
        name: &str,
        folded: &str,
        of: impl Fn(&GroupTrace) -> &Vec<f64>,
        fold: fn(&mut dyn Iterator<Item = f64>) -> f64,
    ) -> Markup {
        let ranked = self.ranked();
        let (own, others) = ranked.split_at(OWN.min(ranked.len()));
        let steps = ranked.first().map_or(0, |g| of(g).len());
        let titles: Vec<String> =
            (0..steps).map(|k| format!("events {} to {}", k * self.step + 1, (k + 1) * self.step)).collect();
        let mut series: Vec<(&str, Vec<f64>)> = own.iter().map(|g| (g.name.as_str(), of(g).clone())).collect();
        let rest = format!("{folded} of {} other groups", others.len());
        if !others.is_empty() {
            let at = |k: usize| fold(&mut others.iter().filter_map(|g| of(g).get(k).copied()));
            series.push((&rest, (0..steps).map(at).collect()));
        }
        let names: Vec<(usize, &str)> = series.iter().map(|s| s.0).enumerate().collect();
        html! {
            (legend(&names))
            (lines(name, &titles, &series))
            p.soft { "Steps of " (self.step) " events." }
        }
    }

    fn table(&self) -> Markup {
        html! {
            section {
                h2 { "Groups" }
                table {
                    thead { tr { th { "group" } th { "floor" } th { "sensor" } th { "alarms" } } }
                    tbody {
                        @for g in &self.groups {
                            tr {
                                td { (g.name) }
                                td { (format!("{:.1} %", 100.0 * g.floor)) }
                                td { (if g.degraded { "went bad" } else { "healthy" }) }
                                td { (if g.alarms.is_empty() { "none".to_owned() } else { g.alarms.join("; ") }) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn most(values: &mut dyn Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// Of those that are numbers.
fn mean(values: &mut dyn Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.filter(|v| v.is_finite()).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_who_rang_and_escapes_names() {
        let group = |name: &str, alarms: &[&str]| GroupTrace {
            name: name.to_owned(),
            accuracy: vec![0.9, f64::NAN],
            below: vec![0.1, 1.0],
            behind: vec![0.0, 0.2],
            alarms: alarms.iter().map(|a| (*a).to_owned()).collect(),
            ..GroupTrace::default()
        };
        let groups = vec![group("site=<b>", &[]), group("site=ankle", &["below its floor at event 7"])];
        let page = Evidence { title: "m".into(), about: String::new(), step: 10, groups }.html();
        assert!(page.contains("An alarm rang for site=ankle, and for no other group."));
        assert!(page.contains("site=&lt;b&gt;") && !page.contains("<b>") && page.contains("events 11 to 20"));
    }
}
