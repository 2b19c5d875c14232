//! The error that users meet: it names the file, the thing, and the way out.

use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Error {
    file: Option<PathBuf>,
    what: String,
    help: Option<String>,
}

/// Result with the project's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that says `what` is wrong.
    pub fn new(what: impl fmt::Display) -> Self {
        Error { file: None, what: what.to_string(), help: None }
    }

    /// Names the file, unless an inner layer already has.
    pub fn at(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// Names the thing that is wrong before the words so far: `thing: what`.
    pub fn prefix(mut self, thing: impl fmt::Display) -> Self {
        self.what = format!("{thing}: {}", self.what);
        self
    }

    /// Adds the way out, unless an inner layer already has.
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.help.get_or_insert_with(|| help.to_string());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        f.write_str(&self.what)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Turns any error into ours while saying what was being done.
pub trait Context<T> {
    /// `what: cause`
    fn context(self, what: impl fmt::Display) -> Result<T>;
    /// `file: cause`
    fn at(self, file: &Path) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::new(format!("{what}: {e}")))
    }

    fn at(self, file: &Path) -> Result<T> {
        self.map_err(|e| Error::new(e).at(file))
    }
}
