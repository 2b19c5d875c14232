//! Checksums of files that were changed on purpose, by tests and fuzzers (feature `write`).

use core::mem::offset_of;

use bytemuck::pod_read_unaligned;

use super::{CRC_START, Header, SectionRecord, crc32, section};

/// Makes the stated length and all checksums right, whatever the bytes are, so that what lies behind them is looked at.
pub fn repair(file: &mut [u8]) {
    let (start, entry) = (size_of::<Header>(), size_of::<SectionRecord>());
    let Some(head) = file.get(..start) else { return };
    let head: Header = pod_read_unaligned(head);
    let len = file.len() as u32;
    file[offset_of!(Header, file_len)..][..4].copy_from_slice(&len.to_le_bytes());
    let mut at = start;
    for _ in 0..head.sections {
        let Some(record) = file.get(at..at + entry) else { break };
        let record: SectionRecord = pod_read_unaligned(record);
        let first = record.offset as usize;
        let content = first.checked_add(record.len as usize).and_then(|end| file.get(first..end));
        if let (Some(content), true) = (content, record.kind != section::SIGNATURE) {
            let crc = crc32(content).to_le_bytes();
            file[at + offset_of!(SectionRecord, crc)..][..4].copy_from_slice(&crc);
        }
        at += entry;
    }
    let crc = crc32(&file[CRC_START..at]).to_le_bytes();
    file[offset_of!(Header, crc)..][..4].copy_from_slice(&crc);
}
