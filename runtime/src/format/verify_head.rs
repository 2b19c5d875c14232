//! Verification of a file's head: the header, the section table, and that each byte of the file has its place.

use super::read::records;
use super::{
    CRC_START, Dtype, Header, MAGIC, MAX_ARENA, SECTION_ALIGN, SectionRecord, TENSOR_ALIGN, VERSION, crc32,
    input_rounding, section,
};
use crate::Error;

/// The header, each field by itself.
pub(super) fn header(bytes: &[u8]) -> Result<&Header, Error> {
    let too_short = Error::TooShort { len: bytes.len() };
    // The magic first: "not a .keel file" helps more than "too short".
    let magic = bytes.first_chunk::<4>().ok_or(too_short)?;
    if *magic != MAGIC {
        return Err(Error::Magic(*magic));
    }
    // Then the version: of another one, nothing else is known to be where it is here.
    match bytes.get(4..6) {
        Some(&[low, high]) if u16::from_le_bytes([low, high]) != VERSION => {
            return Err(Error::Version(u16::from_le_bytes([low, high])));
        }
        _ if bytes.len() < size_of::<Header>() => return Err(too_short),
        _ => {}
    }
    if !bytes.as_ptr().addr().is_multiple_of(TENSOR_ALIGN) {
        return Err(Error::Alignment);
    }
    let Some([header]) = records::<Header>(bytes, 0, 1) else { return Err(too_short) };
    if header.file_len as usize != bytes.len() {
        return Err(Error::FileLength { stated: header.file_len, actual: bytes.len() });
    }
    if header.input_rounding > input_rounding::HALF_EVEN {
        return Err(Error::Header("an unknown rounding of inputs"));
    }
    if header.reserved != [0; 15] {
        return Err(Error::Header("a reserved field is not 0"));
    }
    let Some(dtype) = Dtype::from_code(header.dtype) else {
        return Err(Error::Header("an unknown number format"));
    };
    if header.arena_len as usize > MAX_ARENA as usize / dtype.arena_bytes() {
        return Err(Error::Header("an arena of more than 1 GiB"));
    }
    if header.scratch_offset > header.arena_len || !(header.scratch_offset as usize).is_multiple_of(TENSOR_ALIGN) {
        return Err(Error::Header("the scratch must begin inside the arena at a multiple of 4"));
    }
    Ok(header)
}

/// The section table, as it was written.
pub(super) fn table<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [SectionRecord], Error> {
    let start = size_of::<Header>();
    let table = records::<SectionRecord>(bytes, start as u32, header.sections as u32)
        .ok_or(Error::Header("the section table is longer than the file"))?;
    check_crc(header.crc, bytes.get(CRC_START..start + size_of_val(table)).unwrap_or_default())?;
    Ok(table)
}

/// The bytes of each known section by its code; empty where there is none.
///
/// Sections lie one behind the other and fill the file, but for zeros before each: so every byte is checked once,
/// however many sections a file lists.
pub(super) fn sections<'a>(
    bytes: &'a [u8],
    table: &[SectionRecord],
) -> Result<[&'a [u8]; section::LAST as usize + 1], Error> {
    let mut found = [None; section::LAST as usize + 1];
    let mut end = size_of::<Header>() + size_of_val(table);
    for (i, record) in table.iter().enumerate() {
        let wrong = |fault| Err(Error::Section { kind: record.kind, fault });
        let offset = record.offset as usize;
        if Some(offset) != end.checked_next_multiple_of(SECTION_ALIGN) || record.len == 0 {
            return wrong("must not be empty and begin at the next multiple of 64 behind what is before it");
        }
        let content = offset.checked_add(record.len as usize).and_then(|end| bytes.get(offset..end));
        let (Some(content), Some(gap)) = (content, bytes.get(end..offset)) else {
            return wrong("not inside the file");
        };
        if gap.iter().any(|b| *b != 0) {
            return wrong("the bytes before it are not 0");
        }
        end = offset + content.len();
        if record.flags & !section::MANDATORY != 0 {
            return wrong("unknown flags");
        }
        // The signature proves itself, and covers the table: nothing can follow it or be computed from it.
        if record.kind == section::SIGNATURE {
            if i + 1 != table.len() || record.crc != 0 {
                return wrong("must be the last section, without a checksum");
            }
        } else {
            check_crc(record.crc, content)?;
        }
        match found.get_mut(record.kind as usize).filter(|_| record.kind != 0) {
            Some(place @ None) => *place = Some(content),
            Some(Some(_)) => return wrong("listed twice"),
            // Later files may add sections; they say which of these a reader may not skip.
            None if record.flags & section::MANDATORY != 0 => {
                return wrong("unknown to this runtime, and the file says that it must not be skipped");
            }
            None => {}
        }
    }
    if end != bytes.len() {
        return Err(Error::Header("bytes that belong to no section follow the last one"));
    }
    // Not `&[]`: an empty section is as aligned as a full one.
    let empty = bytes.split_at(0).0;
    Ok(found.map(|content| content.unwrap_or(empty)))
}

fn check_crc(stated: u32, bytes: &[u8]) -> Result<(), Error> {
    let actual = crc32(bytes);
    if stated == actual { Ok(()) } else { Err(Error::Crc { stated, actual }) }
}
