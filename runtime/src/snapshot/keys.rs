//! Proofs by a shared key: HMAC-SHA256 (RFC 2104, FIPS 180-4), the first 16 bytes of it.
//!
//! A device has keys of its own, made from the fleet's key and its number. So who opens one device can speak for that
//! one alone. Snapshots and acknowledgements have different keys.

use core::fmt;
use core::hint::black_box;

use hmac_sha256::HMAC;

use super::envelope::Kind;

/// Bytes of a proof.
const TAG: usize = 16;
/// The code of this proof in a message.
const CODE: u8 = 1;

/// Who can make messages.
pub trait Prover {
    /// The code of its proofs.
    fn proof(&self) -> u8;

    /// Writes the proof of a message to the start of `out`; how long it is, or `None` where it does not go in.
    fn prove(&self, kind: Kind, message: &[u8], out: &mut [u8]) -> Option<usize>;
}

/// Who can tell who made a message.
pub trait Checker {
    /// The code of the proofs that it checks.
    fn proof(&self) -> u8;

    /// Is it the proof of this message?
    fn check(&self, kind: Kind, message: &[u8], proof: &[u8]) -> bool;
}

/// The key of a fleet; it stays with who enrols devices and reads their messages.
#[derive(Clone)]
pub struct FleetKey([u8; 32]);

impl FleetKey {
    /// From 32 random bytes.
    pub fn new(key: [u8; 32]) -> Self {
        FleetKey(key)
    }

    /// The keys of one device: HMAC-SHA256 under the fleet's key of `evenkeel snapshot v1`, or `evenkeel acknowledgement
    /// v1`, and the device's number (8 bytes, little endian).
    pub fn device(&self, device: u64) -> DeviceKeys {
        let key = |domain: &[u8]| {
            let mut mac = HMAC::new(self.0);
            mac.update(domain);
            mac.update(device.to_le_bytes());
            mac.finalize()
        };
        DeviceKeys { snapshot: key(b"evenkeel snapshot v1"), acknowledgement: key(b"evenkeel acknowledgement v1") }
    }
}

/// The keys of one device. Who has them can make its snapshots and acknowledge its alarms.
#[derive(Clone)]
pub struct DeviceKeys {
    snapshot: [u8; 32],
    acknowledgement: [u8; 32],
}

impl DeviceKeys {
    /// From 64 bytes that [`DeviceKeys::bytes`] gave: what is put into a device when it is enrolled.
    pub fn new(bytes: &[u8; 64]) -> Self {
        let (mut snapshot, mut acknowledgement) = ([0; 32], [0; 32]);
        let (first, second) = bytes.split_at(32);
        snapshot.copy_from_slice(first);
        acknowledgement.copy_from_slice(second);
        DeviceKeys { snapshot, acknowledgement }
    }

    /// The key of snapshots, then that of acknowledgements.
    pub fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(&self.snapshot);
        second.copy_from_slice(&self.acknowledgement);
        bytes
    }

    fn tag(&self, kind: Kind, message: &[u8]) -> [u8; 32] {
        let key = match kind {
            Kind::Snapshot => &self.snapshot,
            Kind::Acknowledgement => &self.acknowledgement,
        };
        let mut mac = HMAC::new(key);
        mac.update(message);
        mac.finalize()
    }
}

impl Prover for DeviceKeys {
    fn proof(&self) -> u8 {
        CODE
    }

    fn prove(&self, kind: Kind, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let tag = self.tag(kind, message);
        out.get_mut(..TAG)?.copy_from_slice(&tag[..TAG]);
        Some(TAG)
    }
}

impl Checker for DeviceKeys {
    fn proof(&self) -> u8 {
        CODE
    }

    fn check(&self, kind: Kind, message: &[u8], proof: &[u8]) -> bool {
        let tag = self.tag(kind, message);
        // Looks at every byte, so that its time does not say how many are right.
        let differ = tag[..TAG].iter().zip(proof).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
        differ == 0 && proof.len() == TAG
    }
}

// Keys do not end up in logs.
impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey")
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKeys")
    }
}
