//! The writer of `.keel` bytes, for hosts (feature `write`).
//!
//! It lays out what it is given and checks nothing: [`super::Model::from_bytes`] is the one place that says
//! whether a file is good, so a writer reads its bytes back before it hands them on.

use alloc::string::String;
use alloc::vec::Vec;
use bytemuck::{Zeroable, bytes_of, cast_slice};

use super::{
    CRC_START, CertificateGroup, CertificateHead, FieldGroup, FieldHead, FloorRecord, Header, InputChannel, MAGIC,
    MonitorHead, NameRef, OpRecord, SECTION_ALIGN, SectionRecord, TensorRecord, VERSION, crc32, section,
};

/// The names section in the making: each name is stored once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// UTF-8, names back to back.
    pub bytes: Vec<u8>,
}

impl Names {
    /// Stores `name`, or finds it where it (or something that contains it) lies already.
    pub fn add(&mut self, name: &str) -> NameRef {
        let name = name.as_bytes();
        if name.is_empty() {
            return NameRef::default();
        }
        // UTF-8 is self-synchronising, so a match of bytes is a match of characters.
        let found = self.bytes.windows(name.len()).position(|w| w == name);
        let offset = found.unwrap_or_else(|| {
            self.bytes.extend_from_slice(name);
            self.bytes.len() - name.len()
        });
        NameRef { offset: offset as u32, len: name.len() as u32 }
    }
}

/// Everything that a file holds, before it has a place in the bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileSpec {
    /// Elements of arena (bytes, or f32 in float models): activations, then scratch.
    pub arena_len: u32,
    /// Where the scratch begins; at or behind the end of every tensor.
    pub scratch_offset: u32,
    /// The target class that `data` is packed for, a code of [`super::Packing`].
    pub packing: u16,
    /// One of [`super::input_rounding`].
    pub input_rounding: u16,
    /// What the model computes in, a code of [`super::Dtype`].
    pub dtype: u16,
    /// Index of the tensor that the caller fills.
    pub input: u16,
    /// Index of the tensor that holds the result.
    pub output: u16,
    /// The input, and what operators write.
    pub tensors: Vec<TensorRecord>,
    /// In execution order.
    pub ops: Vec<OpRecord>,
    /// Weights and requantisation records, at the offsets that `ops` name.
    pub data: Vec<u8>,
    /// What the [`NameRef`]s point to.
    pub names: Names,
    /// The contract as the user wrote it; empty for none.
    pub contract: String,
    /// The certificate; its head is written with the true number of groups.
    pub certificate: Option<(CertificateHead, Vec<CertificateGroup>)>,
    /// The monitor; its head is written with the true number of groups.
    pub monitor: Option<(MonitorHead, Vec<FloorRecord>)>,
    /// What the monitor compares the field with, and confusion matrices; its head is written with the true number of
    /// groups.
    pub field: Option<(FieldHead, Vec<FieldGroup>, Vec<u16>)>,
    /// Empty (raw values are the real values), one for all channels, or one per channel.
    pub input_channels: Vec<InputChannel>,
}

impl FileSpec {
    /// The bytes of the file. Sections come in the order of their codes, empty ones are left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let certificate = self.certificate.as_ref().map_or(Vec::new(), |(head, groups)| {
            let head = CertificateHead { groups: groups.len() as u32, ..*head };
            [bytes_of(&head), cast_slice(groups)].concat()
        });
        let monitor = self.monitor.as_ref().map_or(Vec::new(), |(head, floors)| {
            let head = MonitorHead { groups: floors.len() as u32, ..*head };
            [bytes_of(&head), cast_slice(floors)].concat()
        });
        let field = self.field.as_ref().map_or(Vec::new(), |(head, groups, confusion)| {
            let head = FieldHead { groups: groups.len() as u32, ..*head };
            [bytes_of(&head), cast_slice(groups), cast_slice(confusion)].concat()
        });
        let mut sections: Vec<(u16, &[u8])> = Vec::from([
            (section::TENSORS, cast_slice(&self.tensors)),
            (section::OPS, cast_slice(&self.ops)),
            (section::DATA, &self.data),
            (section::NAMES, &self.names.bytes),
            (section::CONTRACT, self.contract.as_bytes()),
            (section::CERTIFICATE, &certificate),
            (section::MONITOR, &monitor),
            (section::INPUT, cast_slice(&self.input_channels)),
            (section::FIELD, &field),
        ]);
        sections.retain(|(_, bytes)| !bytes.is_empty());
        let flags = |kind| if kind <= section::DATA { section::MANDATORY } else { 0 };
        let sections: Vec<Section> = sections.into_iter().map(|(kind, bytes)| (kind, flags(kind), bytes)).collect();
        let header = Header {
            packing: self.packing,
            arena_len: self.arena_len,
            scratch_offset: self.scratch_offset,
            input: self.input,
            output: self.output,
            input_rounding: self.input_rounding,
            dtype: self.dtype,
            ..Header::zeroed()
        };
        lay_out(&header, &sections)
    }
}

/// Kind, flags and bytes of a section.
pub(super) type Section<'a> = (u16, u16, &'a [u8]);

/// A file of these sections in their order, none of them empty. Of `header`, all that does not follow from the
/// sections is kept.
pub(super) fn lay_out(header: &Header, sections: &[Section]) -> Vec<u8> {
    let mut end = size_of::<Header>() + sections.len() * size_of::<SectionRecord>();
    let mut table = Vec::with_capacity(sections.len());
    for &(kind, flags, bytes) in sections {
        let offset = end.next_multiple_of(SECTION_ALIGN);
        end = offset + bytes.len();
        // A signature proves itself, and is made when all else has its place.
        let crc = if kind == section::SIGNATURE { 0 } else { crc32(bytes) };
        table.push(SectionRecord { kind, flags, offset: offset as u32, len: bytes.len() as u32, crc });
    }
    let file_len = end as u32;
    let mut header =
        Header { magic: MAGIC, version: VERSION, file_len, crc: 0, sections: table.len() as u16, ..*header };
    let mut file = Vec::with_capacity(end);
    file.extend_from_slice(bytes_of(&header));
    file.extend_from_slice(cast_slice(&table));
    for (record, (.., bytes)) in table.iter().zip(sections) {
        file.resize(record.offset as usize, 0);
        file.extend_from_slice(bytes);
    }
    header.crc = crc32(&file[CRC_START..size_of::<Header>() + size_of_val(&table[..])]);
    file[..size_of::<Header>()].copy_from_slice(bytes_of(&header));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stored_once() {
        let mut names = Names::default();
        let conv = names.add("conv1");
        assert_eq!(names.add("conv2"), NameRef { offset: 5, len: 5 });
        assert_eq!(names.add("conv1"), conv);
        assert_eq!(names.add(""), NameRef::default());
        assert_eq!(names.bytes, b"conv1conv2");
    }

    #[test]
    fn empty_sections_are_left_out_and_the_rest_is_aligned() {
        let spec = FileSpec { data: Vec::from([1, 2, 3]), contract: String::from("x"), ..Default::default() };
        let bytes = spec.to_bytes();
        let header: Header = bytemuck::pod_read_unaligned(&bytes[..64]);
        assert_eq!((header.sections, header.file_len as usize), (2, bytes.len()));
        assert_eq!(header.crc, crc32(&bytes[16..96]));
        assert_eq!((&bytes[128..131], &bytes[192..]), (&[1, 2, 3][..], &b"x"[..]));
    }
}
