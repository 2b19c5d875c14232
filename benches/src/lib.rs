//! What the criterion benches in `benches/` share: single operators of known shapes, and lowered networks.

use evenkeel::error::Result;
use evenkeel::graph::Graph;
use evenkeel::graph::norm::fold_batch_norm;
use evenkeel::lower::{Extras, Target, lower};
use evenkeel::net::zoo;
use evenkeel::quant::{Ranges, quantise};
use evenkeel_runtime::format::pack::{Form, Packed, fold_offset, pack};
use evenkeel_runtime::format::{OpRecord, Packing, Requant, encoding, op};
use evenkeel_runtime::kernels::{Columns, Geometry, Kernels, Layer, Native, Weights};

/// The shape of one operator and what to call it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Network and layer.
    pub name: &'static str,
    /// Input and output, H × W × C, and the window.
    pub geometry: Geometry,
    /// Weights of one output channel.
    pub fan_in: usize,
}

/// A convolution with "same" padding.
const fn conv(name: &'static str, size: [usize; 2], from: usize, to: usize, kernel: usize, fan_in: usize) -> Shape {
    let [h, w] = size;
    let geometry = Geometry {
        input: [h, w, from],
        output: [h, w, to],
        kernel: [kernel; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pad: [kernel / 2; 2],
    };
    Shape { name, geometry, fan_in }
}

/// Pointwise convolution of the keyword spotter of MLPerf Tiny.
pub const POINTWISE: Shape = conv("kws pointwise 25x5x64", [25, 5], 64, 64, 1, 64);
/// Its depthwise convolution.
pub const DEPTHWISE: Shape = conv("kws depthwise 3x3 25x5x64", [25, 5], 64, 64, 3, 9);
/// First residual convolution of MLPerf Tiny's image classifier.
pub const CONV3X3: Shape = conv("ic conv 3x3 32x32x16", [32, 32], 16, 16, 3, 144);
/// A fully connected layer of MLPerf Tiny's anomaly detector.
pub const LINEAR: Shape = conv("ad linear 128x128", [1, 1], 128, 128, 1, 128);

/// How the weights of an operator are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// All of them, in rows.
    Rows,
    /// All of them, packed for this machine's kernels.
    Packed,
    /// Likewise, every other block left out.
    Blocks,
}

/// Numbers for one operator: any will do, but they repeat.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its shape.
    pub shape: Shape,
    /// Its input.
    pub input: Vec<i8>,
    /// A scratch for its kernel.
    pub scratch: Vec<u32>,
    code: u16,
    packing: Packing,
    packed: Packed,
    requant: Vec<Requant>,
}

impl Operator {
    /// Fills a shape with numbers. `code` is one of [`op`].
    pub fn new(shape: Shape, code: u16, stored: Stored) -> Self {
        let values = |n: usize| (0..n).map(|i| ((i * 37 + 11) % 255) as u8 as i8).collect::<Vec<i8>>();
        let channels = shape.geometry.output[2];
        let packing = match stored {
            Stored::Rows => Packing::Portable,
            _ => Native::PACKINGS.last().copied().unwrap_or(Packing::Portable),
        };
        let mut weights = values(channels * shape.fan_in);
        let mut requant = vec![Requant { bias: 100, mul: 1 << 22 }; channels];
        let packed = if code == op::DEPTHWISE {
            Packed { encoding: encoding::DENSE, weights, index: Vec::new() }
        } else {
            let tile = packing.tile(code, encoding::BLOCKS8);
            if stored == Stored::Blocks {
                let block = |i: usize| i / shape.fan_in / tile.rows + i % shape.fan_in / tile.step;
                weights.iter_mut().enumerate().filter(|(i, _)| block(*i) % 2 == 1).for_each(|(_, w)| *w = 0);
            }
            fold_offset(packing, &weights, shape.fan_in, &mut requant);
            let form = if stored == Stored::Blocks { Form::Blocks } else { Form::Dense };
            // Fails for matrices of more than 65,536 tiles across, which these are not.
            pack(&weights, shape.fan_in, packing, code, form).unwrap_or_else(|| panic!("{}", shape.name))
        };
        let Geometry { input, output, kernel, stride, dilation, .. } = shape.geometry;
        let [kernel, stride, dilation] = [kernel, stride, dilation].map(|of| of.map(|v| v as u16));
        let record = OpRecord { code, kernel, stride, dilation, encoding: packed.encoding, ..OpRecord::default() };
        let scratch = vec![0; packing.scratch_len(&record, input, output).div_ceil(4)];
        let input = values(input.iter().product());
        Operator { shape, input, scratch, code, packing, packed, requant }
    }

    /// What a kernel takes beside the input.
    pub fn layer(&self) -> Layer<'_> {
        let down = self.requant.len().div_ceil(self.packing.tile(self.code, self.packed.encoding).rows);
        let weights = match self.packed.encoding {
            encoding::BLOCKS8 => {
                let (counts, columns) = self.packed.index.split_at(down * 2);
                Weights::Blocks {
                    counts: bytemuck::cast_slice(counts),
                    columns: Columns::U8(columns),
                    tiles: &self.packed.weights,
                }
            }
            _ => Weights::Dense(&self.packed.weights),
        };
        Layer {
            weights,
            tile: self.packing.tile(self.code, self.packed.encoding),
            packing: self.packing,
            requant: &self.requant,
            left_shift: 0,
            zero_in: 3,
            zero_out: -5,
            lo: -128,
            hi: 127,
        }
    }

    /// A place for the output.
    pub fn output(&self) -> Vec<i8> {
        vec![0; self.shape.geometry.output.iter().product()]
    }

    /// Multiplications of one run, padding counted.
    pub fn macs(&self) -> u64 {
        (self.shape.geometry.output.iter().product::<usize>() * self.shape.fan_in) as u64
    }
}

/// A network of the zoo with its first weights, folded.
///
/// # Errors
/// An architecture that is not there, or does not take such samples.
pub fn network(arch: &str, sample: &[usize]) -> Result<Graph> {
    Ok(fold_batch_norm(zoo::build(arch, sample, 6, 1)?))
}

/// The network's `.keel` file, every activation taken to lie between -4 and 4: what a file costs does not depend on
/// its numbers.
///
/// # Errors
/// When the network cannot be lowered.
pub fn lowered(graph: &Graph) -> Result<Vec<u8>> {
    let mut ranges = Ranges::new(graph);
    for (id, node) in graph.nodes.iter().enumerate() {
        let row: Vec<f32> = (0..node.shape.len()).map(|i| (i % 65) as f32 / 8.0 - 4.0).collect();
        ranges.observe(id, &row);
    }
    Ok(lower(&quantise(graph, &ranges, vec![])?, &Extras::default(), Target::Portable)?.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::Model;

    #[test]
    fn networks_lower_to_models() {
        for (arch, sample) in [("cnn1d", vec![6, 128]), ("dscnn1d", vec![6, 128]), ("resnet8", vec![3, 32, 32])] {
            let graph = network(arch, &sample).unwrap();
            let bytes = lowered(&graph).unwrap();
            assert_eq!(Model::from_bytes(&bytes).unwrap().input().elements(), graph.input_shape().len());
        }
        assert!(network("transformer", &[6, 128]).is_err());
    }
}
