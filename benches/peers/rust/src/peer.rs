//! The peers: how each loads an ONNX file and runs it.

use crate::Result;
use rten::{Model, RunOptions, ThreadPool, Value, ValueView};
use std::sync::Arc;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoArcTensor, IntoRunnable, IntoTValue, TValue, Tensor, TypedRunnableModel,
    TypedSimpleState, tvec,
};
use tract_onnx::tract_hir::infer::InferenceFact;

/// A network that a peer has loaded, with its input.
pub trait Peer {
    /// The peer's version, as the manifest pins it.
    fn version(&self) -> &'static str;
    /// One inference.
    fn run(&mut self) -> Result<()>;
    /// The output of one inference.
    fn output(&mut self) -> Result<Vec<f32>>;
}

/// Loads a file for the peer of that name. rten runs in `pool`.
pub fn load(peer: &str, file: &str, shape: &[usize], input: Vec<f32>, pool: &Arc<ThreadPool>) -> Result<Box<dyn Peer>> {
    match peer {
        "tract" => Ok(Box::new(Tract::load(file, shape, &input)?)),
        "rten" => Ok(Box::new(Rten::load(file, shape, input, pool)?)),
        other => Err(format!("there is no peer `{other}`").into()),
    }
}

/// tract keeps its scratch memory in a state, which is kept from run to run.
struct Tract {
    state: TypedSimpleState,
    input: TValue,
}

impl Tract {
    fn load(file: &str, shape: &[usize], input: &[f32]) -> Result<Self> {
        let fact = InferenceFact::dt_shape(tract_onnx::prelude::DatumType::F32, shape);
        let plan: Arc<TypedRunnableModel> =
            tract_onnx::onnx().model_for_path(file)?.with_input_fact(0, fact)?.into_optimized()?.into_runnable()?;
        // A value behind an `Arc`: handing it to a run copies nothing.
        let input = Tensor::from_shape(shape, input)?.into_arc_tensor().into_tvalue();
        Ok(Tract { state: plan.spawn()?, input })
    }
}

impl Peer for Tract {
    fn version(&self) -> &'static str {
        "0.23.9"
    }

    fn run(&mut self) -> Result<()> {
        self.state.run(tvec!(self.input.clone()))?;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        let out = self.state.run(tvec!(self.input.clone()))?;
        Ok(out[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

struct Rten {
    model: Model,
    input: Value,
    options: RunOptions,
}

impl Rten {
    fn load(file: &str, shape: &[usize], input: Vec<f32>, pool: &Arc<ThreadPool>) -> Result<Self> {
        let input = Value::from_shape(shape, input)?;
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        Ok(Rten { model: Model::load_file(file)?, input, options })
    }
}

impl Peer for Rten {
    fn version(&self) -> &'static str {
        "0.27.0"
    }

    fn run(&mut self) -> Result<()> {
        self.model.run_one((&self.input).into(), Some(self.options.clone()))?;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>> {
        let out = self.model.run_one((&self.input).into(), Some(self.options.clone()))?;
        match ValueView::from(&out) {
            ValueView::FloatTensor(t) => Ok(t.iter().copied().collect()),
            _ => Err("the output is not f32".into()),
        }
    }
}
