//! Rows of a tensor by their indices, with a gradient that a GPU computes in parallel.
//!
//! Burn answers the gradient of `select` with `select_assign`, which on a GPU adds one row after
//! the other. The indices are known on the host, and with them which rows of the gradient belong to
//! a source: its gradient is a `select`, too.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind, unary},
        },
        backend_extension,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Device, Int, Shape, Tensor, TensorData},
};

use super::device::is_cpu;

/// Rows of a tensor by their indices; one source may be several rows.
pub struct RowGather {
    /// [rows]
    sources: Tensor<1, Int>,
    /// For gradients on a GPU.
    uses: Option<RowUses>,
}

/// The source of a row whose states do not matter: it gets those of any source, and adds nothing to
/// a gradient.
pub(super) const PADDING: i32 = -1;

/// In which rows each source is; sources with fewer uses than others have some that do not count.
struct RowUses {
    /// [uses * sources], the first use of each source, then the second.
    rows: Tensor<1, Int>,
    /// Whether a use counts: 1 or 0 [uses, sources, 1].
    counts: Tensor<3>,
}

impl RowGather {
    /// The rows with these indices among this number of sources, or [`PADDING`].
    pub fn new(sources: &[i32], count: usize, device: &Device) -> Self {
        // On the CPU `select_assign` is one pass over memory.
        let uses =
            (!is_cpu(device) && device.is_autodiff()).then(|| RowUses::new(sources, count, device));
        let sources = sources.iter().map(|source| *source.max(&0)).collect();
        Self { sources: integers(sources, device), uses }
    }

    /// # Shapes
    /// - states: [sources, width]
    /// - output: [rows, width]
    pub fn rows(&self, states: Tensor<2>) -> Tensor<2> {
        match &self.uses {
            Some(uses) if states.is_autodiff() => Tensor::from_dispatch(Dispatch::gather_rows(
                states.into_dispatch(),
                self.sources.clone().into_dispatch(),
                uses.rows.clone().into_dispatch(),
                uses.counts.clone().into_dispatch(),
            )),
            _ => states.select(0, self.sources.clone()),
        }
    }

    /// Number of rows.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let [count] = self.sources.dims();
        count
    }
}

impl RowUses {
    fn new(sources: &[i32], count: usize, device: &Device) -> Self {
        let (rows, counts) = uses(sources, count);
        let shape = [counts.len() / count, count, 1];
        Self {
            rows: integers(rows, device),
            counts: Tensor::from_data(TensorData::new(counts, shape), (device, DType::F32)),
        }
    }
}

/// The rows in which each source is, and whether each of them counts.
fn uses(sources: &[i32], count: usize) -> (Vec<i32>, Vec<f32>) {
    let mut used = vec![0; count];
    let (mut rows, mut counts) = (vec![0; count], vec![0.0; count]);
    for (row, source) in sources.iter().enumerate().filter(|(_, source)| **source != PADDING) {
        let source = *source as usize;
        let place = used[source] * count + source;
        if place >= rows.len() {
            rows.resize(rows.len() + count, 0);
            counts.resize(rows.len(), 0.0);
        }
        (rows[place], counts[place]) = (row as i32, 1.0);
        used[source] += 1;
    }
    (rows, counts)
}

fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The operation on backends.
#[backend_extension(Flex, Cube: cfg(any(feature = "cuda", feature = "wgpu")), Autodiff)]
trait GatherRows: Backend {
    /// Rows by their sources; `uses` and `counts` are those of [`RowUses`].
    fn gather_rows(
        states: FloatTensor<Self>,
        sources: IntTensor<Self>,
        uses: IntTensor<Self>,
        counts: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (_, _) = (uses, counts);
        Self::float_select(states, 0, sources)
    }
}

impl GatherRows for Flex {}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl GatherRows for burn::backend::Cube {}

impl<B: GatherRows, C: CheckpointStrategy> GatherRows for Autodiff<B, C> {
    fn gather_rows(
        states: FloatTensor<Self>,
        sources: IntTensor<Self>,
        uses: IntTensor<Self>,
        counts: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let node = states.node();
        let gathered = B::float_select(states.into_primitive(), 0, sources);
        match Gather.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((uses, counts.into_primitive()), gathered),
            OpsKind::UnTracked(step) => step.finish(gathered),
        }
    }
}

#[derive(Debug)]
struct Gather;

impl<B: GatherRows> Backward<B, 1> for Gather {
    /// Rows and counts of [`RowUses`].
    type State = (IntTensor<B>, FloatTensor<B>);

    fn backward(self, step: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (uses, counts) = step.state;
        unary::<B, _>(step.parents, step.node, grads, |gradient| {
            let ([most, sources, _], [_, width]) = (counts.shape().dims(), gradient.shape().dims());
            let counts = B::float_cast(counts, gradient.dtype().into());
            let found = B::float_select(gradient, 0, uses);
            let found = B::float_reshape(found, Shape::from([most, sources, width]));
            let found = B::float_sum_dim(B::float_mul(found, counts), 0);
            B::float_reshape(found, Shape::from([sources, width]))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_select_but_for_padding() {
        let device = Device::flex().autodiff();
        let numbers = |rows: usize, step: usize| -> Tensor<2> {
            let values = (0..rows * 3).map(|index| (index * step % 13) as f32 - 6.0).collect();
            Tensor::from_data(TensorData::new(values, [rows, 3]), &device)
        };
        let sources = [4, 0, 0, 2, 4, 0, 1];
        let with_padding: Vec<i32> = sources.iter().copied().chain([PADDING; 2]).collect();
        let gather = RowGather {
            uses: Some(RowUses::new(&with_padding, 5, &device)),
            ..RowGather::new(&with_padding, 5, &device)
        };
        let states = numbers(5, 7).require_grad();
        let found = gather.rows(states.clone());
        assert_eq!(found.clone().narrow(0, 0, 7).into_data(), {
            let sources = integers(sources.to_vec(), &device);
            states.clone().select(0, sources).into_data()
        });
        let gradients = (found * numbers(9, 5)).sum().backward();
        let by_gather = states.grad(&gradients).unwrap().into_data();
        let selected = states.clone().select(0, integers(sources.to_vec(), &device));
        let gradients = (selected * numbers(9, 5).narrow(0, 0, 7)).sum().backward();
        assert_eq!(by_gather, states.grad(&gradients).unwrap().into_data());
    }
}
