//! The one pass over a file that decides whether it is a model.
//!
//! The records of sections here; their places in [`super::verify_head`], operators in [`super::verify_ops`], memory
//! in [`super::verify_memory`].

use core::str;

use bytemuck::{Pod, try_cast_slice};

use super::read::{Model, records};
use super::verify_head::{header, sections, table};
use super::{
    CertificateHead, Dtype, Header, InputChannel, MAX_RECORDS, MonitorHead, NameRef, OpRecord, Packing, Signature,
    TENSOR_ALIGN, TensorRecord, section, verdict, verify_memory, verify_ops,
};
use crate::kernels::{Kernels, Native};
use crate::{Error, monitor};

/// See [`Model::from_bytes`].
pub(super) fn model(bytes: &[u8]) -> Result<Model<'_>, Error> {
    let header = header(bytes)?;
    let sections = sections(bytes, table(bytes, header)?)?;
    let of = |kind: u16| sections.get(kind as usize).copied().unwrap_or_default();

    let text = |kind: u16| str::from_utf8(of(kind)).map_err(|_| Error::Section { kind, fault: "not UTF-8" });
    let packing = Packing::from_code(header.packing).ok_or(Error::Packing(header.packing))?;
    if !packing.is_read_here() {
        return Err(Error::KernelPacking { kernels: Native::NAME, packing: packing.name() });
    }
    let dtype = Dtype::from_code(header.dtype).ok_or(Error::Header("an unknown number format"))?;
    if dtype.is_float() && packing != Packing::Portable {
        return Err(Error::Header("the weights of float models are not packed for a target"));
    }
    let tensors = array::<TensorRecord>(section::TENSORS, of(section::TENSORS))?;
    let ops = array::<OpRecord>(section::OPS, of(section::OPS))?;
    for (kind, count) in [(section::TENSORS, tensors.len()), (section::OPS, ops.len())] {
        if count == 0 || count > MAX_RECORDS {
            return Err(Error::Section { kind, fault: "missing, or more than 4096 records" });
        }
    }
    let (Some(input), Some(output)) = (tensors.get(header.input as usize), tensors.get(header.output as usize)) else {
        return Err(Error::Header("input and output must be two tensors of the file"));
    };
    let model = Model {
        header,
        packing,
        dtype,
        signature: match records::<Signature>(of(section::SIGNATURE), 0, 1) {
            Some([signature]) if of(section::SIGNATURE).len() == size_of::<Signature>() => Some(signature),
            _ if of(section::SIGNATURE).is_empty() => None,
            _ => return Err(Error::Section { kind: section::SIGNATURE, fault: "not of a signature's length" }),
        },
        tensors,
        input,
        output,
        ops,
        data: of(section::DATA),
        names: text(section::NAMES)?,
        contract: text(section::CONTRACT)?,
        certificate: with_head(section::CERTIFICATE, of(section::CERTIFICATE), |h: &CertificateHead| h.groups)?,
        monitor: with_head(section::MONITOR, of(section::MONITOR), |h: &MonitorHead| h.groups)?,
        field: of(section::FIELD),
        input_channels: array::<InputChannel>(section::INPUT, of(section::INPUT))?,
    };
    if header.input == header.output {
        return Err(Error::Header("input and output must be two tensors of the file"));
    }

    for (i, tensor) in model.tensors.iter().enumerate() {
        tensor_record(tensor, header, model.ops.len(), dtype).map_err(|fault| Error::Tensor { tensor: i, fault })?;
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
    let items = bytes.get(size_of::<H>()..).unwrap_or_default();
    let items = try_cast_slice::<u8, T>(items).map_err(|_| wrong)?;
    if items.len() != count(head) as usize {
        return Err(wrong);
    }
    Ok(Some((head, items)))
}

fn tensor_record(t: &TensorRecord, header: &Header, ops: usize, dtype: Dtype) -> Result<(), &'static str> {
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
    if dtype.is_float() && (t.scale, t.zero) != (1.0, 0) {
        return Err("a tensor of real numbers has scale 1 and zero point 0");
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
