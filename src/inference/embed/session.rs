//! The network as ONNX Runtime computes it.

use std::collections::HashSet;
use std::path::Path;

use ort::ep::{CPU, CUDA, ExecutionProvider, TensorRT};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{TensorElementType, TensorRef};

use super::error::{LoadError, RunError};
use super::network::{Batch, pool_rows};
use super::pool::Pooling;
use crate::inference::onnx::Runtime;

/// Outputs that are one vector for each token, as exporters name them.
const STATES: [&str; 2] = ["last_hidden_state", "token_embeddings"];
/// Sizes of batches whose memory is planned by one session. A plan takes some tens of KiB.
const PLANS_MAX: usize = 256;
/// The output that is one vector for each text.
const VECTOR: &str = "sentence_embedding";

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
    TensorRt(usize),
}

/// Input tensors of the network, in its order.
#[derive(Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
    Positions,
}

/// A session and what is known about its ends.
pub(super) struct OnnxNetwork {
    session: Session,
    inputs: Vec<(String, Input)>,
    output: String,
    /// Only this output is handed over; others that the network has would be allocated and copied for nobody.
    options: RunOptions<HasSelectedOutputs>,
    /// One vector a token, to be pooled here; otherwise one a text.
    is_states: bool,
    dims: usize,
    /// Token types, always zero; kept because they are asked for each time.
    zeros: Vec<i64>,
    /// Rows and columns of which ONNX Runtime has planned the memory.
    planned: HashSet<[usize; 2]>,
}

impl OnnxNetwork {
    /// Loads the network at `path`, whose vectors must be `dims` wide.
    pub(super) fn load(
        runtime: &Runtime,
        path: &Path,
        dims: usize,
        (provider, threads): (Provider, usize),
    ) -> Result<Self, LoadError> {
        let refuse = |source| LoadError::Session { path: path.into(), source };
        let session = builder(runtime, provider, threads)
            .and_then(|mut builder| builder.commit_from_file(path))
            .map_err(refuse)?;
        let inputs = inputs(&session, path)?;
        let (output, is_states) = output(&session, path, dims)?;
        let options = options(&output).map_err(refuse)?;
        Ok(Self { session, inputs, output, options, is_states, dims, zeros: Vec::new(), planned: HashSet::new() })
    }

    /// Gives back what runs have taken: the arena shrinks at the end of a run that is told to, so there is one of two tokens.
    pub(super) fn rest(&mut self) -> Result<(), RunError> {
        let failed = |source| RunError::Session { source };
        let mut shrinking = options(&self.output).map_err(failed)?;
        shrinking.set("memory.enable_memory_arena_shrinkage", "cpu:0").map_err(failed)?;
        let usual = std::mem::replace(&mut self.options, shrinking);
        let rested = self.run(&Batch::new(&[&[0, 0]], 0), Pooling::Mean);
        self.options = usual;
        rested.map(drop)
    }

    /// Whether there are so many plans of memory that the session should be made anew: they cannot be given back otherwise.
    pub(super) fn is_outgrown(&self) -> bool {
        self.planned.len() > PLANS_MAX
    }

    /// One pooled vector for each row.
    pub(super) fn run(&mut self, batch: &Batch, pooling: Pooling) -> Result<Vec<Vec<f32>>, RunError> {
        let failed = |source| RunError::Session { source };
        let shape = [batch.rows(), batch.columns];
        self.planned.insert(shape);
        let mask = batch.mask();
        let positions = self.positions(batch);
        self.zeros.resize(batch.ids.len(), 0);
        let mut inputs: Vec<(&str, SessionInputValue)> = Vec::with_capacity(self.inputs.len());
        for (name, input) in &self.inputs {
            let values = match input {
                Input::Ids => &batch.ids,
                Input::Mask => &mask,
                Input::Types => &self.zeros,
                Input::Positions => &positions,
            };
            inputs.push((name, TensorRef::from_array_view((shape, values.as_slice())).map_err(failed)?.into()));
        }
        let outputs = self.session.run_with_options(inputs, &self.options).map_err(failed)?;
        let found = outputs.get(&self.output).ok_or(RunError::Shape { found: vec![], expected: vec![batch.rows()] })?;
        let (shape, values) = found.try_extract_tensor::<f32>().map_err(failed)?;
        let expected = match self.is_states {
            true => vec![batch.rows(), batch.columns, self.dims],
            false => vec![batch.rows(), self.dims],
        };
        if !shape.iter().copied().eq(expected.iter().map(|size| *size as i64)) {
            return Err(RunError::Shape { found: shape.to_vec(), expected });
        }
        match self.is_states {
            true => pool_rows(values, batch, pooling, self.dims),
            false => Ok(values.chunks_exact(self.dims).map(<[f32]>::to_vec).collect()),
        }
    }

    fn positions(&self, batch: &Batch) -> Vec<i64> {
        let is_asked = self.inputs.iter().any(|(_, input)| matches!(input, Input::Positions));
        let columns = if is_asked { batch.columns as i64 } else { 0 };
        (0..batch.rows()).flat_map(|_| 0..columns).collect()
    }
}

fn builder(runtime: &Runtime, provider: Provider, threads: usize) -> ort::Result<SessionBuilder> {
    let mut builder = Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // tanh for erf: 0.408 instead of 0.427 ms for a short sentence, and no difference in quality (PROVENANCE.md of the bundled model).
        .with_approximate_gelu()?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // One allocation a run instead of one a tensor. The plans stay as long as the session: see `is_outgrown`.
        .with_memory_pattern(true)?;
    // Weights are not in the arena, so that what is in it can all be given back (see `OnnxNetwork::rest`).
    builder = builder.with_device_allocated_initializers()?;
    CPU::default().with_arena_allocator(true).register(&mut builder)?;
    match provider {
        Provider::Cpu => {}
        Provider::Cuda(number) => CUDA::default().with_device_id(device_id(number)).register(&mut builder)?,
        Provider::TensorRt(number) => {
            let tensor_rt = TensorRT::default().with_device_id(device_id(number)).with_engine_cache(true);
            tensor_rt.register(&mut builder)?;
            CUDA::default().with_device_id(device_id(number)).register(&mut builder)?;
        }
    }
    Ok(builder)
}

/// As the library counts GPUs; it refuses numbers beyond the machine's.
fn device_id(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn options(output: &str) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    Ok(RunOptions::new()?.with_outputs(OutputSelector::no_default().with(output)))
}

fn inputs(session: &Session, path: &Path) -> Result<Vec<(String, Input)>, LoadError> {
    let shape = |reason| LoadError::Shape { path: path.into(), reason };
    let mut found = Vec::new();
    for input in session.inputs() {
        let kind = match input.name() {
            "input_ids" => Input::Ids,
            "attention_mask" => Input::Mask,
            "token_type_ids" => Input::Types,
            "position_ids" => Input::Positions,
            other => return Err(shape(format!("it wants {other:?}"))),
        };
        if input.dtype().tensor_type() != Some(TensorElementType::Int64) {
            return Err(shape(format!("its {} is no tensor of 64-bit integers", input.name())));
        }
        found.push((input.name().to_owned(), kind));
    }
    let has = |wanted: fn(&Input) -> bool| found.iter().any(|(_, input)| wanted(input));
    if !has(|input| matches!(input, Input::Ids)) || !has(|input| matches!(input, Input::Mask)) {
        return Err(shape("it does not take input_ids and attention_mask".to_owned()));
    }
    Ok(found)
}

/// The output to use, and whether it is one vector a token. What the network has pooled itself is preferred: that is less to hand over.
fn output(session: &Session, path: &Path, dims: usize) -> Result<(String, bool), LoadError> {
    let floats = |rank: usize| {
        session.outputs().iter().filter(move |output| {
            let dtype = output.dtype();
            dtype.tensor_type() == Some(TensorElementType::Float32)
                && dtype.tensor_shape().is_some_and(|shape| {
                    // A size that the graph leaves open is checked when it answers.
                    shape.len() == rank && shape.last().is_some_and(|last| *last < 0 || *last == dims as i64)
                })
        })
    };
    if let Some(output) = floats(2).find(|output| output.name() == VECTOR) {
        return Ok((output.name().to_owned(), false));
    }
    let states = floats(3).find(|output| STATES.contains(&output.name())).or_else(|| floats(3).next());
    if let Some(output) = states {
        return Ok((output.name().to_owned(), true));
    }
    let names: Vec<String> = session.outputs().iter().map(|o| format!("{}: {}", o.name(), o.dtype())).collect();
    let reason = format!("of its outputs ({}) none is a float tensor that is {dims} wide", names.join(", "));
    Err(LoadError::Shape { path: path.into(), reason })
}
