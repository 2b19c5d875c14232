//! The study of all of it, as a page.

use std::fmt::Write as _;

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::plan;

use super::controls::{Mistake, control};
use super::delays::{self, Delay, Quantiles};
use super::lengths::{CUT, Detector, length};
use super::levels::{ALPHA, TOLERANCE, Test, bound, level};
use super::tables::{CHANGE, FLOOR, GAP, GAP_BARE, GAP_CHANGE};
use super::worlds::Null;

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Runs of each cell of false alarms and controls.
    pub runs: u64,
    /// Events of a run of a world that changes as time goes by.
    pub changing: u32,
    /// Events of a run of any other world.
    pub steady: u32,
    /// Runs of each run length.
    pub lengths: u64,
    /// Runs of each delay.
    pub delays: u64,
}

impl Size {
    /// What `docs/monitor.md` shows.
    pub const FULL: Size = Size { runs: 4000, changing: 50_000, steady: 20_000, lengths: 500, delays: 2000 };
    /// A first look, in a twentieth of the time: by chance some delays are not close.
    pub const SHORT: Size = Size { runs: 200, changing: 50_000, steady: 20_000, lengths: 50, delays: 400 };
}

/// A page about what was simulated.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In Markdown.
    pub text: String,
    /// Cells beyond their bound, by name.
    pub failed: Vec<String>,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Notes whether a cell keeps its bound; gives its mark.
    fn judge(&mut self, cell: impl Into<String>, holds: bool) -> &'static str {
        if holds {
            return "pass";
        }
        self.failed.push(cell.into());
        "**FAIL**"
    }
}

/// Simulates all and writes the page. `progress` is shown each section when it is done.
///
/// # Errors
/// When a configuration is refused: none that is used here.
pub fn study(size: Size, progress: impl Fn(&str)) -> Result<Page, Error> {
    let mut page = Page::default();
    for section in [false_alarms, run_lengths, delays, negative_controls] {
        let start = page.text.len();
        section(&mut page, size)?;
        progress(&page.text[start..]);
    }
    let body = std::mem::take(&mut page.text);
    page.line("# Does the monitor keep its promises?\n");
    page.line("Simulated worlds in which the truth is known, watched by the monitor that runs on devices, in its integers. The figures come from fixed seeds and are the same each time. Made by\n");
    page.line("```sh\ncargo xtask study monitor\n```\n");
    if page.failed.is_empty() {
        page.line("**All cells keep their bounds.**\n");
    } else {
        let failed = page.failed.join("; ");
        page.line(format!("**{} cells are beyond their bounds**: {failed}.\n", page.failed.len()));
    }
    page.text.push_str(body.trim_end());
    page.text.push('\n');
    Ok(page)
}

fn false_alarms(page: &mut Page, size: Size) -> Result<(), Error> {
    let most = bound(size.runs, ALPHA);
    page.line("## False alarms\n");
    page.line(format!(
        "Runs of {} that ever alarm, of tests that promise at most 5 %. Nothing is wrong in any of them, but all is on the boundary: accuracies exactly on their floors, the gap exactly at its tolerance of 2 points. Accepted are up to {most} ({} %), which a test of exactly 5 % exceeds about once in a thousand studies. A run has {} events where the world changes as time goes by (drift, mix) and {} elsewhere, 20 % of them of the first group where nothing else is said.\n",
        size.runs,
        (most as f64 / size.runs as f64 * 1000.0).round() / 10.0,
        size.changing,
        size.steady,
    ));
    page.line("Tests: *floor*: the evidence from counts of one of two groups reaches 1/α; with G groups, of any of them G/α. *gap*: the mean wealth of the bets reaches 1/α for the first of two groups; with 4 groups, for any of them 4/α. *agreement*: the floor test on how often a larger model agrees.\n");
    page.line("Worlds: *shared drift*: in the first half of a run all accuracies fall together by 20 points (to the floors; gaps from 95 to 75 %), and the first group's share rises from 20 to 60 %. *mix shift*: every 2,500 events the first group's share flips between 2 and 30 %, for gaps together with all accuracies (95 and 75 %). *bursts*: arrivals in bursts of one group, 25 events on average; for floors half of the bursts are 2 points easier. *delayed labels*: joined through the ring of 64 tickets in random order, 32 events late on average; those that come too late are lost. *episodes*: 5 frames on average, in half of the episodes all with one outcome. *with a ramp*: 5 frames that hang together and get easier from first to last, on the boundary on average. (A larger model answers at once, so the last three do not concern the agreement.)\n");
    page.line(format!("| test | {} |", Null::ALL.map(Null::name).join(" | ")));
    page.line(format!("| --- |{}", " --- |".repeat(Null::ALL.len())));
    let mut late = 0.0f64;
    for test in Test::ALL {
        let mut row = format!("| {} |", test.name());
        for null in Null::ALL {
            let events = if matches!(null, Null::Drift | Null::Mix) { size.changing } else { size.steady };
            match level(test, null, size.runs, events)? {
                Some(level) => {
                    late = late.max(level.expired as f64 / (level.runs * level.events as u64) as f64);
                    let mark = page.judge(format!("{} under {}", test.name(), null.name()), level.holds());
                    let share = level.alarms as f64 / level.runs as f64 * 100.0;
                    write!(row, " {} ({share:.1} %) {mark} |", level.alarms)
                }
                None => write!(row, " – |"),
            }
            .unwrap_or_default();
        }
        page.line(row);
    }
    page.line(format!("\nOf the delayed labels up to {:.0} % came too late and were lost.\n", late * 100.0));
    Ok(())
}

fn run_lengths(page: &mut Page, size: Size) -> Result<(), Error> {
    page.line("## Run lengths\n");
    page.line(format!(
        "Labelled events of all groups until the first false alarm, mean of {} runs, all on the boundary: each group on its floor (90, 80, 95, 70 % in turn), or half of the groups behind all others by exactly the tolerance. The configuration promises a mean of at least A. Accepted is a mean of at least A less three standard errors. Runs are cut after {CUT} A, which makes the mean smaller. The gap detectors of a device share A (each is given A times their number), and an event seldom settles: they run far longer than promised. How tight a single one is shows in its settlements.\n",
        size.lengths
    ));
    page.line("| detector | groups | A | mean | at least | cut runs | |");
    page.line("| --- | --- | --- | --- | --- | --- | --- |");
    for detector in Detector::ALL {
        for arl in [1e3, 1e4] {
            let length = length(detector, arl, size.lengths)?;
            let (name, groups) = match detector {
                Detector::Floors(groups) => ("floor", groups),
                Detector::Gaps(groups) => ("gap", groups),
                Detector::Gap => ("gap, in settlements", 1),
            };
            let mark = page.judge(format!("run length of {name} with {groups} groups, A {arl}"), length.holds());
            let (mean, least, cut) = (length.mean, length.bound(), length.cut);
            page.line(format!("| {name} | {groups} | {arl} | {mean:.0} | {least:.0} | {cut} | {mark} |"));
        }
    }
    page.line("");
    Ok(())
}

fn delays(page: &mut Page, size: Size) -> Result<(), Error> {
    page.line("## Delays\n");
    page.line(format!(
        "Labelled events of the group from the change to the alarm, median / 90 % quantile of {} runs, beside the figures of the prototype by which the methods were chosen (in real numbers, 1,500 runs for the floor test, 400 for the others: there a 90 % quantile is uncertain by some 7 %). Accepted is what lies within {:.0} % of the prototype's. Runs that alarm before the change do not count. The gap test is here the largest wealth divided by the number of bets, as in the prototype; a settlement takes the newest 32 outcomes of the others, where the prototype took 64.\n",
        size.delays,
        delays::CLOSE * 100.0
    ));
    table(
        page,
        "Floor test from counts, worse from the first event",
        FLOOR.iter().map(|&(p0, p, alpha, expected)| delays::floor(p0, p, alpha, expected, size.delays)),
    )?;
    table(
        page,
        "Floor detector (floor 90 %, A = 10,000)",
        CHANGE.iter().map(|&(history, p, expected)| delays::change(history, p, expected, size.delays)),
    )?;
    let q26 = plan::tolerance(TOLERANCE).ok_or(Error::Monitor("the tolerance is too large"))?;
    table(
        page,
        "Gap test, tolerance 2 points, there from the first event (accuracy of the others / of the group)",
        GAP.iter().map(|&(pair, expected)| delays::gap(pair, q26, ALPHA, expected, size.delays)),
    )?;
    table(
        page,
        "Gap test, the smallest tolerance that a configuration accepts, 2⁻²⁶ (the prototype had none; what is planned on a host has at least a thousandth)",
        GAP_BARE.iter().map(|&(pair, alpha, expected)| delays::gap(pair, 1, alpha, expected, size.delays)),
    )?;
    table(
        page,
        "Gap detector, tolerance 2 points (20,000 events without a gap before, A = 10,000)",
        GAP_CHANGE.iter().map(|&(points, share, median)| delays::gap_change(points, share, median, size.delays)),
    )
}

fn table(page: &mut Page, title: &str, rows: impl Iterator<Item = Result<Delay, Error>>) -> Result<(), Error> {
    page.line(format!("### {title}\n"));
    page.line("| what | prototype | monitor | difference | alarms before | |");
    page.line("| --- | --- | --- | --- | --- | --- |");
    for delay in rows {
        let delay = delay?;
        let mark = page.judge(format!("delay of {title}: {}", delay.what), delay.holds());
        let [median, tail] = delay.differences().map(|d| format!("{:+.0} %", d * 100.0));
        let differences = if delay.expected[1] > 0.0 { format!("{median} / {tail}") } else { median };
        let (expected, measured) = (pair(delay.expected), pair(delay.measured));
        let (what, early) = (&delay.what, delay.early);
        page.line(format!("| {what} | {expected} | {measured} | {differences} | {early} | {mark} |"));
    }
    page.line("");
    Ok(())
}

fn pair([median, tail]: Quantiles) -> String {
    if tail > 0.0 { format!("{median:.0} / {tail:.0}") } else { format!("{median:.0}") }
}

fn negative_controls(page: &mut Page, size: Size) -> Result<(), Error> {
    page.line("## Negative controls\n");
    page.line(format!(
        "Mistakes that alarm far too often where nothing is wrong: each must exceed the bound of {} of {}, or this study could not see a fault in the monitor either. Where it can be put right on the same runs, the last columns show that.\n",
        bound(size.runs, ALPHA),
        size.runs
    ));
    page.line("| mistake | false alarms | | remedy | false alarms |");
    page.line("| --- | --- | --- | --- | --- |");
    for mistake in Mistake::ALL {
        let control = control(mistake, size.runs)?;
        let (words, remedy) = mistake.words();
        let mark = page.judge(format!("control: {words}"), control.holds());
        let mark = if mark == "pass" { "seen to fail" } else { mark };
        let share = |alarms: usize| format!("{alarms} ({:.1} %)", alarms as f64 / control.runs as f64 * 100.0);
        let remedied = control.remedied.map_or("see above".into(), share);
        page.line(format!("| {words} | {} | {mark} | {remedy} | {remedied} |", share(control.alarms)));
    }
    page.line("");
    Ok(())
}
