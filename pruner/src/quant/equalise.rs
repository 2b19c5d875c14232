//! One scale for input channels of different units: gains on the channels, taken back in the first layer's weights.
//!
//! A gyroscope in rad/s beside an accelerometer in g would leave the smaller one a few of the 256 steps. The
//! normalisation that the file states per channel can hold a gain for free, and a layer that reads the input directly
//! takes it back exactly (the input end of cross-layer equalisation, Nagel et al., Data-Free Quantization Through
//! Weight Equalization and Bias Correction, ICCV 2019).

use super::Ranges;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use evenkeel_runtime::format::InputChannel;

/// Most channels that get a gain; each takes 12 bytes of the file.
const MAX_CHANNELS: usize = 64;

/// How many records of input normalisation the file of `graph` has when the user gives `given`. Shapes decide.
pub(crate) fn records(graph: &Graph, given: usize) -> usize {
    if applies(graph) { graph.input_shape().c } else { given }
}

/// There are several channels, and only layers with weights read them.
fn applies(graph: &Graph) -> bool {
    let readers = graph.consumers();
    let layers = |id: NodeId| matches!(graph.nodes[id].op, Op::Conv(_) | Op::Linear(_));
    (2..=MAX_CHANNELS).contains(&graph.input_shape().c)
        && graph.output != 0
        && readers[0].iter().all(|&id| match graph.nodes[id].op {
            Op::Flatten => id != graph.output && readers[id].iter().all(|&id| layers(id)),
            _ => layers(id),
        })
}

/// A graph whose input channels take ranges alike.
pub(super) struct Equalised {
    /// With the gains taken back behind the input.
    pub graph: Graph,
    /// With the gains in the standard deviations; one per channel.
    pub norm: Vec<InputChannel>,
    /// The range of all channels.
    pub range: (f32, f32),
}

/// Gives every channel the largest channel's range; `None` where the graph does not allow it.
pub(super) fn equalise(graph: &Graph, ranges: &Ranges, norm: &[InputChannel]) -> Result<Option<Equalised>> {
    if !applies(graph) {
        return Ok(None);
    }
    let channels = ranges.channels()?;
    let size = |r: &(f32, f32)| r.1.max(-r.0);
    let largest = channels.iter().map(size).fold(0f32, f32::max);
    // A channel that was always zero, or as good as, stays what it is.
    let gain = |r: &(f32, f32)| if size(r) > largest * 1e-6 { largest / size(r) } else { 1.0 };
    let gains: Vec<f32> = channels.iter().map(gain).collect();

    let identity = InputChannel { scale: 1.0, mean: 0.0, std: 1.0 };
    let norm = gains.iter().enumerate().map(|(c, gain)| {
        let n = norm.get(c).or(norm.first()).unwrap_or(&identity);
        InputChannel { std: n.std / gain, ..*n }
    });
    let ends = channels.iter().zip(&gains).map(|(r, gain)| (r.0 * gain, r.1 * gain));
    let range = ends.fold((0f32, 0f32), |a, r| (a.0.min(r.0), a.1.max(r.1)));

    let mut graph = graph.clone();
    let plane = graph.input_shape().h * graph.input_shape().w;
    let reads_input = |graph: &Graph, id: NodeId| {
        let from = graph.nodes[id].inputs.first();
        from.is_some_and(|&from| from == 0 || (graph.nodes[from].op == Op::Flatten && graph.nodes[from].inputs[0] == 0))
    };
    for id in 1..graph.nodes.len() {
        if !reads_input(&graph, id) {
            continue;
        }
        match &mut graph.nodes[id].op {
            Op::Conv(conv) => {
                let (taps, per_group) = (conv.window.taps(), conv.out / conv.groups);
                for (i, filter) in conv.weight.chunks_exact_mut(taps).enumerate() {
                    let (out, inp) = (i / conv.inp, i % conv.inp);
                    let gain = gains[out / per_group * conv.inp + inp];
                    filter.iter_mut().for_each(|w| *w /= gain);
                }
            }
            Op::Linear(linear) => {
                let inp = linear.inp;
                linear.weight.iter_mut().enumerate().for_each(|(i, w)| *w /= gains[i % inp / plane]);
            }
            _ => {}
        }
    }
    Ok(Some(Equalised { norm: norm.collect(), range, graph }))
}
