//! Copies of a model on other devices.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor},
};

use super::architecture::Transformer;

impl Transformer {
    /// The same model on another device, to the bit, with the same ids of parameters. On its own
    /// device it shares its memory.
    ///
    /// # Panics
    /// If the device has too little memory.
    pub fn copy_on(&self, device: &Device) -> Self {
        if self.device() == *device {
            return self.clone();
        }
        self.clone().map(&mut CopyOn(device))
    }
}

struct CopyOn<'a>(&'a Device);

impl ModuleMapper for CopyOn<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Through the host, one tensor at a time: GPUs without a link have no other way.
        param.map(|tensor| {
            let format = tensor.dtype();
            Tensor::from_data(tensor.into_data(), (self.0, format))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Placement, architecture::config::tests::tiny},
        seed::Seed,
    };

    #[test]
    fn a_copy_is_the_same_to_the_bit() {
        let device = Placement::cpu().device;
        let model = tiny().init(&Seed::root(1), &device);
        let bytes = |model: Transformer| model.into_record().into_bytes().unwrap().to_vec();
        let through_the_host = model.clone().map(&mut CopyOn(&device));
        assert_eq!(bytes(through_the_host), bytes(model.clone()));
        assert_eq!(bytes(model.copy_on(&device)), bytes(model));
    }
}
