//! `evenkeel keygen`: a key to sign files with.

use super::key;
use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel_runtime::format::signature::public_key;
use std::path::PathBuf;

/// Makes a secret key, and beside it (with .pub at the end of its name) the public one that devices trust.
///
/// Both are text. Who has the secret key can sign files; who has the public one can only check them.
#[derive(Args)]
#[command(after_help = "Example: evenkeel keygen -o release.key")]
pub struct Keygen {
    /// The secret key's file; it must not exist yet
    #[arg(short, long)]
    output: PathBuf,
}

impl Keygen {
    pub fn run(&self) -> Result<()> {
        let mut public = self.output.clone().into_os_string();
        public.push(".pub");
        let public = PathBuf::from(public);
        if public.exists() {
            return Err(Error::new("exists already").at(&public).help("choose another name, or move the old key away"));
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| Error::new(format!("the system gives no random numbers: {e}")))?;
        key::write_new(&self.output, &secret, true)?;
        key::write_new(&public, &public_key(&secret), false)?;
        say!("secret key: {} (keep it)\npublic key: {}", self.output.display(), public.display());
        say!("{}", key::hex(&public_key(&secret)));
        Ok(())
    }
}
