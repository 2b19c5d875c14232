//! Bytes as what comes over the wire, as a message, and as what is in flash: refused, or sound.
//!
//! The first byte says as which. Messages have their length, checksum and proof made right when it says so, so that what
//! lies behind them is reached.
#![no_main]

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use evenkeel_runtime::format::crc32;
use evenkeel_runtime::snapshot::{
    Acknowledgement, FleetKey, Frames, Kind, Prover, Reassembler, Sealed, SlotRing, Snapshot, Stamp, Store,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    match first % 4 {
        0 => wire(bytes),
        1 => message(bytes),
        2 => message(&repaired(bytes)),
        _ => flash(bytes),
    }
});

fn wire(bytes: &[u8]) {
    let mut buffer = [0; Reassembler::buffer_len(512)];
    let mut reassembler = Reassembler::new(&mut buffer);
    for &byte in bytes {
        if let Ok(Some(got)) = reassembler.push(byte) {
            message(got.bytes);
        }
        reassembler.resume();
    }
    // Whatever there was, a message behind it comes through.
    let frames = Frames::new(1, &[1; 100], 80).expect("a size that can be");
    let wire: Vec<u8> = [0].into_iter().chain(frames.flat_map(|f| f.bytes().to_vec())).collect();
    // The fuzzer may have sent this very message, which is not given twice.
    let _ = wire.iter().filter(|&&byte| reassembler.push(byte).is_ok_and(|m| m.is_some())).count();
    assert_eq!(reassembler.resume(), None);
}

fn message(bytes: &[u8]) {
    let Ok(sealed) = Sealed::parse(bytes) else { return };
    let keys = FleetKey::new([7; 32]).device(sealed.device());
    if let Ok(snapshot) = Snapshot::open(&sealed, &keys) {
        assert_eq!(snapshot.payload.len() + 56, bytes.len());
    }
    if let Ok(ack) = Acknowledgement::open(&sealed, &keys) {
        let mut again = [0; 44];
        assert_eq!(ack.seal(&keys, &mut again), Ok(bytes));
        let _ = ack.check(0, Stamp::default(), 0);
    }
}

/// A message with this head and body, and all the rest made right.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut message = bytes.to_vec();
    message.resize(bytes.len().max(16), 0);
    message[0] = b'K';
    message[1] = 1;
    message[2] = 1 + message[2] % 2;
    message[3] = 1;
    let body = message.len() as u32 - 16;
    message[4..8].copy_from_slice(&body.to_le_bytes());
    message.extend(crc32(&message).to_le_bytes());
    let kind = if message[2] == 1 { Kind::Snapshot } else { Kind::Acknowledgement };
    let device = u64::from_le_bytes(message[8..16].try_into().expect("eight bytes"));
    let mut proof = [0; 16];
    FleetKey::new([7; 32]).device(device).prove(kind, &message, &mut proof).expect("sixteen bytes");
    message.extend(proof);
    message
}

/// Four pages of 256 bytes.
struct Flash([u8; 1024]);

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len()).expect("a read inside");
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 256;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to).expect("whole pages inside");
        self.0[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len()).expect("whole words inside");
        self.0[offset as usize..].iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }
}

/// Slots of any content: what is loaded is whole, and a ring that opens goes on working, or says why it cannot.
fn flash(bytes: &[u8]) {
    let mut flash = Flash([0xFF; 1024]);
    let n = bytes.len().min(1024);
    flash.0[..n].copy_from_slice(&bytes[..n]);
    // The records that begin where slots do get their checksums.
    for record in flash.0.chunks_exact_mut(256).flat_map(|page| page.chunks_exact_mut(68)).map(|slot| &mut slot[4..]) {
        let len = record[8] as usize;
        if record.starts_with(b"EKR\x01") && len <= 20 && record[9..12] == [0; 3] {
            let crc = crc32(&record[8..28 + len]);
            record[4..8].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let Ok(mut ring) = SlotRing::open(flash, 0..1024, 20, 1) else { return };
    let mut buffer = [0; 20];
    let before = ring.load(&mut buffer).expect("what was whole a moment ago").map(|r| r.stamp);
    for state in [&[1u8; 20][..], &[2; 7]] {
        let Ok(stamp) = ring.save(state).map(|d| d.stamp()) else { return };
        assert!(before.is_none_or(|b| b.seq < stamp.seq));
        assert_eq!(ring.load(&mut buffer).expect("what was kept").expect("a record").state, state);
    }
    let newest = ring.newest();
    let ring = SlotRing::open(ring.into_flash(), 0..1024, 20, 1).expect("a ring that was saved to");
    assert_eq!(ring.newest(), newest);
}
