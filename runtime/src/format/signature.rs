//! Signatures of model files (feature `sign`): ed25519 (RFC 8032) over all bytes before the signature's section.
//!
//! A checksum sees accidents, a signature sees intent: who does not have the secret key can neither change a byte of
//! a signed file nor make another one. The signature is looked at before anything else in the file is believed. What
//! it does not see is an older file of the same signer: whoever must not go back compares versions by other means.

#[cfg(feature = "write")]
use alloc::vec::Vec;

use ed25519_compact::{PublicKey, Signature as Bytes};
#[cfg(feature = "write")]
use {
    super::write::{Section, lay_out},
    bytemuck::bytes_of,
    ed25519_compact::{KeyPair, Seed},
};

use super::read::{Model, records};
use super::verify_head::{header, table};
use super::{Signature, section};
use crate::Error;

/// Checks that the file was signed with the secret half of `trusted_key`, and has not been changed since.
///
/// # Errors
/// [`Error::Signature`] where there is no signature, or another key's, or a byte was changed; other errors where a
/// head was changed beyond recognition. It says nothing about the content: see [`Model::from_signed_bytes`].
pub fn verify(bytes: &[u8], trusted_key: &[u8; 32]) -> Result<(), Error> {
    let table = table(bytes, header(bytes)?)?;
    let last = table.last().filter(|r| r.kind == section::SIGNATURE);
    let last = last.ok_or(Error::Signature("the file is not signed"))?;
    let (offset, len) = (last.offset as usize, last.len as usize);
    // All that is not signed is the signature itself.
    if len != size_of::<Signature>() || offset.checked_add(len) != Some(bytes.len()) {
        return Err(Error::Signature("must be the last 96 bytes of the file"));
    }
    let Some([signature]) = records::<Signature>(bytes, last.offset, 1) else {
        return Err(Error::Signature("must begin at a multiple of 4"));
    };
    if signature.key != *trusted_key {
        return Err(Error::Signature("made with another key than the trusted one"));
    }
    let proof = Bytes::new(*bytemuck::cast_ref(&signature.signature));
    PublicKey::new(*trusted_key)
        .verify(&bytes[..offset], &proof)
        .map_err(|_| Error::Signature("does not match: the file was changed after it was signed"))
}

impl<'a> Model<'a> {
    /// As [`Model::from_bytes`], for a file that must be signed with the secret half of `trusted_key`.
    ///
    /// # Errors
    /// Those of [`verify`], then those of [`Model::from_bytes`].
    pub fn from_signed_bytes(bytes: &'a [u8], trusted_key: &[u8; 32]) -> Result<Self, Error> {
        verify(bytes, trusted_key)?;
        Model::from_bytes(bytes)
    }
}

/// The file with a signature by `secret` (the 32 bytes that RFC 8032 calls the private key) as its last section; one
/// that it has already is replaced.
///
/// # Errors
/// When `bytes` is not a model: nobody should put a name to what does not load.
#[cfg(feature = "write")]
pub fn sign(bytes: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, Error> {
    let model = Model::from_bytes(bytes)?;
    let pair = KeyPair::from_seed(Seed::new(*secret));
    let mut signature = Signature { key: *pair.pk, signature: [[0; 32]; 2] };
    let table = table(bytes, model.header())?;
    let content = |offset: u32, len: u32| &bytes[offset as usize..][..len as usize];
    let kept = table.iter().filter(|r| r.kind != section::SIGNATURE);
    let mut sections: Vec<Section> = kept.map(|r| (r.kind, r.flags, content(r.offset, r.len))).collect();
    // The place of the signature is signed too, so the file is laid out around an empty one first.
    sections.push((section::SIGNATURE, 0, bytes_of(&signature)));
    let mut file = lay_out(model.header(), &sections);
    let start = file.len() - size_of::<Signature>();
    signature.signature = bytemuck::cast(*pair.sk.sign(&file[..start], None));
    file[start..].copy_from_slice(bytes_of(&signature));
    Ok(file)
}

/// The public half of a secret key: what a device is told to trust.
#[cfg(feature = "write")]
pub fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    *KeyPair::from_seed(Seed::new(*secret)).pk
}
