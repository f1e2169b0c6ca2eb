//! A reference model that follows the policy.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};

use crate::model::Transformer;

/// `share` of the policy and the rest of the reference model, by parameter; untrained parameters
/// are equal in both.
///
/// # Shapes
/// Both models have the same parameters.
pub(super) fn mixed(reference: Transformer, policy: &Transformer, share: f64) -> Transformer {
    let mut trained = Trained(Vec::new());
    policy.visit(&mut trained);
    reference.map(&mut Mix { trained: trained.0.into_iter(), share })
}

/// The trained parameters, each `[values]`, and gaps for the others, in module order.
struct Trained(Vec<Option<Tensor<1>>>);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Flat, so that tensors of all ranks are of one type.
        let is_trained = param.is_require_grad();
        self.0.push(is_trained.then(|| param.val().without_autodiff().flatten(0, D - 1)));
    }
}

struct Mix {
    trained: std::vec::IntoIter<Option<Tensor<1>>>,
    share: f64,
}

impl ModuleMapper for Mix {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let policy = self.trained.next().expect("policy and reference have the same parameters");
        let Some(policy) = policy else { return param };
        param.map(|reference| {
            let policy = policy.reshape(reference.shape());
            // A copy to the bit; a sum would make -0 of the policy 0, and NaN of an infinity.
            if self.share == 1.0 {
                policy
            } else {
                policy * self.share + reference * (1.0 - self.share)
            }
        })
    }
}
