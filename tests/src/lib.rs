//! Networks that other tools trained, compiled, and run on this machine and on the emulated device.
//!
//! The tests of this package go across crates. Those of the `evenkeel` command are in `pruner/tests`, because cargo
//! builds a binary only for the tests of its own package.

use evenkeel::aligned::AlignedBytes;
use evenkeel::data::{self, Normaliser};
use evenkeel::error::{Context, Error, Result};
use evenkeel::graph::Graph;
use evenkeel::lower::{Extras, Lowered, Target, lower};
use evenkeel::net::{Set, device};
use evenkeel::quant::QGraph;
use evenkeel::{chain, contract::InputNorm};
use evenkeel_emulator::{Board, Error as DeviceError, Job, Outcome};
use evenkeel_runtime::{Model, Session, kernels::Portable};
use std::path::{Path, PathBuf};

/// Trained in PyTorch, exported to ONNX in the ways in which users do it.
pub const TRAINED: [&str; 6] = ["har_cnn", "har_cnn_bn", "har_dscnn", "ecg_resnet1d", "face_resnet8", "face_mbv2"];

/// The reference networks of MLPerf Tiny.
pub const MLPERF_TINY: [&str; 4] = ["ad_f32", "ic_f32", "kws_f32", "vww_f32"];

/// The folder with networks and golden numbers: `EVENKEEL_DATA`, else `../shared` from the workspace. `None`, and a
/// plain line, where there is none.
pub fn shared_dir() -> Option<PathBuf> {
    let near = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let dir = std::env::var_os("EVENKEEL_DATA").map_or_else(near, PathBuf::from);
    if !dir.join("models").is_dir() {
        println!("skipped: no shared data");
        return None;
    }
    Some(dir)
}

/// A network with inputs, and the outputs that ONNX Runtime gives for them.
pub struct Network {
    /// Name of its file.
    pub name: String,
    /// The network, normalisation folded and softmax dropped.
    pub graph: Graph,
    /// The inputs, each C × H × W, ready for calibration.
    pub set: Set,
    /// The outputs, one after another.
    pub golden: Vec<f32>,
}

impl Network {
    /// One of [`TRAINED`].
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn trained(shared: &Path, name: &str) -> Result<Self> {
        Self::load(shared, name, &format!("models/{name}.onnx"), &format!("golden/torch/{name}.npz"))
    }

    /// One of [`MLPERF_TINY`].
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn mlperf_tiny(shared: &Path, name: &str) -> Result<Self> {
        Self::load(shared, name, &format!("models/mlperf_tiny/{name}.onnx"), &format!("golden/mlperf_tiny/{name}.npz"))
    }

    fn load(shared: &Path, name: &str, model: &str, golden: &str) -> Result<Self> {
        let graph = chain::load_network(&shared.join(model))?;
        let golden = shared.join(golden);
        let (shape, x) = data::load_array(&golden, Some("x"))?;
        let sample = shape.get(1..).unwrap_or(&[]);
        let norm = Normaliser::new(&InputNorm::default(), sample)?;
        let set = Set::from_array(sample, &x, &norm, &graph).map_err(|e| e.at(&golden))?;
        Ok(Network { name: name.to_owned(), graph, set, golden: data::load_array(&golden, Some("y"))?.1 })
    }

    /// The input `i`.
    pub fn row(&self, i: usize) -> Vec<f32> {
        self.set.gather(&[i])
    }

    /// The network, or a smaller one made of it, in int8 and as a file, calibrated on the inputs.
    ///
    /// # Errors
    /// Names the layer that cannot be quantised or lowered.
    pub fn compile(&self, graph: &Graph, extras: &Extras) -> Result<(QGraph, Lowered)> {
        let q = self.quantise(graph)?;
        let lowered = lower(&q, extras, Target::Portable)?;
        Ok((q, lowered))
    }

    /// The network, or a smaller one made of it, in int8, calibrated on the inputs.
    ///
    /// # Errors
    /// Names the layer that cannot be quantised.
    pub fn quantise(&self, graph: &Graph) -> Result<QGraph> {
        chain::quantised(graph, &self.set, &InputNorm::default(), &device("cpu")?)
    }
}

/// Outputs of a file for int8 inputs, one after another, by the kernels that define what is right.
///
/// # Errors
/// When the bytes are no file.
pub fn host(file: &[u8], inputs: &[i8]) -> Result<Vec<i8>> {
    let file = AlignedBytes::new(file);
    let model = Model::from_bytes(file.bytes()).map_err(Error::new)?;
    let mut arena = chain::arena(&model);
    let mut session = Session::<Portable>::with_kernels(&model, bytemuck::cast_slice_mut(&mut arena))
        .context("cannot start a session")?;
    let mut outputs = Vec::new();
    for input in inputs.chunks_exact(model.input().elements()) {
        session.input_mut().copy_from_slice(input);
        session.run();
        outputs.extend_from_slice(session.output());
    }
    Ok(outputs)
}

/// The same on an emulated microcontroller, with its own kernels, and what it cost. `None`, and a plain line, where
/// there is no emulator or no firmware.
///
/// # Errors
/// What the device says.
pub fn on_device(board: Board, file: &[u8], inputs: &[i8]) -> Result<Option<Outcome>> {
    let Some(firmware) = board.find_firmware() else {
        println!("skipped: no firmware for {board:?}; build it with `cargo xtask firmware`");
        return Ok(None);
    };
    let job = Job {
        board,
        firmware: &firmware,
        model: file,
        inputs,
        labels: None,
        groups: None,
        portable: false,
        states: false,
    };
    match evenkeel_emulator::run(&job) {
        Err(e @ (DeviceError::NoQemu | DeviceError::NoFirmware(_))) => {
            println!("skipped: {e}");
            Ok(None)
        }
        run => run.map(Some).map_err(Error::new),
    }
}

/// The emulated microcontrollers, and what files are lowered for on them.
pub const BOARDS: [(Board, Target); 2] = [(Board::Mps2An386, Target::CortexM4), (Board::Mps3An547, Target::CortexM55)];
