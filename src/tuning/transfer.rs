//! Values of parameters and gradients on their way between devices: flat, in few large pieces,
//! through the host.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};

use crate::model::Transformer;

/// Numbers of a piece, which is in the device's memory twice while it is made (256 MiB in float32).
const PIECE: usize = 1 << 26;

/// Values of several parameters, on the host.
pub(super) struct Parcel(Vec<ParcelPiece>);

struct ParcelPiece {
    /// Parameters with their numbers of values, in order.
    parts: Vec<(ParamId, usize)>,
    values: TensorData,
}

/// The trained parameters of a model, with their numbers of values.
#[derive(Clone, Debug, Default)]
pub(super) struct TrainedParameters {
    ids: BTreeSet<u64>,
    pub numbers: usize,
}

impl TrainedParameters {
    pub(super) fn of(model: &Transformer) -> Self {
        let mut found = Self::default();
        model.visit(&mut found);
        found
    }
}

impl ModuleVisitor for TrainedParameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.ids.insert(param.id.val());
            self.numbers += param.shape().num_elements();
        }
    }
}

impl Parcel {
    /// The values of trained parameters, of a model with or without autodiff.
    pub(super) fn of_parameters(model: &Transformer, trained: &TrainedParameters) -> Self {
        let mut flat = FlatParameters { trained, values: Vec::new() };
        model.visit(&mut flat);
        Self::new(flat.values)
    }

    /// The gradients of a model's parameters.
    pub(super) fn of_gradients(model: &Transformer, gradients: &GradientsParams) -> Self {
        let mut flat = FlatGradients { gradients, values: Vec::new() };
        model.visit(&mut flat);
        Self::new(flat.values)
    }

    fn new(values: Vec<(ParamId, Tensor<1>)>) -> Self {
        let mut pieces: Vec<Vec<(ParamId, Tensor<1>)>> = Vec::new();
        let mut numbers = 0;
        for (id, tensor) in values {
            let [count] = tensor.dims();
            numbers += count;
            match pieces.last_mut() {
                Some(piece) if numbers <= PIECE && piece[0].1.dtype() == tensor.dtype() => {
                    piece.push((id, tensor));
                }
                _ => {
                    numbers = count;
                    pieces.push(vec![(id, tensor)]);
                }
            }
        }
        Self(pieces.into_iter().map(ParcelPiece::new).collect())
    }

    /// The values on a device, each flat, by parameter id.
    fn on(&self, device: &Device) -> BTreeMap<u64, Tensor<1>> {
        let mut found = BTreeMap::new();
        for ParcelPiece { parts, values } in &self.0 {
            let all = Tensor::<1>::from_data(values.clone(), (device, values.dtype()));
            let mut first = 0;
            for (id, count) in parts {
                found.insert(id.val(), all.clone().narrow(0, first, *count));
                first += count;
            }
        }
        found
    }

    /// A model with these values; `device`: where it is, without autodiff.
    pub(super) fn put_into(&self, model: Transformer, device: &Device) -> Transformer {
        model.map(&mut Replaced(self.on(device)))
    }

    /// Adds these gradients to those of a model; `device`: where they are.
    pub(super) fn add_to(
        &self,
        gradients: &mut GradientsParams,
        model: &Transformer,
        device: &Device,
    ) {
        model.visit(&mut Added { gradients, more: self.on(device) });
    }
}

impl ParcelPiece {
    fn new(values: Vec<(ParamId, Tensor<1>)>) -> Self {
        let parts = values.iter().map(|(id, tensor)| (*id, tensor.dims()[0])).collect();
        let tensors = values.into_iter().map(|(_, tensor)| tensor).collect();
        // One reading, since each waits for the device.
        Self { parts, values: Tensor::cat(tensors, 0).into_data() }
    }
}

struct FlatParameters<'a> {
    trained: &'a TrainedParameters,
    values: Vec<(ParamId, Tensor<1>)>,
}

impl ModuleVisitor for FlatParameters<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.trained.ids.contains(&param.id.val()) {
            self.values.push((param.id, param.val().without_autodiff().flatten(0, D - 1)));
        }
    }
}

struct FlatGradients<'a> {
    gradients: &'a GradientsParams,
    values: Vec<(ParamId, Tensor<1>)>,
}

impl ModuleVisitor for FlatGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.values.push((param.id, gradient.flatten(0, D - 1)));
        }
    }
}

struct Replaced(BTreeMap<u64, Tensor<1>>);

impl ModuleMapper for Replaced {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.0.remove(&param.id.val()) else { return param };
        param.map(|tensor| {
            let values = values.reshape(tensor.shape());
            if tensor.is_autodiff() {
                Tensor::from_inner(values).set_require_grad(tensor.is_require_grad())
            } else {
                values
            }
        })
    }
}

struct Added<'a> {
    gradients: &'a mut GradientsParams,
    more: BTreeMap<u64, Tensor<1>>,
}

impl ModuleVisitor for Added<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(more) = self.more.remove(&param.id.val()) else { return };
        let more = more.reshape(param.shape());
        let sum = match self.gradients.remove::<D>(param.id) {
            Some(gradient) => gradient + more,
            None => more,
        };
        self.gradients.register(param.id, sum);
    }
}
