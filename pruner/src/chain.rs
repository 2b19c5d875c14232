//! The chain from a network and its data to a judged file: what the commands share.

use crate::aligned::{AlignedBytes, Line, lines};
use crate::contract::InputNorm;
use crate::data::{self, Data, GroupSet, Rows, batch::Normaliser, parse_groups};
use crate::error::{Context, Error, Result};
use crate::graph::Graph;
use crate::graph::{norm::fold_batch_norm, tail::drop_softmax};
use crate::net::{Net, Set, floats, set};
use crate::onnx;
use crate::progress::Stop;
use crate::quant::{QGraph, Ranges, from_marks, quantise};
use burn::tensor::Device;
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{InputChannel, Packing, repack_model};
use evenkeel_runtime::kernels::{Kernels, Native};
use evenkeel_runtime::monitor::Config;
use evenkeel_runtime::preprocess::{normalise_input, quantise_input};
use evenkeel_runtime::{FloatSession, Model, Session};
use rayon::prelude::*;
use std::path::Path;

/// Training rows that the activations' ranges are measured on.
const CALIBRATION_ROWS: usize = 1024;

/// A network ready for the chain: normalisation folded, softmax (which changes no class) dropped.
///
/// # Errors
/// Names the file and the node.
pub fn load_network(path: &Path) -> Result<Graph> {
    Ok(fold_batch_norm(drop_softmax(onnx::load(path)?).0))
}

/// A network that is quantised already, with every scale as its file has it; `None` where the file is not quantised.
///
/// # Errors
/// Names the file and the node.
pub fn load_quantised(path: &Path, input: &InputNorm) -> Result<Option<QGraph>> {
    let marked = onnx::load_quantised(path)?;
    marked.map(|m| from_marks(&m, input_channels(input)).map_err(|e| e.at(path))).transpose()
}

/// Data, normalised for a network, with the contract's groups.
pub struct Prepared {
    /// The data; its verdict split is still closed.
    pub data: Data,
    /// How raw values become inputs.
    pub norm: Normaliser,
    /// Training rows.
    pub train: Set,
    /// Selection rows.
    pub select: Set,
    /// Groups of the training rows.
    pub train_groups: GroupSet,
    /// Groups of the selection rows.
    pub select_groups: GroupSet,
}

impl Prepared {
    /// Loads a data set for a network.
    ///
    /// # Errors
    /// Names the file, and what does not fit the network or the groups.
    pub fn load(path: &Path, graph: &Graph, input: &InputNorm, groups: &[String]) -> Result<Self> {
        Self::new(data::load(path)?, graph, input, groups).map_err(|e| e.at(path))
    }

    /// Prepares data for a network.
    ///
    /// # Errors
    /// Says what does not fit the network or the groups.
    pub fn new(data: Data, graph: &Graph, input: &InputNorm, groups: &[String]) -> Result<Self> {
        let classes = graph.output_shape().len();
        if data.train.classes > classes {
            return Err(Error::new(format!(
                "array `y` has classes up to {}, the network has {classes} outputs",
                data.train.classes - 1
            ))
            .help("check that network and data belong together, and that classes are numbered from 0"));
        }
        for (name, rows) in [("train", &data.train), ("val", &data.select)] {
            if rows.is_empty() {
                return Err(Error::new(format!("array `split` has no row `{name}`"))
                    .help("split must hold train, val and test"));
            }
        }
        let norm = Normaliser::new(input, &data.train.sample)?;
        let train_groups = parse_groups(&data.train, groups)?;
        let select_groups = parse_groups(&data.select, groups)?;
        let (train, select) = (Set::new(&data.train, &norm, graph)?, Set::new(&data.select, &norm, graph)?);
        Ok(Prepared { data, norm, train, select, train_groups, select_groups })
    }
}

/// The normalisation as the file carries it, per channel or one for all.
pub fn input_channels(input: &InputNorm) -> Vec<InputChannel> {
    let n = input.mean.len().max(input.std.len());
    let at = |v: &[f32], i: usize| v[i.min(v.len() - 1)];
    (0..n).map(|i| InputChannel { scale: input.scale, mean: at(&input.mean, i), std: at(&input.std, i) }).collect()
}

/// Calibrates on training rows and quantises.
///
/// # Errors
/// Names the layer that cannot be quantised.
pub fn quantised(graph: &Graph, calibration: &Set, input: &InputNorm, device: &Device) -> Result<QGraph> {
    let net = Net::new(graph, device);
    let rows = calibration.spread(CALIBRATION_ROWS);
    let mut ranges = Ranges::new(graph);
    for rows in rows.chunks(64) {
        for (id, value) in net.forward_all(net.input(calibration.gather(rows))).into_iter().enumerate() {
            let per_row = graph.nodes[id].shape.len();
            floats(value)?.chunks(per_row).for_each(|row| ranges.observe(id, row));
        }
    }
    quantise(graph, &ranges, input_channels(input))
}

/// Opens a `.keel` that is already in memory or mapped.
///
/// # Errors
/// Names the file and what is wrong in it.
pub fn open<'b>(bytes: &'b [u8], path: &Path) -> Result<Model<'b>> {
    let model = Model::from_bytes(bytes);
    // What the file states about the field is checked where a monitor is configured; here that is told at once.
    model
        .and_then(|model| Config::of(&model).map(|_| model))
        .map_err(|e| Error::new(e).at(path).help("make the file again with `evenkeel prune` or `evenkeel compile`"))
}

/// Multiply-accumulates of one inference, as budgets count them.
pub fn macs(model: &Model) -> u64 {
    (0..model.ops().len()).map(|i| model.macs(i)).sum()
}

/// Rows in an array of this shape, for a file: its first axis, or one where the array is a single sample.
///
/// # Errors
/// When the samples have not the size that the file takes.
pub fn rows_of(model: &Model, shape: &[usize]) -> Result<usize> {
    let width = model.input().elements();
    let sample: usize = shape.iter().skip(1).product();
    match shape.first() {
        Some(&rows) if shape.len() > 1 && sample == width && rows > 0 => Ok(rows),
        _ if shape.iter().product::<usize>() == width => Ok(1),
        _ => {
            let i = model.input();
            Err(Error::new(format!("an array of shape {shape:?} holds no samples of {}×{}×{}", i.c, i.h, i.w))
                .help("the rows come first: rows × C × L, rows × C × H × W, or one sample alone"))
        }
    }
}

/// An arena for a model, aligned as sessions want it; cast it to bytes.
pub fn arena(model: &Model) -> Vec<Line> {
    lines(model.arena_len())
}

/// Raw inputs for a file or a network, with their shape, the rows first: of a data set with splits what `split` takes
/// (dimensions of a sample, then values), of any other `.npz` its array `name`, of a `.npy` what it holds.
///
/// # Errors
/// Names the file and what is wrong in it.
pub fn load_inputs(
    path: &Path,
    name: &str,
    split: fn(Data) -> (Vec<usize>, Vec<f32>),
) -> Result<(Vec<usize>, Vec<f32>)> {
    if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
        return data::load_array(path, None);
    }
    match data::load(path).map(split) {
        Ok((sample, x)) => {
            let width: usize = sample.iter().product();
            Ok(([&[x.len() / width.max(1)], &sample[..]].concat(), x))
        }
        Err(with_splits) => data::load_array(path, Some(name)).map_err(|_| with_splits),
    }
}

/// The model packed for this host's kernels, which give the same bytes whatever the packing.
///
/// # Errors
/// Float models; none for other models that tools of this project made.
pub fn packed_for_host(model: &Model) -> Result<AlignedBytes> {
    // Every kernel set has one that it is made for.
    let packing = Native::PACKINGS.last().copied().unwrap_or(Packing::Portable);
    let bytes = repack_model(model, packing, |_, _| Form::Dense).context("cannot pack the model for this host")?;
    Ok(AlignedBytes::new(&bytes))
}

/// Outputs of an int8 file for raw rows in the user's order, `rows × outputs`, through the runtime.
///
/// # Errors
/// When the rows have not the shape that the file takes, or the file computes in floats.
pub fn int8_outputs(model: &Model, x: &[f32], width: usize) -> Result<Vec<i8>> {
    let packed = packed_for_host(model)?;
    let model = &Model::from_bytes(packed.bytes()).context("packed for this host")?;
    let out_len = model.output().elements();
    in_parallel(model, x, width, |x, y| {
        let mut arena = arena(model);
        let mut session =
            Session::new(model, bytemuck::cast_slice_mut(&mut arena)).context("cannot start a session")?;
        for (y, x) in y.chunks_mut(out_len).zip(x.chunks(width)) {
            quantise_input(model, x, session.input_mut()).context("input")?;
            session.run();
            y.copy_from_slice(session.output());
        }
        Ok(())
    })
}

/// Outputs of any file for raw rows in the user's order, as real numbers, `rows × outputs`, through the runtime.
///
/// # Errors
/// When the rows have not the shape that the file takes.
pub fn outputs(model: &Model, x: &[f32], width: usize) -> Result<Vec<f32>> {
    if !model.dtype().is_float() {
        return Ok(real(model, &int8_outputs(model, x, width)?));
    }
    let out = model.output();
    in_parallel(model, x, width, |x, y| {
        let mut arena = float_arena(model);
        let mut session = FloatSession::new(model, &mut arena).context("cannot start a session")?;
        for (y, x) in y.chunks_mut(out.elements()).zip(x.chunks(width)) {
            normalise_input(model, x, session.input_mut()).context("input")?;
            session.run();
            y.copy_from_slice(session.output());
        }
        Ok(())
    })
}

/// Outputs of an int8 file as real numbers.
pub fn real(model: &Model, outputs: &[i8]) -> Vec<f32> {
    let out = model.output();
    outputs.iter().map(|&q| out.scale * (i32::from(q) - out.zero) as f32).collect()
}

/// An arena for a float model, with room for the fast kernels.
pub fn float_arena(model: &Model) -> Vec<f32> {
    vec![0.0; FloatSession::fast_arena_len(model)]
}

/// Lets `run` fill the outputs of runs of rows, on all cores.
fn in_parallel<T: Clone + Default + Send>(
    model: &Model,
    x: &[f32],
    width: usize,
    run: impl Fn(&[f32], &mut [T]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let (input, out_len) = (model.input(), model.output().elements());
    if width != input.elements() {
        return Err(Error::new(format!(
            "samples have {width} values, the model takes {} ({}×{}×{})",
            input.elements(),
            input.c,
            input.h,
            input.w
        )));
    }
    let rows = x.len() / width;
    let mut y = vec![T::default(); rows * out_len];
    let per_task = rows.div_ceil(rayon::current_num_threads() * 4).max(1);
    y.par_chunks_mut(per_task * out_len).zip(x.par_chunks(per_task * width)).try_for_each(|(y, x)| run(x, y))?;
    Ok(y)
}

/// Classes that an int8 file gives raw rows.
///
/// # Errors
/// As [`int8_outputs`].
pub fn int8_classes(model: &Model, rows: &Rows) -> Result<Vec<usize>> {
    let y: Vec<f32> = int8_outputs(model, &rows.x, rows.width())?.into_iter().map(f32::from).collect();
    Ok(set::classes(&y, model.output().elements()))
}

/// Outputs of an f32 network for raw rows, `rows × outputs`.
///
/// # Errors
/// When the rows have not the shape that the network takes.
pub fn f32_outputs(graph: &Graph, rows: &Rows, input: &InputNorm, device: &Device) -> Result<Vec<f32>> {
    let set = Set::new(rows, &Normaliser::new(input, &rows.sample)?, graph)?;
    set.logits(&Net::new(graph, device), &Stop::default())
}

/// Classes that an f32 network gives raw rows.
///
/// # Errors
/// When the rows have not the shape that the network takes.
pub fn f32_classes(graph: &Graph, rows: &Rows, input: &InputNorm, device: &Device) -> Result<Vec<usize>> {
    Ok(set::classes(&f32_outputs(graph, rows, input, device)?, graph.output_shape().len()))
}
