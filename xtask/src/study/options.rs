//! Which part of the study to run, from the command line.

use super::cases::{BUDGETS, CANDIDATES, CASES, METHODS, SITES};
use crate::sh::{Result, target};
use std::path::PathBuf;
use std::str::FromStr;

/// How long each network is pruned and trained: `--steps`, `--tune` and `--recover` of `evenkeel prune`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub steps: u32,
    pub tune: u32,
    pub recover: u32,
}

/// The selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub cases: Vec<String>,
    pub methods: Vec<String>,
    pub budgets: Vec<u32>,
    pub seeds: Vec<u64>,
    pub jobs: usize,
    pub schedule: Schedule,
    /// The command to run; built where none is given.
    pub binary: Option<PathBuf>,
    /// Where the results lie.
    pub dir: PathBuf,
    /// Run again what failed.
    pub retry: bool,
    /// Where the page goes.
    pub output: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            cases: CASES.iter().map(|c| c.name.to_owned()).collect(),
            methods: METHODS.iter().chain(&CANDIDATES).map(|m| (*m).to_owned()).collect(),
            budgets: BUDGETS.to_vec(),
            seeds: (0..5).collect(),
            jobs: 2,
            schedule: Schedule { steps: 6, tune: 60, recover: 900 },
            binary: None,
            dir: target().join("study"),
            retry: false,
            output: PathBuf::from("docs/study.md"),
        }
    }
}

impl Options {
    /// Reads flags.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut o = Options::default();
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            if flag == "--retry" {
                o.retry = true;
                continue;
            }
            let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--cases" => o.cases = cases(value()?)?,
                "--methods" => o.methods = list(value()?)?,
                "--budgets" => o.budgets = budgets(value()?)?,
                "--seeds" => o.seeds = seeds(value()?)?,
                "--jobs" => o.jobs = number::<usize>(value()?)?.max(1),
                "--schedule" => o.schedule = schedule(value()?)?,
                "--binary" => o.binary = Some(PathBuf::from(value()?)),
                "--dir" => o.dir = PathBuf::from(value()?),
                "-o" | "--output" => o.output = PathBuf::from(value()?),
                _ => return Err(format!("study has no flag `{flag}`; see cargo xtask help")),
            }
        }
        Ok(o)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| format!("`{text}` is no number"))
}

fn list<T: FromStr>(text: &str) -> Result<Vec<T>> {
    text.split(',').map(number).collect()
}

/// Names of cases; `sites` stands for all that count groups.
fn cases(text: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in text.split(',').map(str::trim) {
        let found = CASES.iter().filter(|c| c.name == name || (name == SITES && c.counts()));
        let before = names.len();
        names.extend(found.map(|c| c.name.to_owned()));
        if names.len() == before {
            let known: Vec<&str> = CASES.iter().map(|c| c.name).collect();
            return Err(format!("there is no case `{name}`; there are {} and {SITES}", known.join(", ")));
        }
    }
    Ok(names)
}

fn budgets(text: &str) -> Result<Vec<u32>> {
    let given: Vec<u32> = list(text)?;
    match given.iter().find(|b| !BUDGETS.contains(b)) {
        Some(b) => Err(format!("the study has no budget of {b} %, but 50, 25 and 10")),
        None => Ok(given),
    }
}

/// `5` for seeds 0 to 4, `5-9` for a range, `1,3` for those.
fn seeds(text: &str) -> Result<Vec<u64>> {
    match text.split_once('-') {
        Some((a, b)) => Ok((number(a)?..=number(b)?).collect()),
        None if text.contains(',') => list(text),
        None => Ok((0..number(text)?).collect()),
    }
}

fn schedule(text: &str) -> Result<Schedule> {
    match list(text)?[..] {
        [steps, tune, recover] => Ok(Schedule { steps, tune, recover }),
        _ => Err(format!("--schedule takes steps,tune,recover, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Options> {
        Options::parse(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_selection_is_read() {
        let o =
            parse("--cases mitbih,sites --methods kd,taylor+kd --budgets 10 --seeds 5-7 --schedule 2,5,20").unwrap();
        assert_eq!(o.cases, ["mitbih", "sites-2", "sites-7", "sites-24"]);
        assert_eq!(o.methods, ["kd", "taylor+kd"]);
        assert_eq!((o.budgets, o.seeds), (vec![10], vec![5, 6, 7]));
        assert_eq!(o.schedule, Schedule { steps: 2, tune: 5, recover: 20 });
        assert_eq!(parse("--seeds 3").unwrap().seeds, [0, 1, 2]);
        assert_eq!(parse("--seeds 3,5").unwrap().seeds, [3, 5]);
    }

    #[test]
    fn nonsense_is_named() {
        for (args, word) in [
            ("--case x", "--case"),
            ("--cases x", "`x`"),
            ("--budgets 30", "30"),
            ("--schedule 1,2", "1,2"),
            ("--seeds", "needs a value"),
            ("--jobs two", "`two`"),
        ] {
            assert!(parse(args).unwrap_err().contains(word), "{args}");
        }
    }
}
