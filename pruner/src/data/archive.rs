//! The zip container of an `.npz` file, read from memory.
//!
//! The directory is parsed here and every number in it is checked against the bytes that are really there.
//! Only the compressed stream of one member reaches the `zip` crate, behind a local header that we write
//! ourselves: its own directory reader panics on an unencrypted member with an AES field, reserves memory for
//! as many members as a file claims, and hands members to decoders that numpy never writes.
//! Format: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14-16 (its end).

use crate::error::{Context, Error, Result};
use npyz::zip::read::read_zipfile_from_stream;
use std::io::Read;

/// Most members that a data set may have; beyond it the file is not what it says.
const MAX_MEMBERS: usize = 1024;
/// DEFLATE turns two bits into at most 258 bytes (RFC 1951, section 3.2.5).
const MAX_RATIO: u64 = 1032;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// One member of the archive, checked against the archive's length.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Name inside the archive, `x.npy`.
    pub name: String,
    /// Bytes after decompression, as claimed.
    pub size: u64,
    method: u16,
    crc: u32,
    data: &'a [u8],
}

/// Lists the members of the archive in `bytes`.
///
/// # Errors
/// Says which part of the container is damaged or not supported.
pub(super) fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>> {
    let (count, mut at) = directory(bytes)?;
    if count > MAX_MEMBERS as u64 {
        return Err(Error::new(format!("the archive claims {count} arrays, more than {MAX_MEMBERS}")));
    }
    let mut members: Vec<Member> = Vec::new();
    let mut held = 0u64;
    for _ in 0..count {
        let (member, next) = entry(bytes, at)?;
        held += member.data.len() as u64;
        if members.iter().any(|m| m.name == member.name) {
            return Err(Error::new(format!("the archive holds `{}` twice", member.name)));
        }
        members.push(member);
        at = next;
    }
    // Members that share bytes would let a small file ask for unbounded work.
    if held > bytes.len() as u64 {
        return Err(damaged("its members overlap"));
    }
    Ok(members)
}

impl<'a> Member<'a> {
    /// Opens the member and hands a reader of its decompressed bytes to `f`. Reading to the end checks the
    /// checksum.
    ///
    /// # Errors
    /// A compression that numpy does not write, and whatever `f` returns.
    pub fn read<T>(&self, f: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        if !matches!(self.method, STORED | DEFLATED) {
            return Err(Error::new(format!("`{}` uses zip compression method {}", self.name, self.method))
                .help("write the file with numpy.savez or numpy.savez_compressed"));
        }
        let packed = self.data.len() as u64;
        let most = if self.method == STORED { packed } else { packed.saturating_mul(MAX_RATIO) };
        if self.size > most {
            return Err(damaged(format!("`{}` claims {} bytes and cannot hold them", self.name, self.size)));
        }
        let header = self.local_header();
        let mut stream = header.as_slice().chain(self.data);
        let mut file = read_zipfile_from_stream(&mut stream)
            .context(format!("cannot open `{}`", self.name))?
            .ok_or_else(|| damaged(format!("`{}` is empty", self.name)))?;
        f(&mut file)
    }

    /// A minimal local header with the sizes in a zip64 field.
    fn local_header(&self) -> Vec<u8> {
        let mut h = Vec::with_capacity(50);
        h.extend(b"PK\x03\x04");
        h.extend([45, 0, 0, 0]);
        h.extend(self.method.to_le_bytes());
        h.extend([0; 4]);
        h.extend(self.crc.to_le_bytes());
        h.extend([0xff; 8]);
        h.extend([0, 0, 20, 0]);
        h.extend([1, 0, 16, 0]);
        h.extend(self.size.to_le_bytes());
        h.extend((self.data.len() as u64).to_le_bytes());
        h
    }
}

/// Number of directory entries and the position of the first.
fn directory(bytes: &[u8]) -> Result<(u64, usize)> {
    const END: usize = 22;
    let none = || {
        Error::new("not an .npz file, or cut short: the zip directory at its end is missing")
            .help("write the file with numpy.savez or numpy.savez_compressed, and copy it whole")
    };
    let last = bytes.len().checked_sub(END).ok_or_else(none)?;
    // The record ends the file, but for a comment whose length it states.
    let end = (last.saturating_sub(0xffff)..=last)
        .rev()
        .find(|&p| {
            bytes[p..].starts_with(b"PK\x05\x06") && u16_at(bytes, p + 20).is_ok_and(|n| p + END + n == bytes.len())
        })
        .ok_or_else(none)?;
    let locator = end.checked_sub(20).filter(|&p| bytes[p..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let at = position(bytes, u64_at(bytes, locator + 8)?)?;
        if !bytes[at..].starts_with(b"PK\x06\x06") {
            return Err(damaged("its zip64 directory end is not where it says"));
        }
        return Ok((u64_at(bytes, at + 32)?, position(bytes, u64_at(bytes, at + 48)?)?));
    }
    Ok((u16_at(bytes, end + 10)? as u64, position(bytes, u32_at(bytes, end + 16)? as u64)?))
}

/// The directory entry at `at`, and the position of the next.
fn entry(bytes: &[u8], at: usize) -> Result<(Member<'_>, usize)> {
    if !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x01\x02")) {
        return Err(damaged("a directory entry is missing"));
    }
    let (flags, method) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?);
    let crc = u32_at(bytes, at + 16)?;
    let [mut packed, mut size] = [u32_at(bytes, at + 20)? as u64, u32_at(bytes, at + 24)? as u64];
    let [name_len, extra_len, comment_len] =
        [u16_at(bytes, at + 28)?, u16_at(bytes, at + 30)?, u16_at(bytes, at + 32)?];
    let mut local = u32_at(bytes, at + 42)? as u64;
    let name = String::from_utf8_lossy(slice(bytes, at + 46, name_len)?).into_owned();
    let extra = slice(bytes, at + 46 + name_len, extra_len)?;
    if flags & 1 != 0 {
        return Err(Error::new(format!("`{name}` is encrypted")).help("write the file with numpy.savez"));
    }
    zip64(extra, [&mut size, &mut packed, &mut local])?;

    let local = position(bytes, local)?;
    if !bytes[local..].starts_with(b"PK\x03\x04") {
        return Err(damaged(format!("`{name}` is not where the directory says")));
    }
    let start = local + 30 + u16_at(bytes, local + 26)? + u16_at(bytes, local + 28)?;
    let packed = usize::try_from(packed).map_err(|_| damaged(format!("`{name}` is larger than the file")))?;
    let data = slice(bytes, start, packed)?;
    let member = Member { name, size, method: method as u16, crc: crc as u32, data };
    Ok((member, at + 46 + name_len + extra_len + comment_len))
}

/// Replaces the values that a 32-bit field could not hold by those of the zip64 field (id 1), in its order.
fn zip64(mut extra: &[u8], values: [&mut u64; 3]) -> Result<()> {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0)?, u16_at(extra, 2)?);
        let body = slice(extra, 4, len)?;
        if id == 1 {
            let mut at = 0;
            for v in values {
                if *v == u32::MAX as u64 {
                    *v = u64_at(body, at)?;
                    at += 8;
                }
            }
            return Ok(());
        }
        extra = &extra[4 + len..];
    }
    Ok(())
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(format!("the zip archive is damaged: {what}")).help("copy or write the file again")
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    at.checked_add(len).and_then(|end| bytes.get(at..end)).ok_or_else(|| damaged("it ends too early"))
}

/// A position that the archive states, if it is inside it.
fn position(bytes: &[u8], at: u64) -> Result<usize> {
    usize::try_from(at).ok().filter(|&p| p < bytes.len()).ok_or_else(|| damaged("it points outside of itself"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u64_le(slice(bytes, at, 2)?) as usize)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u64_le(slice(bytes, at, 4)?) as usize)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64_le(slice(bytes, at, 8)?))
}

fn u64_le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |v, &b| v << 8 | b as u64)
}
