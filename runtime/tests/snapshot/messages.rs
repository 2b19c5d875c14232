//! What is sealed is opened, and nothing else is.

use evenkeel_runtime::format::crc32;
use evenkeel_runtime::snapshot::{
    Acknowledgement, DeviceKeys, FleetKey, Identity, MessageError, Sealed, SlotRing, Snapshot, Stamp, Store, seal,
    verbatim,
};
use proptest::prelude::*;

use crate::flash::Flash;

const IDENTITY: Identity = Identity { device: 0x0123_4567_89AB_CDEF, model: 0xFEED_F00D, config: 0xC0FF_EE00 };

/// The keys of the device, and of another one.
fn keys() -> [DeviceKeys; 2] {
    let fleet = FleetKey::new(*b"thirty-two bytes, none of random");
    [fleet.device(IDENTITY.device), fleet.device(IDENTITY.device + 1)]
}

/// A snapshot of this state.
pub fn sealed(state: &[u8]) -> (Vec<u8>, Stamp) {
    let mut ring = SlotRing::open(Flash::<4, 4096>::new(2, 0), 0..8192, state.len(), 77).expect("a ring");
    ring.save(b"").expect("a first record");
    let durable = ring.save(state).expect("a record");
    let mut out = vec![0; state.len() + 100];
    let message = seal(&IDENTITY, &durable, &keys()[0], &mut out, verbatim).expect("a buffer that suffices");
    (message.to_vec(), durable.stamp())
}

/// A snapshot opened as the receiver does.
fn open<'b>(bytes: &'b [u8], keys: &DeviceKeys) -> Result<Snapshot<'b>, MessageError> {
    Snapshot::open(&Sealed::parse(bytes)?, keys)
}

/// The message with its checksum made right.
fn repaired(mut message: Vec<u8>) -> Vec<u8> {
    let end = message.len() - 20;
    let crc = crc32(&message[..end]).to_le_bytes();
    message[end..end + 4].copy_from_slice(&crc);
    message
}

#[test]
fn what_is_sealed_is_opened() {
    let (message, stamp) = sealed(b"the state of a monitor");
    assert_eq!((message.len(), stamp), (22 + 56, Stamp { incarnation: 77, boot: 1, seq: 2 }));
    assert_eq!(Sealed::parse(&message).unwrap().device(), IDENTITY.device);
    let snapshot = open(&message, &keys()[0]).unwrap();
    assert_eq!(snapshot, Snapshot { identity: IDENTITY, stamp, payload: b"the state of a monitor" });
    // As docs/snapshots.md has it.
    assert_eq!(message[..16], *b"K\x01\x01\x01\x2A\0\0\0\xEF\xCD\xAB\x89\x67\x45\x23\x01");
    assert_eq!(message[16..36], *b"\x4D\0\0\0\x01\0\0\0\x02\0\0\0\x0D\xF0\xED\xFE\x00\xEE\xFF\xC0");
}

#[test]
fn the_keys_are_those_of_the_document() {
    // Python: hmac.digest(b"thirty-two bytes, none of random", domain + device.to_bytes(8, "little"), "sha256")
    let bytes = keys()[0].bytes();
    let start = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!([start(0), start(32)], [0x4BAB_53EE_05ED_0714, 0x719B_CB1D_70DB_0F7B]);
    assert_eq!(DeviceKeys::new(&bytes).bytes(), bytes);
}

#[test]
fn every_bit_and_every_cut_is_refused_by_name() {
    let (message, _) = sealed(b"the state of a monitor");
    for len in 0..message.len() {
        let refused = open(&message[..len], &keys()[0]).unwrap_err();
        let cut = MessageError::Cut { stated: message.len(), actual: len };
        assert_eq!(refused, if len < 16 { MessageError::TooShort { len } } else { cut });
    }
    for bit in 0..8 * message.len() {
        let mut changed = message.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let refused = open(&changed, &keys()[0]).unwrap_err();
        match bit / 8 {
            0 => assert_eq!(refused, MessageError::Foreign),
            1 => assert!(matches!(refused, MessageError::Version(_))),
            2 => assert!(matches!(refused, MessageError::Kind(_) | MessageError::Damaged { .. })),
            3 => assert!(matches!(refused, MessageError::Proof(_))),
            4..8 => assert!(matches!(refused, MessageError::Cut { .. })),
            at if at < message.len() - 16 => assert!(matches!(refused, MessageError::Damaged { .. })),
            _ => assert_eq!(refused, MessageError::Forged),
        }
        // Who changes a message and can compute a checksum is refused too.
        if (8..message.len() - 20).contains(&(bit / 8)) {
            assert_eq!(open(&repaired(changed), &keys()[0]), Err(MessageError::Forged));
        }
    }
    assert!(matches!(open(&[&message[..], b"\0"].concat(), &keys()[0]), Err(MessageError::Cut { .. })));
}

#[test]
fn keys_of_other_devices_and_for_other_messages_prove_nothing() {
    let (message, stamp) = sealed(b"state");
    let [own, other] = keys();
    assert_eq!(open(&message, &other), Err(MessageError::Forged));
    // One kind's key does not make the other kind.
    let mut crossed = [0; 64];
    crossed[..32].copy_from_slice(&own.bytes()[32..]);
    assert_eq!(open(&message, &DeviceKeys::new(&crossed)), Err(MessageError::Forged));
    let mut out = [0; 100];
    let ack = Acknowledgement { device: IDENTITY.device, incarnation: 77, seq: stamp.seq };
    let ack = ack.seal(&own, &mut out).unwrap();
    assert_eq!(open(ack, &own), Err(MessageError::Kind(2)));
    assert_eq!(Acknowledgement::open(&Sealed::parse(&message).unwrap(), &own), Err(MessageError::Kind(1)));
    let mut turned = ack.to_vec();
    turned[2] = 1;
    assert_eq!(open(&repaired(turned), &own), Err(MessageError::Forged));
}

#[test]
fn an_acknowledgement_works_once_and_for_what_was_sent() {
    let [own, other] = keys();
    let ack = Acknowledgement { device: IDENTITY.device, incarnation: 77, seq: 12 };
    let mut out = [0; 44];
    let message = ack.seal(&own, &mut out).unwrap();
    assert_eq!(message.len(), 44);
    let parsed = Sealed::parse(message).unwrap();
    assert_eq!(Acknowledgement::open(&parsed, &own), Ok(ack));
    assert_eq!(Acknowledgement::open(&parsed, &other), Err(MessageError::Forged));
    let newest = Stamp { incarnation: 77, boot: 3, seq: 15 };
    let check = |ack: Acknowledgement, acknowledged| ack.check(IDENTITY.device, newest, acknowledged);
    assert_eq!(check(ack, 0), Ok(()));
    assert_eq!(check(ack, 11), Ok(()));
    assert_eq!(check(ack, 12), Err(MessageError::Replayed { seq: 12, acknowledged: 12 }));
    let seq = |seq| Acknowledgement { seq, ..ack };
    assert_eq!(check(seq(15), 12), Ok(()));
    assert_eq!(check(seq(16), 12), Err(MessageError::NotSent { seq: 16, newest: 15 }));
    assert_eq!(check(Acknowledgement { incarnation: 76, ..ack }, 0), Err(MessageError::OtherIncarnation(76)));
    assert_eq!(check(Acknowledgement { device: 5, ..ack }, 0), Err(MessageError::OtherDevice(5)));
    assert_eq!(ack.seal(&own, &mut [0; 43]), Err(MessageError::Buffer { given: 43 }));
}

#[test]
fn buffers_that_are_too_short_are_refused() {
    let mut ring = SlotRing::open(Flash::<4, 4096>::new(2, 0), 0..8192, 5, 77).unwrap();
    let durable = ring.save(b"state").unwrap();
    for given in 0..61 {
        let mut out = vec![0; given];
        assert_eq!(seal(&IDENTITY, &durable, &keys()[0], &mut out, verbatim), Err(MessageError::Buffer { given }));
        let claims_more = seal(&IDENTITY, &durable, &keys()[0], &mut out, |_, _| Some(usize::MAX - 50));
        assert_eq!(claims_more, Err(MessageError::Buffer { given }));
    }
    assert!(seal(&IDENTITY, &durable, &keys()[0], &mut [0; 61], verbatim).is_ok());
}

#[cfg(feature = "sign")]
#[test]
fn signatures_prove_without_a_shared_secret() {
    use evenkeel_runtime::snapshot::{SigningKey, VerifyingKey};
    let key = SigningKey::new([3; 32]);
    let public = VerifyingKey::new(key.public().bytes());
    let mut ring = SlotRing::open(Flash::<4, 4096>::new(2, 0), 0..8192, 5, 77).unwrap();
    let durable = ring.save(b"state").unwrap();
    let mut out = [0; 200];
    let message = seal(&IDENTITY, &durable, &key, &mut out, verbatim).unwrap();
    assert_eq!(message.len(), 5 + 104);
    assert_eq!(Snapshot::open(&Sealed::parse(message).unwrap(), &public).unwrap().payload, b"state");
    let other = SigningKey::new([4; 32]).public();
    assert_eq!(Snapshot::open(&Sealed::parse(message).unwrap(), &other), Err(MessageError::Forged));
    assert_eq!(Snapshot::open(&Sealed::parse(message).unwrap(), &keys()[0]), Err(MessageError::Proof(2)));
    assert_eq!(Snapshot::open(&Sealed::parse(&sealed(b"state").0).unwrap(), &public), Err(MessageError::Proof(1)));
    for bit in 0..8 * message.len() {
        let mut changed = message.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Sealed::parse(&changed).and_then(|m| Snapshot::open(&m, &public)).is_err());
    }
}

proptest! {
    #[test]
    fn any_payload_goes_through(state in prop::collection::vec(any::<u8>(), 0..1500)) {
        let (message, stamp) = sealed(&state);
        let snapshot = open(&message, &keys()[0]).expect("what was sealed");
        prop_assert_eq!(snapshot, Snapshot { identity: IDENTITY, stamp, payload: &state });
    }

    #[test]
    fn no_change_of_a_message_is_believed(
        state in prop::collection::vec(any::<u8>(), 0..300),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..5),
    ) {
        let message = sealed(&state).0;
        let mut changed = message.clone();
        for (at, by) in changes {
            changed[at.index(message.len())] ^= by;
        }
        prop_assume!(changed != message);
        prop_assert!(open(&changed, &keys()[0]).is_err());
        let end = changed.len() - 20;
        let repaired = repaired(changed.clone());
        prop_assume!(repaired[..end] != message[..end] || repaired[end + 4..] != message[end + 4..]);
        prop_assert!(open(&repaired, &keys()[0]).is_err());
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&bytes, &keys()[0]).is_err());
    }
}
