//! Rows made ready for a network: normalised inputs and labels, on the host.

use super::{Net, floats};
use crate::data::{GroupSet, Rows, batch::Normaliser};
use crate::error::{Error, Result};
use crate::graph::{Graph, Shape};
use crate::progress::Stop;

/// Rows per batch where no gradient is needed: few, so that what layers give each other stays in a core's cache.
const BATCH: usize = 32;

/// Inputs as the network takes them, with their labels.
#[derive(Clone, Debug)]
pub struct Set {
    /// `rows × C·H·W`.
    pub x: Vec<f32>,
    /// Class per row.
    pub y: Vec<usize>,
    width: usize,
}

/// Rows of one split with their groups.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    /// The rows.
    pub set: &'a Set,
    /// Their groups.
    pub groups: &'a GroupSet,
}

impl Set {
    /// Normalises rows for a network.
    ///
    /// # Errors
    /// When the rows have not the shape that the network takes.
    pub fn new(rows: &Rows, norm: &Normaliser, graph: &Graph) -> Result<Self> {
        let mut set = Set::from_array(&rows.sample, &rows.x, norm, graph)?;
        set.y.clone_from(&rows.y);
        Ok(set)
    }

    /// Normalises inputs that have no labels (every `y` is 0).
    ///
    /// # Errors
    /// When the samples have not the shape that the network takes.
    pub fn from_array(sample: &[usize], raw: &[f32], norm: &Normaliser, graph: &Graph) -> Result<Self> {
        check_shape(sample, graph)?;
        let width: usize = sample.iter().product();
        let mut x = Vec::with_capacity(raw.len());
        raw.chunks_exact(width).for_each(|row| norm.apply(row, &mut x));
        Ok(Set { x, y: vec![0; raw.len() / width], width })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }

    /// About `count` rows (all where there are fewer), evenly spread over the set.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        (0..self.len()).step_by((self.len() / count).max(1)).collect()
    }

    /// The inputs of some rows, one after another.
    pub fn gather(&self, rows: &[usize]) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows.len() * self.width);
        rows.iter().for_each(|&r| out.extend_from_slice(&self.x[r * self.width..(r + 1) * self.width]));
        out
    }

    /// Logits of every row, `rows × classes`, from a network on a device without autodiff.
    ///
    /// # Errors
    /// When the user stopped it, or the device failed.
    pub fn logits(&self, net: &Net, stop: &Stop) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.len() * net.graph().output_shape().len());
        for chunk in self.x.chunks(BATCH * self.width) {
            stop.check()?;
            out.extend(floats(net.forward(net.input(chunk.to_vec())))?);
        }
        Ok(out)
    }
}

/// Checks that samples of these dimensions are what the network takes.
///
/// # Errors
/// Gives both shapes.
pub fn check_shape(sample: &[usize], graph: &Graph) -> Result<()> {
    let found = match *sample {
        [c] => Shape::vector(c),
        [c, l] => Shape::new(c, 1, l),
        [c, h, w] => Shape::new(c, h, w),
        _ => return Err(Error::new(format!("samples of rank {} are not supported", sample.len()))),
    };
    let want = graph.input_shape();
    if found == want || (graph.input_rank == 1 && found.len() == want.len()) {
        return Ok(());
    }
    Err(Error::new(format!("array `x` holds samples of shape {found}, the network `{}` takes {want}", graph.name))
        .help("x must be rows × C × L or rows × C × H × W, as the PyTorch network takes it"))
}

/// The class of each row: the largest logit, the first of equal ones.
pub fn classes(logits: &[f32], classes: usize) -> Vec<usize> {
    logits
        .chunks(classes)
        .map(|row| row.iter().enumerate().fold((0, f32::NEG_INFINITY), |b, (i, &v)| if v > b.1 { (i, v) } else { b }).0)
        .collect()
}

#[cfg(test)]
impl Set {
    pub(crate) fn for_test(x: Vec<f32>, y: Vec<usize>, width: usize) -> Self {
        Set { x, y, width }
    }
}
