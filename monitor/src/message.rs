//! From the bytes of messages to snapshots: by the key, or unproved and said to be so.

use evenkeel_runtime::snapshot::{Checker, FleetKey, Kind, MessageError, Sealed, Snapshot as Message, VerifyingKey};

use crate::snapshot::{Header, Snapshot, SnapshotError};

/// Bytes of a message's head, of its checksum, and of its proof by the code of the proof.
const HEAD: usize = 16;
const CRC: usize = 4;

/// Why a message gives no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is cut, damaged, forged, or none.
    #[error("{0}")]
    Message(MessageError),
    /// What it holds is none.
    #[error("what it holds {0}")]
    Content(SnapshotError),
    /// Message and content name different models or configurations.
    #[error("its message names another model or configuration than its content: it was put together by something else")]
    Identity,
}

/// A snapshot, and whether it was proved to be from the device that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Whether a key proved it.
    pub verified: bool,
}

/// What proves messages.
#[derive(Clone)]
pub enum Keys {
    /// Nothing: what is read is said to be unproved.
    Unchecked,
    /// The key of a fleet, which each device's key follows from.
    Fleet(FleetKey),
    /// The public keys of devices that sign; one of them must have signed.
    Public(Vec<VerifyingKey>),
}

/// Takes every proof of one kind for good.
struct Unchecked(u8);

impl Checker for Unchecked {
    fn proof(&self) -> u8 {
        self.0
    }

    fn check(&self, _: Kind, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

/// Splits bytes into messages, which state their lengths. The last piece is what is left, whole or not.
pub fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at_checked(stated(bytes).unwrap_or(usize::MAX)).unwrap_or((bytes, &[]));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// The length that a message states.
fn stated(bytes: &[u8]) -> Option<usize> {
    let [.., proof, l0, l1, l2, l3] = *bytes.first_chunk::<8>()?;
    let proof = match proof {
        1 => 16,
        2 => 64,
        _ => return None,
    };
    (u32::from_le_bytes([l0, l1, l2, l3]) as usize).checked_add(HEAD + CRC + proof)
}

/// Reads one message, which must be proved by the keys if there are any.
///
/// # Errors
/// By name, see [`ReadError`].
pub fn open(bytes: &[u8], keys: &Keys) -> Result<Received, ReadError> {
    let sealed = Sealed::parse(bytes).map_err(ReadError::Message)?;
    let message = match keys {
        Keys::Fleet(key) => Message::open(&sealed, &key.device(sealed.device())),
        Keys::Public(keys) => {
            let opened = keys.iter().map(|key| Message::open(&sealed, key));
            opened.reduce(Result::or).unwrap_or(Err(MessageError::Forged))
        }
        Keys::Unchecked => Message::open(&sealed, &Unchecked(bytes.get(3).copied().unwrap_or(0))),
    };
    let message = message.map_err(ReadError::Message)?;
    let snapshot = Snapshot::parse(Header::of(&message), message.payload).map_err(ReadError::Content)?;
    if (snapshot.common.model, snapshot.common.config) != (message.identity.model, message.identity.config) {
        return Err(ReadError::Identity);
    }
    Ok(Received { snapshot, verified: !matches!(keys, Keys::Unchecked) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::tests::{Stream, device};
    use evenkeel_runtime::snapshot::{FileStore, Identity, Prover, SigningKey, Store, seal};

    fn sealed(key: &impl Prover, snapshot: &Snapshot, model: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = FileStore::open(&folder.path().join("state"), 7).expect("it opens");
        let durable = store.save(b"state").expect("kept");
        let identity = Identity { device: 9, model, config: snapshot.common.config };
        let payload = snapshot.to_bytes().expect("it fits");
        let mut out = vec![0; payload.len() + 200];
        let put = |_: &[u8], place: &mut [u8]| {
            place.get_mut(..payload.len())?.copy_from_slice(&payload);
            Some(payload.len())
        };
        seal(&identity, &durable, key, &mut out, put).expect("it fits").to_vec()
    }

    #[test]
    fn messages_are_refused_by_name() {
        let (fleet, other) = (FleetKey::new([1; 32]), Keys::Fleet(FleetKey::new([2; 32])));
        let (own, key) = (fleet.device(9), Keys::Fleet(fleet));
        let snapshot = device(3, 200, Stream::default()).pop().expect("one");
        let message = sealed(&own, &snapshot, snapshot.common.model);
        let read = open(&message, &key).expect("its key");
        assert_eq!((read.verified, &read.snapshot.cells), (true, &snapshot.cells));
        assert_eq!((read.snapshot.header.device, read.snapshot.header.incarnation), (9, 7));
        assert!(!open(&message, &Keys::Unchecked).expect("no key").verified);
        assert_eq!(open(&message, &other), Err(ReadError::Message(MessageError::Forged)));
        for len in 0..message.len() {
            assert!(open(&message[..len], &key).is_err());
        }
        for bit in 0..message.len() * 8 {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped, &key).is_err(), "bit {bit}");
        }
        let foreign = sealed(&own, &snapshot, snapshot.common.model ^ 1);
        assert_eq!(open(&foreign, &key), Err(ReadError::Identity));

        // A device that signs, read by whoever has its public key.
        let (signer, stranger) = (SigningKey::new([5; 32]), SigningKey::new([6; 32]));
        let signed = sealed(&signer, &snapshot, snapshot.common.model);
        let public = |keys: &[&SigningKey]| Keys::Public(keys.iter().map(|k| k.public()).collect());
        assert!(open(&signed, &public(&[&stranger, &signer])).expect("its key").verified);
        assert_eq!(open(&signed, &public(&[&stranger])), Err(ReadError::Message(MessageError::Forged)));
        assert!(open(&signed, &key).is_err() && open(&message, &public(&[&signer])).is_err());

        let two = [&message[..], &message[..]].concat();
        assert_eq!(split(&two), [&message[..], &message[..]]);
        assert_eq!(split(&two[..two.len() - 1]).len(), 2);
        assert_eq!(split(b"something else").len(), 1);
    }
}
