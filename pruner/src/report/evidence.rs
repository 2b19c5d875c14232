//! A monitor's evidence over time, as a page.

use super::page::STYLE;
use super::plot::{legend, lines};
use crate::error::Result;
use crate::files;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

/// Lines that a plot can hold apart.
const LINES: usize = 6;

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
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) ": evidence over time" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
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
                            (self.plot("Evidence below the floor", |g| &g.below))
                        }
                        section {
                            h2 { "Evidence that a group is behind all others" }
                            (self.plot("Evidence of a gap", |g| &g.behind))
                        }
                        section {
                            h2 { "Share of right predictions" }
                            (self.plot("Accuracy", |g| &g.accuracy))
                        }
                        (self.table())
                    }
                }
            }
        };
        page.into_string()
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

    /// The groups that a reader asks about first: degraded ones, those that rang, those with most evidence.
    fn shown(&self) -> Vec<&GroupTrace> {
        let most = |g: &GroupTrace| g.below.iter().chain(&g.behind).fold(0.0, |m: f64, v| m.max(*v));
        let mut groups: Vec<&GroupTrace> = self.groups.iter().collect();
        groups.sort_by(|a, b| {
            let rank = |g: &GroupTrace| (!g.degraded, g.alarms.is_empty());
            rank(a).cmp(&rank(b)).then(most(b).total_cmp(&most(a)))
        });
        groups.truncate(LINES);
        groups
    }

    fn plot(&self, name: &str, of: impl Fn(&GroupTrace) -> &Vec<f64>) -> Markup {
        let shown = self.shown();
        let steps = shown.first().map_or(0, |g| of(g).len());
        let titles: Vec<String> =
            (0..steps).map(|k| format!("events {} to {}", k * self.step + 1, (k + 1) * self.step)).collect();
        let series: Vec<(&str, Vec<f64>)> = shown.iter().map(|g| (g.name.as_str(), of(g).clone())).collect();
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
