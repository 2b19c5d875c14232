//! Data sets as `.npz` files: reading them into splits, writing them, and reading single arrays.

use super::archive::{Member, members};
use super::groups::{UNKNOWN, is_unknown};
use super::npy::{self, Array};
use super::{Column, Data, Rows, VerdictSplit};
use crate::error::{Context, Error, Result};
use crate::files;
use npyz::zip::{CompressionMethod, DateTime, ZipWriter, write::FileOptions};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

/// Most classes; a larger label is a mistake (an identifier, a regression target).
const MAX_CLASSES: i128 = 4096;

/// Reads `.npz` bytes as [`load`](super::load) reads a file.
///
/// # Errors
/// Names the array, the shape or type found and the one wanted.
pub fn load_bytes(bytes: &[u8]) -> Result<Data> {
    let members = members(bytes)?;
    let x = samples(array(&members, "x")?)?;
    let n = x.shape[0];
    let y = labels(&column_array(&members, "y", n)?)?;
    let split = splits(&column_array(&members, "split", n)?)?;
    let mut columns = BTreeMap::new();
    for name in names(&members).filter(|n| !matches!(*n, "x" | "y" | "split")) {
        columns.insert(name.to_owned(), column(&column_array(&members, name, n)?)?);
    }
    columns.entry(CLASS.to_owned()).or_insert_with(|| classes_column(&y));
    let classes = y.iter().max().map_or(0, |m| m + 1);
    let part = |which: usize| -> Result<Rows> {
        let rows: Vec<usize> = (0..n).filter(|&i| split[i] == which).collect();
        Ok(Rows {
            sample: x.shape[1..].to_vec(),
            x: gather(&x, &rows)?,
            y: rows.iter().map(|&i| y[i]).collect(),
            classes,
            columns: columns.iter().map(|(name, c)| (name.clone(), c.subset(&rows))).collect(),
        })
    };
    Ok(Data { train: part(0)?, select: part(1)?, verdict: VerdictSplit(part(2)?) })
}

/// Reads a data set from a file.
pub(super) fn load(path: &Path) -> Result<Data> {
    read(path).and_then(|bytes| load_bytes(&bytes)).map_err(|e| e.at(path))
}

/// Reads one array of numbers from a `.npy` file, or from an `.npz` file: the array `name`, else the one called
/// `x`, else the only one. Returns its shape and its elements as f32 in C order.
///
/// # Errors
/// Names the file, the array, and the type found where it is not a number, or the element that is not finite.
pub fn load_array(path: &Path, name: Option<&str>) -> Result<(Vec<usize>, Vec<f32>)> {
    read(path).and_then(|bytes| array_from_bytes(&bytes, name)).map_err(|e| e.at(path))
}

/// Reads one array of numbers from the bytes of a `.npy` or `.npz` file, as [`load_array`] does.
///
/// # Errors
/// As [`load_array`], without the file.
pub fn array_from_bytes(bytes: &[u8], name: Option<&str>) -> Result<(Vec<usize>, Vec<f32>)> {
    let a = if bytes.starts_with(b"\x93NUMPY") {
        Array::read("the array".into(), &mut &bytes[..], bytes.len() as u64)?
    } else {
        let members = members(bytes)?;
        let all: Vec<&str> = names(&members).collect();
        let chosen = match (name, all.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, all) if all.contains(&"x") => "x",
            (None, all) => {
                return Err(Error::new("the file holds no array `x`")
                    .help(format!("say which array to take; it holds {}", list(all.iter()))));
            }
        };
        array(&members, chosen)?
    };
    if !a.is_number() {
        return Err(a.wanted("numbers"));
    }
    let mut out = Vec::new();
    a.extend_f32(0, a.len(), &mut out);
    match out.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::new(format!("{}: element {i} is {}", a.name, out[i])).help(MISSING)),
        None => Ok((a.shape, out)),
    }
}

/// Column of the labels, where the file has no column of this name.
const CLASS: &str = "class";

const MISSING: &str = "fill in or leave out missing values before saving (numpy.isfinite finds them)";

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).context("cannot read the file")
}

/// Names of the arrays: members that end in `.npy`, as numpy has it.
fn names<'a>(members: &'a [Member]) -> impl Iterator<Item = &'a str> {
    members.iter().filter_map(|m| m.name.strip_suffix(".npy"))
}

fn list<S: AsRef<str>>(names: impl Iterator<Item = S>) -> String {
    let names: Vec<String> = names.map(|n| format!("`{}`", n.as_ref())).collect();
    if names.is_empty() { "no array".into() } else { names.join(", ") }
}

fn array(members: &[Member], name: &str) -> Result<Array> {
    let member = members.iter().find(|m| m.name.strip_suffix(".npy") == Some(name)).ok_or_else(|| {
        let found = list(names(members));
        let help = match name {
            "split" => {
                "add an array of `train`, `val` and `test`, one per row; put all rows of a person in the same split"
            }
            "x" | "y" => "a data set has the arrays x (samples), y (class indices), split, and columns with the groups",
            _ => "check the name",
        };
        Error::new(format!("array `{name}` is missing, the file holds {found}")).help(help)
    })?;
    let name = format!("array `{name}`");
    member.read(|r| Array::read(name.clone(), r, member.size)).map_err(|e| {
        // Errors of the container name the member only by its path in the archive.
        if e.to_string().contains(&name) { e } else { e.prefix(&name) }
    })
}

/// An array with one value for each of `n` rows.
fn column_array(members: &[Member], name: &str, n: usize) -> Result<Array> {
    let a = array(members, name)?;
    if a.is_column(n) {
        return Ok(a);
    }
    Err(a.wanted(format!("({n},): one value for each row of `x`")).help(match name {
        "y" | "split" => "x, y and split belong together row by row: save them anew from the same rows",
        _ => "save it with the same rows as x; leave arrays that are not columns out of the file",
    }))
}

fn samples(x: Array) -> Result<Array> {
    let wanted = "numbers of rank 2 to 4 with the rows first: (N, F), (N, C, L) or (N, C, H, W)";
    if !(2..=4).contains(&x.shape.len()) || !x.is_number() {
        return Err(x.wanted(wanted));
    }
    if x.shape.contains(&0) {
        return Err(x.wanted("at least one row, and samples that are not empty"));
    }
    Ok(x)
}

/// The samples of `rows`, checked for missing values.
fn gather(x: &Array, rows: &[usize]) -> Result<Vec<f32>> {
    let width: usize = x.shape[1..].iter().product();
    let mut out = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        let at = out.len();
        x.extend_f32(row * width, width, &mut out);
        if let Some(v) = out[at..].iter().find(|v| !v.is_finite()) {
            return Err(Error::new(format!("{}: row {row} holds {v}", x.name)).help(MISSING));
        }
    }
    Ok(out)
}

fn labels(y: &Array) -> Result<Vec<usize>> {
    if !y.is_number() {
        return Err(y
            .wanted("class indices 0, 1, …")
            .help("turn names into indices with `names, y = numpy.unique(labels, return_inverse=True)`"));
    }
    let label = |i| match y.integer(i) {
        Some(v @ 0..MAX_CLASSES) => Ok(v as usize),
        Some(v) => Err(Error::new(format!("{}: row {i} holds class {v}", y.name))
            .help(format!("classes are numbered from 0 and end below {MAX_CLASSES}"))),
        None => Err(Error::new(format!("{}: row {i} holds a number that is no integer", y.name))
            .help("y holds class indices 0, 1, …; regression is not supported")),
    };
    (0..y.len()).map(label).collect()
}

/// Per row 0 (train), 1 (selection) or 2 (verdict).
fn splits(split: &Array) -> Result<Vec<usize>> {
    let of = |i| {
        let text = split.text(i)?;
        match text.trim().to_ascii_lowercase().as_str() {
            "train" | "0" => Ok(0),
            "val" | "valid" | "validation" | "select" | "1" => Ok(1),
            "test" | "verdict" | "2" => Ok(2),
            _ => Err(Error::new(format!("{}: row {i} holds `{text}`", split.name))
                .help("a row belongs to `train`, `val` or `test` (or 0, 1, 2)")),
        }
    };
    (0..split.len()).map(of).collect()
}

/// The label itself as a column.
fn classes_column(y: &[usize]) -> Column {
    let classes: std::collections::BTreeSet<usize> = y.iter().copied().collect();
    let codes: BTreeMap<usize, u32> = classes.iter().copied().zip(0..).collect();
    Column { values: classes.iter().map(usize::to_string).collect(), codes: y.iter().map(|y| codes[y]).collect() }
}

/// Encodes a column: its distinct values, sorted (numbers by value), and a code per row. All ways to write that a value
/// is missing are one value, [`UNKNOWN`].
fn column(a: &Array) -> Result<Column> {
    let known = |text: String| if is_unknown(&text) { UNKNOWN.to_owned() } else { text };
    let texts = (0..a.len()).map(|i| a.text(i).map(known)).collect::<Result<Vec<_>>>()?;
    let number = |t: &str| if a.is_number() { t.parse::<i128>().ok() } else { None };
    let mut values: Vec<&str> = texts.iter().map(String::as_str).collect();
    values.sort_unstable();
    values.dedup();
    values.sort_by_key(|t| number(t));
    let codes: BTreeMap<&str, u32> = values.iter().copied().zip(0..).collect();
    Ok(Column {
        codes: texts.iter().map(|t| codes[t.as_str()]).collect(),
        values: values.iter().map(|v| v.to_string()).collect(),
    })
}

/// A column to save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Names, saved as `<U`.
    Text(Vec<String>),
    /// Numbers, saved as int64.
    Int(Vec<i64>),
}

/// What a data set file holds, before it is split.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Dimensions of one sample, without the row axis.
    pub sample: Vec<usize>,
    /// `rows × sample`.
    pub x: Vec<f32>,
    /// Class index per row.
    pub y: Vec<usize>,
    /// `train`, `val` or `test` per row.
    pub split: Vec<&'static str>,
    /// Columns in the order in which they are saved.
    pub columns: Vec<(String, Values)>,
}

/// Saves a data set that [`load`](super::load) reads; the same parts give the same bytes. The file appears whole
/// or not at all.
///
/// # Errors
/// Names the file and what failed, or the part whose length does not fit.
pub fn save(path: &Path, parts: &Parts) -> Result<()> {
    let bytes = to_bytes(parts).map_err(|e| e.at(path))?;
    files::write(path, &bytes)
}

/// The bytes that [`save`] writes: a zip archive without compression and with fixed times.
///
/// # Errors
/// Names the part whose length does not fit.
pub fn to_bytes(parts: &Parts) -> Result<Vec<u8>> {
    let n = parts.y.len();
    let check = |name: &str, found: usize, wanted: usize| {
        if found == wanted { Ok(()) } else { Err(Error::new(format!("`{name}` has {found} values, wanted {wanted}"))) }
    };
    check("x", parts.x.len(), n * parts.sample.iter().product::<usize>())?;
    check("split", parts.split.len(), n)?;

    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, array: Vec<u8>| -> Result<()> {
        let options = FileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(array.len() > u32::MAX as usize);
        zip.start_file(format!("{name}.npy"), options).context("cannot write the archive")?;
        zip.write_all(&array).context("cannot write the archive")
    };
    let shape: Vec<usize> = std::iter::once(n).chain(parts.sample.iter().copied()).collect();
    let x: Vec<u8> = parts.x.iter().flat_map(|v| v.to_le_bytes()).collect();
    put("x", npy::write("<f4", &shape, &x))?;
    put("y", integers(parts.y.iter().map(|&v| v as i64)))?;
    for (name, values) in &parts.columns {
        let (array, len) = match values {
            Values::Text(v) => (texts(v), v.len()),
            Values::Int(v) => (integers(v.iter().copied()), v.len()),
        };
        check(name, len, n)?;
        put(name, array)?;
    }
    put("split", texts(&parts.split))?;
    Ok(zip.finish().context("cannot write the archive")?.into_inner())
}

fn integers(values: impl ExactSizeIterator<Item = i64>) -> Vec<u8> {
    let n = values.len();
    npy::write("<i8", &[n], &values.flat_map(i64::to_le_bytes).collect::<Vec<u8>>())
}

fn texts(values: &[impl AsRef<str>]) -> Vec<u8> {
    let width = values.iter().map(|v| v.as_ref().chars().count()).max().unwrap_or(0).max(1);
    let padded = |v: &str| v.chars().map(u32::from).chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>();
    let body: Vec<u8> = values.iter().flat_map(|v| padded(v.as_ref())).flat_map(u32::to_le_bytes).collect();
    npy::write(&format!("<U{width}"), &[values.len()], &body)
}
