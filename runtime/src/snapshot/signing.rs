//! Proofs by a signature, for who must check messages without being able to make them (feature `sign`): ed25519
//! (RFC 8032).
//!
//! What is signed begins with the kind of the message, so a key may sign both kinds; and it never begins as a `.keel`
//! file does.

use core::fmt;

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};

use super::envelope::Kind;
use super::keys::{Checker, Prover};

/// The code of this proof in a message.
const CODE: u8 = 2;

/// The secret half of a key: a device's for its snapshots, the operator's for acknowledgements.
#[derive(Clone)]
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// From 32 random bytes, which RFC 8032 calls the private key.
    pub fn new(secret: [u8; 32]) -> Self {
        SigningKey(KeyPair::from_seed(Seed::new(secret)))
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey(self.0.pk)
    }
}

/// The public half of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey(PublicKey);

impl VerifyingKey {
    /// From its 32 bytes.
    pub fn new(key: [u8; 32]) -> Self {
        VerifyingKey(PublicKey::new(key))
    }

    /// Its 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        *self.0
    }
}

impl Prover for SigningKey {
    fn proof(&self) -> u8 {
        CODE
    }

    fn prove(&self, _: Kind, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let place = out.get_mut(..Signature::BYTES)?;
        place.copy_from_slice(&*self.0.sk.sign(message, None));
        Some(Signature::BYTES)
    }
}

impl Checker for VerifyingKey {
    fn proof(&self) -> u8 {
        CODE
    }

    fn check(&self, _: Kind, message: &[u8], proof: &[u8]) -> bool {
        Signature::from_slice(proof).is_ok_and(|proof| self.0.verify(message, &proof).is_ok())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}
