//! What long work shows (a bar with the time left) and how it stops (Ctrl-C, cleanly).

use crate::error::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to stop, shared with the signal handler.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that Ctrl-C and SIGTERM set. A second Ctrl-C ends the program at once.
    ///
    /// # Errors
    /// When a handler is already there.
    pub fn on_ctrl_c() -> Result<Self> {
        let stop = Stop::default();
        let flag = stop.clone();
        ctrlc::set_handler(move || {
            if flag.0.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping; what there is will be saved (press Ctrl-C again to end at once)");
        })
        .map_err(|e| Error::new(format!("cannot listen for Ctrl-C: {e}")))?;
        Ok(stop)
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error when somebody asked.
    ///
    /// # Errors
    /// `stopped`.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(Error::new("stopped")) } else { Ok(()) }
    }
}

/// A bar of `len` steps on standard error; invisible where that is no terminal.
pub fn bar(what: &str, len: usize) -> ProgressBar {
    let bar = ProgressBar::new(len as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:24} [{bar:30}] {pos}/{len} {elapsed} left {eta}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_has_the_wish_sees_it() {
        let stop = Stop::default();
        let (other, alone) = (stop.clone(), Stop::default());
        assert!(!other.is_set() && other.check().is_ok());
        stop.set();
        assert!(other.is_set() && other.check().unwrap_err().to_string().contains("stopped"));
        assert!(!alone.is_set(), "a wish of its own");
    }

    #[test]
    fn a_bar_counts_to_its_length() {
        let bar = bar("work", 3);
        bar.inc(2);
        assert_eq!((bar.position(), bar.length()), (2, Some(3)));
    }
}
