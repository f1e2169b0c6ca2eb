//! A reference that follows the policy.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};

use crate::model::Transformer;

/// `share` of the policy and the rest of the reference, parameter by parameter; what is not trained is the same in both.
pub(super) fn mixed(reference: Transformer, policy: &Transformer, share: f64) -> Transformer {
    let mut trained = Trained(Vec::new());
    policy.visit(&mut trained);
    reference.map(&mut Mix { trained: trained.0.into_iter(), share })
}

/// The trained parameters, each flat, and gaps for the others, in the order of the module.
struct Trained(Vec<Option<Tensor<1>>>);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let flat = || param.val().without_autodiff().flatten(0, D - 1);
        self.0.push(param.is_require_grad().then(flat));
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
            if self.share == 1.0 { policy } else { policy * self.share + reference * (1.0 - self.share) }
        })
    }
}
