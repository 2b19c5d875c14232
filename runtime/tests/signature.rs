//! A signed file is the signer's, byte for byte.

mod common;

use common::{Buffer, load_and_run, spec, with_sections};
use evenkeel_runtime::format::{Signature, repair, section, signature};
use evenkeel_runtime::{Error, Model};

const SECRET: [u8; 32] = [7; 32];

fn load(file: &[u8], key: &[u8; 32]) -> Result<(), Error> {
    Model::from_signed_bytes(Buffer::new(file).bytes(), key).map(|_| ())
}

fn signed() -> (Vec<u8>, [u8; 32]) {
    let file = Buffer::new(&spec().to_bytes());
    (signature::sign(file.bytes(), &SECRET).expect("a good file"), signature::public_key(&SECRET))
}

#[test]
fn a_signed_file_is_the_same_model() {
    let (file, key) = signed();
    assert_eq!(load(&file, &key), Ok(()));
    // Whoever demands no signature reads it too.
    assert_eq!(load_and_run(&file), load_and_run(&spec().to_bytes()));
    let buffer = Buffer::new(&file);
    let model = Model::from_bytes(buffer.bytes()).expect("a good file");
    assert_eq!(model.signature().map(|s| s.key), Some(key));
    // Signing again replaces the signature, and takes no random numbers.
    assert_eq!(signature::sign(buffer.bytes(), &SECRET).as_ref(), Ok(&file));
    let other = signature::sign(buffer.bytes(), &[8; 32]).expect("a good file");
    assert_eq!((other.len(), load(&other, &signature::public_key(&[8; 32]))), (file.len(), Ok(())));
    // Sections that this version does not know are kept.
    let later = Buffer::new(&with_sections(&spec().to_bytes(), |s| s.push((77, 0, b"later".to_vec()))));
    let file = signature::sign(later.bytes(), &SECRET).expect("a good file");
    assert!(file.windows(5).any(|w| w == b"later"));
    assert_eq!(load(&file, &key), Ok(()));
}

#[test]
fn the_first_test_vector_of_the_standard() {
    let hex = |s: &str| -> Vec<u8> {
        (0..s.len() / 2).map(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).expect("hex")).collect()
    };
    let secret = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let secret: [u8; 32] = secret.try_into().expect("32 bytes");
    assert_eq!(signature::public_key(&secret)[..], public[..]);
}

#[test]
fn any_changed_byte_is_seen() {
    let (file, key) = signed();
    for i in (0..file.len()).step_by(if cfg!(miri) { 301 } else { 1 }) {
        for flip in if cfg!(miri) { 1..2u8 } else { 0..3 }.map(|f| [1, 0x80, 0xFF][f as usize]) {
            let mut changed = file.clone();
            changed[i] ^= flip;
            assert!(load(&changed, &key).is_err(), "byte {i}, flip {flip}");
            repair(&mut changed);
            // What only the checksums guard is repaired to what it was.
            assert!(changed == file || load(&changed, &key).is_err(), "byte {i}, flip {flip}, checksums repaired");
        }
    }
    for len in (0..file.len()).step_by(if cfg!(miri) { 301 } else { 1 }) {
        assert!(load(&file[..len], &key).is_err(), "cut at {len}");
    }
    assert!(load(&[&file[..], &[0]].concat(), &key).is_err());
}

#[test]
fn the_trusted_key_is_the_callers() {
    let (file, key) = signed();
    let foreign = signature::public_key(&[9; 32]);
    let other = Err(Error::Signature("made with another key than the trusted one"));
    assert_eq!(load(&file, &foreign), other);
    // The key in the file is only a claim.
    let start = file.len() - size_of::<Signature>();
    let mut claimed = file.clone();
    claimed[start..start + 32].copy_from_slice(&foreign);
    let changed = Err(Error::Signature("does not match: the file was changed after it was signed"));
    assert_eq!(load(&claimed, &foreign), changed);
    assert_eq!(load(&claimed, &key), other);
    // A key that is no point of the curve, and one of small order, with which some signatures fit anything.
    for (first, rest) in [(2, 0), (1, 0), (0, 0), (0xFF, 0xFF)] {
        let mut weak = [rest; 32];
        weak[0] = first;
        let mut file = claimed.clone();
        file[start..].fill(0);
        file[start..start + 32].copy_from_slice(&weak);
        file[start + 32] = 1;
        assert_eq!(load(&file, &weak), changed);
    }
}

#[test]
fn an_unsigned_file_is_refused_where_a_signature_is_demanded() {
    let key = signature::public_key(&SECRET);
    let unsigned = Err(Error::Signature("the file is not signed"));
    assert_eq!(load(&spec().to_bytes(), &key), unsigned);
    let (file, _) = signed();
    assert_eq!(load(&with_sections(&file, |s| s.truncate(s.len() - 1)), &key), unsigned);
    let short =
        with_sections(&file, |s| s.iter_mut().filter(|s| s.0 == section::SIGNATURE).for_each(|s| s.2.truncate(95)));
    assert_eq!(load(&short, &key), Err(Error::Signature("must be the last 96 bytes of the file")));
    // What does not load is not signed.
    assert!(signature::sign(b"KEEL", &SECRET).is_err());
}
