//! The one pass over a file that decides whether it is a model.
//!
//! Head and sections here; operators in [`super::verify_ops`], memory in [`super::verify_memory`].

use core::str;

use bytemuck::{Pod, try_cast_slice};

use super::read::{Model, records};
use super::{
    CRC_START, CertificateHead, Header, InputChannel, MAGIC, MAX_ARENA, MAX_RECORDS, MonitorHead, NameRef, OpRecord,
    Packing, SECTION_ALIGN, SectionRecord, Signature, TENSOR_ALIGN, TensorRecord, VERSION, crc32, input_rounding,
    section, verdict, verify_memory, verify_ops,
};
use crate::{Error, monitor};

/// See [`Model::from_bytes`].
pub(super) fn model(bytes: &[u8]) -> Result<Model<'_>, Error> {
    let header = header(bytes)?;
    let sections = sections(bytes, header)?;
    let of = |kind: u16| sections[kind as usize];

    let text = |kind: u16| str::from_utf8(of(kind)).map_err(|_| Error::Section { kind, fault: "not UTF-8" });
    let packing = Packing::from_code(header.packing).ok_or(Error::Packing(header.packing))?;
    let model = Model {
        header,
        packing,
        signature: match records::<Signature>(of(section::SIGNATURE), 0, 1) {
            Some([signature]) if of(section::SIGNATURE).len() == size_of::<Signature>() => Some(signature),
            _ if of(section::SIGNATURE).is_empty() => None,
            _ => return Err(Error::Section { kind: section::SIGNATURE, fault: "not of a signature's length" }),
        },
        tensors: array::<TensorRecord>(section::TENSORS, of(section::TENSORS))?,
        ops: array::<OpRecord>(section::OPS, of(section::OPS))?,
        data: of(section::DATA),
        names: text(section::NAMES)?,
        contract: text(section::CONTRACT)?,
        certificate: with_head(section::CERTIFICATE, of(section::CERTIFICATE), |h: &CertificateHead| h.groups)?,
        monitor: with_head(section::MONITOR, of(section::MONITOR), |h: &MonitorHead| h.groups)?,
        input_channels: array::<InputChannel>(section::INPUT, of(section::INPUT))?,
    };
    for (kind, count) in [(section::TENSORS, model.tensors.len()), (section::OPS, model.ops.len())] {
        if count == 0 || count > MAX_RECORDS {
            return Err(Error::Section { kind, fault: "missing, or more than 4096 records" });
        }
    }
    if [header.input, header.output].iter().any(|&t| t as usize >= model.tensors.len()) || header.input == header.output
    {
        return Err(Error::Header("input and output must be two tensors of the file"));
    }

    for (i, tensor) in model.tensors.iter().enumerate() {
        tensor_record(tensor, header, model.ops.len()).map_err(|fault| Error::Tensor { tensor: i, fault })?;
    }
    verify_ops::operators(&model)?;
    verify_memory::order(&model)?;
    verify_memory::lifetimes(&model)?;
    certificate(&model)?;
    if let Some((head, floors)) = model.monitor {
        let wrong = |fault| Error::Section { kind: section::MONITOR, fault };
        monitor::check(head, floors).map_err(wrong)?;
        if floors.iter().any(|f| !known(&model, f.name)) {
            return Err(wrong("a name outside of the names section"));
        }
    }
    input_channels(&model)?;
    Ok(model)
}

/// Whether `name` is a piece of the names section, cut between characters.
pub(super) fn known(model: &Model, name: NameRef) -> bool {
    name.len == 0 || !model.name(name).is_empty()
}

fn header(bytes: &[u8]) -> Result<&Header, Error> {
    let too_short = Error::TooShort { len: bytes.len() };
    // The magic first: "not a .keel file" helps more than "too short".
    let magic = bytes.first_chunk::<4>().ok_or(too_short)?;
    if *magic != MAGIC {
        return Err(Error::Magic(*magic));
    }
    if bytes.len() < size_of::<Header>() {
        return Err(too_short);
    }
    if !bytes.as_ptr().addr().is_multiple_of(TENSOR_ALIGN) {
        return Err(Error::Alignment);
    }
    let Some([header]) = records::<Header>(bytes, 0, 1) else { return Err(too_short) };
    if header.version != VERSION {
        return Err(Error::Version(header.version));
    }
    if header.file_len as usize != bytes.len() {
        return Err(Error::FileLength { stated: header.file_len, actual: bytes.len() });
    }
    if header.input_rounding > input_rounding::HALF_EVEN {
        return Err(Error::Header("an unknown rounding of inputs"));
    }
    if header.reserved != [0; 16] {
        return Err(Error::Header("a reserved field is not 0"));
    }
    if header.arena_len > MAX_ARENA {
        return Err(Error::Header("an arena of more than 1 GiB"));
    }
    if header.scratch_offset > header.arena_len || !(header.scratch_offset as usize).is_multiple_of(TENSOR_ALIGN) {
        return Err(Error::Header("the scratch must begin inside the arena at a multiple of 4"));
    }
    Ok(header)
}

/// The bytes of each known section by its code; empty where there is none.
fn sections<'a>(bytes: &'a [u8], header: &Header) -> Result<[&'a [u8]; section::LAST as usize + 1], Error> {
    let start = size_of::<Header>();
    let table = records::<SectionRecord>(bytes, start as u32, header.sections as u32)
        .ok_or(Error::Header("the section table is longer than the file"))?;
    let head = &bytes[CRC_START..start + size_of_val(table)];
    check_crc(header.crc, head)?;
    let mut found = [None; section::LAST as usize + 1];
    for (i, record) in table.iter().enumerate() {
        let wrong = |fault| Err(Error::Section { kind: record.kind, fault });
        let offset = record.offset as usize;
        let Some(content) = offset.checked_add(record.len as usize).and_then(|end| bytes.get(offset..end)) else {
            return wrong("not inside the file");
        };
        if !offset.is_multiple_of(SECTION_ALIGN) || offset < start + size_of_val(table) {
            return wrong("must begin at a multiple of 64 behind the section table");
        }
        if record.flags & !section::MANDATORY != 0 {
            return wrong("unknown flags");
        }
        // The signature proves itself, and covers the table: nothing can follow it or be computed from it.
        if record.kind == section::SIGNATURE {
            if i + 1 != table.len() || offset + content.len() != bytes.len() || record.crc != 0 {
                return wrong("must be the last section, without a checksum");
            }
        } else {
            check_crc(record.crc, content)?;
        }
        match found.get_mut(record.kind as usize).filter(|_| record.kind != 0) {
            Some(slot) => {
                if slot.replace(content).is_some() {
                    return wrong("listed twice");
                }
            }
            // Later files may add sections; they say which of these a reader may not skip.
            None if record.flags & section::MANDATORY != 0 => {
                return wrong("unknown to this runtime, and the file says that it must not be skipped");
            }
            None => {}
        }
    }
    // Not `&[]`: an empty section is as aligned as a full one.
    Ok(found.map(|content| content.unwrap_or(&bytes[..0])))
}

fn check_crc(stated: u32, bytes: &[u8]) -> Result<(), Error> {
    let actual = crc32(bytes);
    if stated == actual { Ok(()) } else { Err(Error::Crc { stated, actual }) }
}

/// A section that is nothing but records.
fn array<T: Pod>(kind: u16, bytes: &[u8]) -> Result<&[T], Error> {
    try_cast_slice(bytes).map_err(|_| Error::Section { kind, fault: "not a whole number of records" })
}

/// A section of a head and as many records as it says; `None` when it is empty.
fn with_head<H: Pod, T: Pod>(kind: u16, bytes: &[u8], count: impl Fn(&H) -> u32) -> Result<Option<(&H, &[T])>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let wrong = Error::Section { kind, fault: "not of the length that its head states" };
    let Some([head]) = records::<H>(bytes, 0, 1) else { return Err(wrong) };
    let items = try_cast_slice::<u8, T>(&bytes[size_of::<H>()..]).map_err(|_| wrong)?;
    if items.len() != count(head) as usize {
        return Err(wrong);
    }
    Ok(Some((head, items)))
}

fn tensor_record(t: &TensorRecord, header: &Header, ops: usize) -> Result<(), &'static str> {
    let size = [t.h, t.w].iter().try_fold(t.c, |n, &d| n.checked_mul(d)).filter(|&n| n > 0);
    let end = size.and_then(|n| n.checked_add(t.offset)).ok_or("an impossible shape or place")?;
    if end > header.scratch_offset {
        return Err("ends behind the activations' part of the arena");
    }
    if !(t.offset as usize).is_multiple_of(TENSOR_ALIGN) {
        return Err("must begin at a multiple of 4 in the arena");
    }
    if !(t.scale.is_finite() && t.scale > 0.0) {
        return Err("the scale must be finite and positive");
    }
    if !(-128..=127).contains(&t.zero) {
        return Err("the zero point must be an int8");
    }
    if t.first_op > t.last_op || t.last_op as usize >= ops {
        return Err("an impossible lifetime");
    }
    Ok(())
}

fn certificate(model: &Model) -> Result<(), Error> {
    let wrong = |fault| Err(Error::Section { kind: section::CERTIFICATE, fault });
    let Some((head, groups)) = model.certificate else { return Ok(()) };
    if head.verdict > verdict::UNDECIDED || head.unproven > 1 {
        return wrong("an unknown verdict");
    }
    if [head.confidence, head.dense, head.pruned, head.int8].iter().any(|v| v.is_nan()) {
        return wrong("not a number");
    }
    for g in groups {
        if g.verdict > verdict::UNDECIDED {
            return wrong("an unknown verdict");
        }
        let numbers = [g.dense, g.pruned, g.int8, g.int8_lower, g.excess_drop, g.excess_drop_upper];
        if numbers.iter().any(|v| v.is_nan()) {
            return wrong("not a number");
        }
        if !known(model, g.name) {
            return wrong("a name outside of the names section");
        }
    }
    Ok(())
}

fn input_channels(model: &Model) -> Result<(), Error> {
    let wrong = |fault| Err(Error::Section { kind: section::INPUT, fault });
    let channels = model.input_channels;
    if channels.len() > 1 && channels.len() != model.input().c as usize {
        return wrong("must have one record, or one per channel");
    }
    let good = |c: &InputChannel| c.scale.is_finite() && c.mean.is_finite() && c.std.is_finite() && c.std != 0.0;
    if !channels.iter().all(good) {
        return wrong("numbers must be finite and the standard deviation not 0");
    }
    Ok(())
}
