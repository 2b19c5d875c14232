//! A small zoo of networks that fit microcontrollers, with seeded random weights.

use crate::error::{Error, Result};
use crate::graph::{BatchNorm, Conv, Graph, Linear, Node, NodeId, Op, Shape, Window};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// An architecture of the zoo.
pub struct Arch {
    /// What `--arch` takes.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
}

/// All architectures.
pub const ARCHS: &[Arch] = &[
    Arch { name: "cnn1d", about: "three convolutions with pooling, for sensor windows (C × L)" },
    Arch { name: "dscnn1d", about: "depthwise-separable convolutions, for sensor windows and audio features (C × L)" },
    Arch { name: "resnet1d", about: "three residual blocks, for waveforms such as ECG (C × L)" },
    Arch { name: "resnet8", about: "the ResNet-8 of MLPerf Tiny, for small images (C × H × W)" },
    Arch { name: "mlp", about: "two hidden layers, for feature vectors (F), or any sample flattened" },
];

/// Builds an untrained network.
///
/// # Errors
/// An unknown name, or a sample shape that the architecture does not take.
pub fn build(arch: &str, sample: &[usize], classes: usize, seed: u64) -> Result<Graph> {
    let input = match *sample {
        [c] => Shape::vector(c),
        [c, l] => Shape::new(c, 1, l),
        [c, h, w] => Shape::new(c, h, w),
        _ => return Err(Error::new(format!("samples of rank {} are not supported", sample.len()))),
    };
    let fits = match arch {
        "cnn1d" | "dscnn1d" | "resnet1d" => sample.len() == 2 && input.w >= 16,
        "resnet8" => sample.len() == 3 && input.h >= 8 && input.w >= 8,
        "mlp" => true,
        _ => {
            let names: Vec<_> = ARCHS.iter().map(|a| a.name).collect();
            return Err(Error::new(format!("there is no architecture `{arch}`"))
                .help(format!("choose from {}", names.join(", "))));
        }
    };
    if !fits {
        return Err(Error::new(format!("architecture `{arch}` does not take samples of shape {input}"))
            .help("1-D networks take C × L with L ≥ 16, resnet8 takes C × H × W with H, W ≥ 8, mlp takes anything"));
    }
    let mut b = Builder {
        graph: Graph { name: arch.to_owned(), input_rank: sample.len(), nodes: vec![], output: 0 },
        rng: ChaCha8Rng::seed_from_u64(seed),
    };
    let x = b.push("input", Op::Input, &[], input);
    let out = match arch {
        "cnn1d" => {
            let x = b.conv_block("conv1", x, 32, [1, 9], 1, false);
            let x = b.max_pool("pool1", x);
            let x = b.conv_block("conv2", x, 64, [1, 5], 1, false);
            let x = b.max_pool("pool2", x);
            b.conv_block("conv3", x, 64, [1, 3], 1, false)
        }
        "dscnn1d" => {
            let mut x = b.conv_block("stem", x, 64, [1, 9], 2, false);
            for i in 1..=4 {
                x = b.conv_block(&format!("dw{i}"), x, 64, [1, 5], 1, true);
                x = b.conv_block(&format!("pw{i}"), x, 64, [1, 1], 1, false);
            }
            x
        }
        "resnet1d" => {
            let x = b.conv_block("stem", x, 16, [1, 7], 2, false);
            let x = b.residual("block1", x, 16, [1, 5], 1);
            let x = b.residual("block2", x, 32, [1, 5], 2);
            b.residual("block3", x, 64, [1, 5], 2)
        }
        "resnet8" => {
            let x = b.conv_block("stem", x, 16, [3, 3], 1, false);
            let x = b.residual("block1", x, 16, [3, 3], 1);
            let x = b.residual("block2", x, 32, [3, 3], 2);
            b.residual("block3", x, 64, [3, 3], 2)
        }
        _ => {
            let mut x = b.push("flatten", Op::Flatten, &[x], Shape::vector(input.len()));
            for i in 1..=2 {
                x = b.linear(&format!("fc{i}"), x, 64);
                x = b.relu(&format!("relu{i}"), x);
            }
            x
        }
    };
    let features = b.graph.nodes[out].shape;
    let out = match arch {
        "mlp" => out,
        _ => {
            let p = b.push("pool", Op::GlobalAvgPool, &[out], Shape::vector(features.c));
            b.push("flatten", Op::Flatten, &[p], Shape::vector(features.c))
        }
    };
    b.graph.output = b.linear("fc", out, classes);
    Ok(b.graph)
}

struct Builder {
    graph: Graph,
    rng: ChaCha8Rng,
}

impl Builder {
    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: Shape) -> NodeId {
        self.graph.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape });
        self.graph.nodes.len() - 1
    }

    /// Kaiming-uniform weights, as PyTorch begins with.
    fn weights(&mut self, n: usize, fan_in: usize) -> Vec<f32> {
        let bound = (6.0 / fan_in as f32).sqrt();
        (0..n).map(|_| self.rng.random_range(-bound..bound)).collect()
    }

    fn relu(&mut self, name: &str, x: NodeId) -> NodeId {
        let shape = self.graph.nodes[x].shape;
        self.push(name, Op::Clip { lo: 0.0, hi: f32::INFINITY }, &[x], shape)
    }

    fn conv_norm(
        &mut self,
        name: &str,
        x: NodeId,
        out: usize,
        kernel: [usize; 2],
        stride: usize,
        depthwise: bool,
    ) -> NodeId {
        let s = self.graph.nodes[x].shape;
        let (pt, pl) = (kernel[0] / 2, kernel[1] / 2);
        let window = Window {
            kernel,
            stride: [if s.h > 1 { stride } else { 1 }, stride],
            dilation: [1, 1],
            pad: [pt, pl, pt, pl],
        };
        let (groups, inp) = if depthwise { (s.c, 1) } else { (1, s.c) };
        let weight = self.weights(out * inp * window.taps(), inp * window.taps());
        // The shapes were checked before: every window of the zoo fits.
        let (h, w) = window.output(s.h, s.w).unwrap_or((1, 1));
        let shape = Shape::new(out, h, w);
        let conv = Conv { out, inp, groups, window, weight, bias: vec![0.0; out] };
        let c = self.push(name, Op::Conv(conv), &[x], shape);
        let bn = BatchNorm {
            gamma: vec![1.0; out],
            beta: vec![0.0; out],
            mean: vec![0.0; out],
            var: vec![1.0; out],
            eps: 1e-5,
        };
        self.push(&format!("{name}.bn"), Op::BatchNorm(bn), &[c], shape)
    }

    fn conv_block(
        &mut self,
        name: &str,
        x: NodeId,
        out: usize,
        kernel: [usize; 2],
        stride: usize,
        depthwise: bool,
    ) -> NodeId {
        let b = self.conv_norm(name, x, out, kernel, stride, depthwise);
        self.relu(&format!("{name}.relu"), b)
    }

    fn residual(&mut self, name: &str, x: NodeId, out: usize, kernel: [usize; 2], stride: usize) -> NodeId {
        let a = self.conv_block(&format!("{name}.a"), x, out, kernel, stride, false);
        let b = self.conv_norm(&format!("{name}.b"), a, out, kernel, 1, false);
        let same = stride == 1 && self.graph.nodes[x].shape.c == out;
        let side = if same { x } else { self.conv_norm(&format!("{name}.s"), x, out, [1, 1], stride, false) };
        let shape = self.graph.nodes[b].shape;
        let sum = self.push(&format!("{name}.add"), Op::Add, &[b, side], shape);
        self.relu(&format!("{name}.relu"), sum)
    }

    fn max_pool(&mut self, name: &str, x: NodeId) -> NodeId {
        let s = self.graph.nodes[x].shape;
        let window = Window { kernel: [1, 2], stride: [1, 2], dilation: [1, 1], pad: [0; 4] };
        self.push(name, Op::MaxPool(window), &[x], Shape::new(s.c, s.h, s.w / 2))
    }

    fn linear(&mut self, name: &str, x: NodeId, out: usize) -> NodeId {
        let inp = self.graph.nodes[x].shape.len();
        let weight = self.weights(inp * out, inp);
        self.push(name, Op::Linear(Linear { out, inp, weight, bias: vec![0.0; out] }), &[x], Shape::vector(out))
    }
}
