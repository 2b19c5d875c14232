//! `evenkeel sign`: puts a signature into a file.

use super::{key, thousands};
use clap::Args;
use evenkeel::chain;
use evenkeel::error::{Context, Error, Result};
use evenkeel::files;
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::signature::{public_key, sign};
use std::path::PathBuf;

/// Signs a .keel file, so that devices that trust the key run this file and no other.
///
/// The signature covers every byte before it: network, contract, certificate and monitor. A signature that the file
/// has already is replaced.
#[derive(Args)]
#[command(after_help = "Example: evenkeel sign model.keel --key release.key -o signed.keel")]
pub struct Sign {
    /// The .keel file
    model: PathBuf,
    /// The secret key's file (see `evenkeel keygen`)
    #[arg(long)]
    key: PathBuf,
    /// The signed file
    #[arg(short, long)]
    output: PathBuf,
}

impl Sign {
    pub fn run(&self) -> Result<()> {
        if self.key.extension().is_some_and(|e| e == "pub") {
            return Err(Error::new("is a public key").at(&self.key).help("sign with the secret one, without .pub"));
        }
        let secret = key::read(&self.key)?;
        files::check_folder(&self.output)?;
        files::keep(&[&self.key], &self.output)?;
        let file = MappedFile::open(&self.model).at(&self.model)?;
        chain::open(file.bytes(), &self.model)?;
        let signed = sign(file.bytes(), &secret).map_err(|e| Error::new(e).at(&self.model))?;
        files::write(&self.output, &signed)?;
        let bytes = thousands(signed.len() as u64);
        say!("{}: {bytes} bytes, signed by {}", self.output.display(), key::hex(&public_key(&secret)));
        Ok(())
    }
}
