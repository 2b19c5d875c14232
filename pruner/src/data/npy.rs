//! The `.npy` format of numpy (NEP 1, versions 1 to 3): header, element types, conversion to what we use.
//!
//! The header is a Python dict of three keys. It is parsed here, not by `npyz`, whose parser recurses on nested
//! brackets (a header of brackets overflows the stack) and whose arrays trust the shape before the size.

use crate::error::{Context, Error, Result};
use half::f16;
use std::fmt;
use std::io::Read;

/// Longest header read; numpy's own are below 200 bytes and its reader stops at 10 000.
const MAX_HEADER: usize = 1 << 16;
/// Most bytes of one array.
const MAX_BYTES: u64 = 1 << 34;
/// Most axes of an array; numpy's own limit was 32 for most of its life.
const MAX_RANK: usize = 32;
/// Longest text in a column, in bytes of the file.
const MAX_TEXT: usize = 1 << 16;
const MAX_TEXT_CHARS: usize = MAX_TEXT / 4;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One byte, 0 or 1.
    Bool,
    /// Two's complement.
    Int,
    /// Unsigned.
    Uint,
    /// IEEE 754.
    Float,
    /// UCS-4 text, padded with zeros.
    Text,
    /// Bytes, padded with zeros.
    Bytes,
}

/// Element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DType {
    /// What an element is.
    pub kind: Kind,
    /// Bytes of one element.
    pub size: usize,
    /// Most significant byte first.
    big: bool,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Bool => f.write_str("bool"),
            Kind::Int => write!(f, "int{}", self.size * 8),
            Kind::Uint => write!(f, "uint{}", self.size * 8),
            Kind::Float => write!(f, "float{}", self.size * 8),
            Kind::Text => write!(f, "<U{}", self.size / 4),
            Kind::Bytes => write!(f, "|S{}", self.size),
        }
    }
}

impl DType {
    /// Parses `<f4`, `|u1`, `>U7`, ….
    fn parse(descr: &str) -> Result<Self> {
        let refuse = || {
            Error::new(format!("element type `{descr}` is not supported"))
                .help("wanted bool, integers, float16/32/64 or strings; convert with .astype, e.g. .astype(str)")
        };
        let order = descr.chars().next().filter(|c| "<>|=".contains(*c)).ok_or_else(refuse)?;
        let mut rest = descr[1..].chars();
        let kind = rest.next().ok_or_else(refuse)?;
        let size: usize = rest.as_str().parse().map_err(|_| refuse())?;
        let (kind, size) = match (kind, size) {
            ('b', 1) => (Kind::Bool, 1),
            ('i', 1 | 2 | 4 | 8) => (Kind::Int, size),
            ('u', 1 | 2 | 4 | 8) => (Kind::Uint, size),
            ('f', 2 | 4 | 8) => (Kind::Float, size),
            ('U', 1..=MAX_TEXT_CHARS) => (Kind::Text, 4 * size),
            ('S', 1..=MAX_TEXT) => (Kind::Bytes, size),
            _ => return Err(refuse()),
        };
        Ok(DType { kind, size, big: order == '>' })
    }
}

/// One array in memory, in C order.
#[derive(Debug)]
pub(super) struct Array {
    /// How errors call it: ``array `x` ``.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// Reads one array of `size` bytes in all, header included. Nothing is allocated for a shape that
    /// does not fit that size.
    ///
    /// # Errors
    /// Names the array and what is wrong with its header or its length.
    pub fn read(name: String, reader: &mut dyn Read, size: u64) -> Result<Self> {
        let fail = |e: Error| e.prefix(&name);
        let (header, used) = read_header(reader).map_err(fail)?;
        let Header { dtype, fortran, shape } = header;
        // An axis of length 0 must not hide an overflow on the others, so that any product of axes is safe later.
        let bound = shape.iter().try_fold(dtype.size as u64, |n, &d| n.checked_mul((d as u64).max(1)));
        if bound.is_none_or(|n| n > MAX_BYTES) {
            return Err(fail(Error::new(format!("shape {} of {dtype} is too large", Shape(&shape)))));
        }
        let body = shape.iter().fold(dtype.size as u64, |n, &d| n * d as u64);
        let held = size.saturating_sub(used as u64);
        if body != held {
            return Err(fail(
                Error::new(format!("shape {} of {dtype} takes {body} bytes, the file holds {held}", Shape(&shape)))
                    .help("the file is damaged: copy or write it again"),
            ));
        }
        let mut bytes = Vec::new();
        reader.take(body + 1).read_to_end(&mut bytes).context("cannot be read").map_err(fail)?;
        if bytes.len() as u64 != body {
            return Err(fail(Error::new("is cut short").help("the file is damaged: copy or write it again")));
        }
        if fortran {
            bytes = to_c_order(&bytes, &shape, dtype.size);
        }
        Ok(Array { name, dtype, shape, bytes })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for bool, integers and floats.
    pub fn is_number(&self) -> bool {
        !matches!(self.dtype.kind, Kind::Text | Kind::Bytes)
    }

    /// True for an array of `n` values: `[n]`, or `[n, 1]` as some tools write it.
    pub fn is_column(&self, n: usize) -> bool {
        self.shape.first() == Some(&n) && self.shape[1..].iter().all(|&d| d == 1)
    }

    /// An error that names the array with its shape and type, and says what was wanted.
    pub fn wanted(&self, what: impl fmt::Display) -> Error {
        Error::new(format!("{} has shape {} of {}, wanted {what}", self.name, Shape(&self.shape), self.dtype))
    }

    /// Appends `count` elements from `start` on as f32 (rounded to nearest). Elements must be numbers.
    pub fn extend_f32(&self, start: usize, count: usize, out: &mut Vec<f32>) {
        let DType { kind, size, big } = self.dtype;
        let items = self.bytes[start * size..(start + count) * size].chunks_exact(size);
        match (kind, size) {
            (Kind::Float, 2) => out.extend(items.map(|b| f16::from_le_bytes(le(b, big)).to_f32())),
            (Kind::Float, 4) => out.extend(items.map(|b| f32::from_le_bytes(le(b, big)))),
            (Kind::Float, _) => out.extend(items.map(|b| f64::from_le_bytes(le(b, big)) as f32)),
            (Kind::Int, _) => out.extend(items.map(|b| signed(b, big) as f32)),
            _ => out.extend(items.map(|b| unsigned(b, big) as f32)),
        }
    }

    /// Element `i` as an integer, if it is a number without a fraction.
    pub fn integer(&self, i: usize) -> Option<i128> {
        let DType { kind, size, big } = self.dtype;
        let b = &self.bytes[i * size..(i + 1) * size];
        let whole = |v: f64| (v.fract() == 0.0 && v.abs() <= 2f64.powi(53)).then_some(v as i128);
        match (kind, size) {
            (Kind::Bool, _) => Some((b[0] != 0) as i128),
            (Kind::Uint, _) => Some(unsigned(b, big) as i128),
            (Kind::Int, _) => Some(signed(b, big) as i128),
            (Kind::Float, 2) => whole(f16::from_le_bytes(le(b, big)).to_f64()),
            (Kind::Float, 4) => whole(f32::from_le_bytes(le(b, big)) as f64),
            (Kind::Float, _) => whole(f64::from_le_bytes(le(b, big))),
            _ => None,
        }
    }

    /// Whether element `i` is a float that is not a number.
    fn is_nan(&self, i: usize) -> bool {
        let mut value = Vec::with_capacity(1);
        self.extend_f32(i, 1, &mut value);
        value.first().is_some_and(|v| v.is_nan())
    }

    /// Element `i` as text; numbers are written out, booleans are `false` and `true`, a float that is missing is `nan`.
    ///
    /// # Errors
    /// Names the row whose bytes are no text, or whose float is no integer.
    pub fn text(&self, i: usize) -> Result<String> {
        let DType { kind, size, big } = self.dtype;
        let b = &self.bytes[i * size..(i + 1) * size];
        let bad = |what: &str| Error::new(format!("{}: row {i} {what}", self.name));
        match kind {
            Kind::Bool => Ok((b[0] != 0).to_string()),
            Kind::Bytes => {
                let end = b.iter().rposition(|&c| c != 0).map_or(0, |p| p + 1);
                let text = std::str::from_utf8(&b[..end]).map_err(|_| bad("is not UTF-8 text"))?;
                Ok(text.to_owned())
            }
            Kind::Text => {
                let decode = |c: &[u8]| char::from_u32(u32::from_le_bytes(le(c, big)));
                let text: Option<String> = b.chunks_exact(4).map(decode).collect();
                Ok(text.ok_or_else(|| bad("is not Unicode text"))?.trim_end_matches('\0').to_owned())
            }
            Kind::Float if self.is_nan(i) => Ok("nan".to_owned()),
            _ => self.integer(i).map(|v| v.to_string()).ok_or_else(|| {
                bad("holds a number that is no integer")
                    .help("a column names groups: cut it into bands (numpy.digitize), or leave it out of the file")
            }),
        }
    }
}

/// A shape as Python writes it.
pub(super) struct Shape<'a>(pub &'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [n] => write!(f, "({n},)"),
            dims => {
                let dims: Vec<_> = dims.iter().map(usize::to_string).collect();
                write!(f, "({})", dims.join(", "))
            }
        }
    }
}

/// Writes version 1 of the format: header, padded to 64 bytes as numpy does, then `body`.
pub(super) fn write(descr: &str, shape: &[usize], body: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {}, }}", Shape(shape));
    let len = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.extend(std::iter::repeat_n(' ', len - 1 - header.len()));
    header.push('\n');
    let mut out = Vec::with_capacity(10 + len + body.len());
    out.extend(b"\x93NUMPY\x01\x00");
    out.extend((len as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(body);
    out
}

fn le<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
    let mut a = [0; N];
    a.copy_from_slice(bytes);
    if big {
        a.reverse();
    }
    a
}

fn unsigned(bytes: &[u8], big: bool) -> u64 {
    let push = |v: u64, &b: &u8| v << 8 | b as u64;
    if big { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
}

fn signed(bytes: &[u8], big: bool) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    (unsigned(bytes, big) << unused) as i64 >> unused
}

/// Reorders elements of `size` bytes from Fortran order (first axis fastest) to C order (last axis fastest).
fn to_c_order(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    let count: usize = shape.iter().product();
    for _ in 0..count {
        let at = index.iter().zip(shape).rev().fold(0, |at, (i, d)| at * d + i);
        out.extend(&bytes[at * size..(at + 1) * size]);
        for (i, &d) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < d {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// What a header says.
struct Header {
    dtype: DType,
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads magic, version, length and dict. Returns the header and the bytes it took.
fn read_header(reader: &mut dyn Read) -> Result<(Header, usize)> {
    let mut fixed = [0; 8];
    let no_npy = || Error::new("is not in numpy's .npy format").help("write the file with numpy.save or numpy.savez");
    reader.read_exact(&mut fixed).map_err(|_| no_npy())?;
    if &fixed[..6] != b"\x93NUMPY" {
        return Err(no_npy());
    }
    let length_bytes = match fixed[6] {
        1 => 2,
        2 | 3 => 4,
        v => return Err(Error::new(format!("is in version {v} of the .npy format, wanted 1 to 3"))),
    };
    let short = |_| Error::new("has a header that is cut short").help("copy or write the file again");
    let mut length = [0; 4];
    reader.read_exact(&mut length[..length_bytes]).map_err(short)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(Error::new(format!("has a header of {length} bytes, more than {MAX_HEADER}")));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).map_err(short)?;
    Ok((parse_dict(&text)?, 8 + length_bytes + length))
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse_dict(text: &[u8]) -> Result<Header> {
    let bad = || Error::new("has a damaged header").help("write the file with numpy.save or numpy.savez");
    let mut p = Parser(text);
    let (mut dtype, mut fortran, mut shape) = (None, None, None);
    p.eat(b'{').ok_or_else(bad)?;
    while p.eat(b'}').is_none() {
        let key = p.string().ok_or_else(bad)?;
        p.eat(b':').ok_or_else(bad)?;
        match key {
            "descr" if p.next() == Some(b'[') => {
                return Err(Error::new("is a structured array").help("store every field as an array of its own"));
            }
            "descr" => dtype = Some(DType::parse(p.string().ok_or_else(bad)?)?),
            "fortran_order" => fortran = Some(p.boolean().ok_or_else(bad)?),
            "shape" => shape = Some(p.tuple().ok_or_else(bad)?),
            _ => return Err(bad()),
        }
        if p.eat(b',').is_none() && p.next() != Some(b'}') {
            return Err(bad());
        }
    }
    if p.next().is_some() {
        return Err(bad());
    }
    Ok(Header { dtype: dtype.ok_or_else(bad)?, fortran: fortran.ok_or_else(bad)?, shape: shape.ok_or_else(bad)? })
}

/// The rest of a header. Every step skips white space first and returns `None` where it does not match.
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<u8> {
        self.0 = self.0.trim_ascii_start();
        self.0.first().copied()
    }

    fn eat(&mut self, want: u8) -> Option<()> {
        (self.next()? == want).then(|| self.0 = &self.0[1..])
    }

    /// A string without escapes; numpy needs none in these keys and types.
    fn string(&mut self) -> Option<&'a str> {
        let quote = self.next().filter(|c| matches!(c, b'\'' | b'"'))?;
        let end = self.0[1..].iter().position(|&c| c == quote)?;
        let text = std::str::from_utf8(&self.0[1..=end]).ok().filter(|t| t.is_ascii() && !t.contains('\\'))?;
        self.0 = &self.0[end + 2..];
        Some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.next();
        let (value, rest) = match self.0.strip_prefix(b"True") {
            Some(rest) => (true, rest),
            None => (false, self.0.strip_prefix(b"False")?),
        };
        self.0 = rest;
        Some(value)
    }

    /// A tuple of sizes; Python 2 wrote some of them with an L.
    fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut dims = Vec::new();
        self.eat(b'(')?;
        while self.eat(b')').is_none() {
            self.next();
            let digits = self.0.iter().take_while(|c| c.is_ascii_digit()).count();
            let text = std::str::from_utf8(&self.0[..digits]).ok()?;
            dims.push(text.parse().ok()?);
            self.0 = &self.0[digits..];
            self.0 = self.0.strip_prefix(b"L").unwrap_or(self.0);
            if dims.len() > MAX_RANK || (self.eat(b',').is_none() && self.next() != Some(b')')) {
                return None;
            }
        }
        Some(dims)
    }
}
