//! Frozen parameters: whole ones, and columns of matrices that several projections share.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};

use crate::{
    diagnostic::nearest,
    model::{NamedTensor, Transformer},
};

/// Parameters that are not trained, and frozen columns of trained ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frozen {
    whole: Vec<ParamId>,
    /// Frozen columns of partly trained parameters, by parameter id.
    columns: BTreeMap<u64, Vec<Range<usize>>>,
}

/// Values of frozen columns, each flat, by parameter id.
type FrozenColumns = BTreeMap<u64, Vec<Tensor<1>>>;

/// Why parameters could not be frozen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    /// The name matches no parameter.
    #[error(
        "`freeze` names `{name}`, which matches no parameter of the model{near}; write names as \
        in the checkpoint, \
         e.g. `embed_tokens`, `layers.0` or `self_attn.q_proj`"
    )]
    Unknown {
        /// The name in the recipe.
        name: String,
        /// The most similar name.
        near: String,
    },
    /// Nothing is left to train.
    #[error(
        "`freeze` leaves nothing to train: its names match all {0} trained parameters of the model"
    )]
    Everything(usize),
}

impl Frozen {
    /// Freezes every tensor whose name contains one of these: its name in the checkpoint (or
    /// adapter), or a complete segment of its name inside the model.
    ///
    /// # Errors
    /// Fails where a name matches no parameter, or nothing is left to train.
    pub fn named(names: &[String], model: &Transformer) -> Result<Self, FreezeError> {
        let tensors = model.named_tensors();
        for name in names {
            if !tensors.iter().any(|tensor| is_named(tensor, name)) {
                return Err(unknown(name, &tensors));
            }
        }
        // With an adapter, all other parameters are frozen anyway.
        let trained: Vec<&NamedTensor> =
            tensors.iter().filter(|tensor| tensor.is_update == model.has_updates()).collect();
        let parameters: BTreeSet<u64> =
            trained.iter().map(|tensor| tensor.parameter.val()).collect();
        let mut frozen = Self::default();
        let mut columns: BTreeMap<u64, (&NamedTensor, Vec<Range<usize>>)> = BTreeMap::new();
        for tensor in trained {
            if names.iter().any(|name| is_named(tensor, name)) {
                let (_, ranges) =
                    columns.entry(tensor.parameter.val()).or_insert((tensor, Vec::new()));
                ranges.push(tensor.columns.clone());
            }
        }
        for (number, (tensor, mut ranges)) in columns {
            // A tied output layer is listed under both of its names.
            ranges.dedup();
            if ranges.iter().map(ExactSizeIterator::len).sum::<usize>() == tensor.width {
                frozen.whole.push(tensor.parameter);
            } else {
                frozen.columns.insert(number, ranges);
            }
        }
        if frozen.whole.len() == parameters.len() {
            Err(FreezeError::Everything(parameters.len()))
        } else {
            Ok(frozen)
        }
    }

    /// The parameters that are not trained at all.
    pub(super) fn whole(&self) -> ParamGroup {
        ParamGroup::from_ids(self.whole.clone())
    }

    /// Zeroes the gradients of frozen columns, so that they add to no norm and no moment.
    pub(super) fn mask(&self, model: &Transformer, gradients: &mut GradientsParams) {
        if !self.columns.is_empty() {
            model.visit(&mut GradientMask { frozen: self, gradients });
        }
    }

    /// The current values of frozen columns, each flat, by parameter.
    pub(super) fn kept(&self, model: &Transformer) -> FrozenColumns {
        let mut kept = Kept { frozen: self, columns: BTreeMap::new() };
        if !self.columns.is_empty() {
            model.visit(&mut kept);
        }
        kept.columns
    }

    /// Restores frozen columns after a step, since weight decay changes parameters without
    /// gradient.
    pub(super) fn put_back(&self, columns: FrozenColumns, after: Transformer) -> Transformer {
        if columns.is_empty() { after } else { after.map(&mut PutBack { frozen: self, columns }) }
    }
}

/// Whether a name matches a tensor. A number at the end is complete: `layers.1` does not match
/// `layers.10`.
fn is_named(tensor: &NamedTensor, name: &str) -> bool {
    let ends_in_digit = name.ends_with(|letter: char| letter.is_ascii_digit());
    let in_checkpoint = tensor.name.match_indices(name).any(|(at, _)| {
        let rest = &tensor.name[at + name.len()..];
        !(ends_in_digit && rest.starts_with(|letter: char| letter.is_ascii_digit()))
    });
    // Names inside the model are short words, such as `down`, which parts of other names contain.
    let inside = format!(".{}.", tensor.inside).contains(&format!(".{}.", name.trim_matches('.')));
    !name.is_empty() && (in_checkpoint || inside)
}

fn unknown(name: &str, tensors: &[NamedTensor]) -> FreezeError {
    let mut names: Vec<String> = Vec::new();
    for tensor in tensors {
        let parts: Vec<&str> = tensor.name.split('.').collect();
        for from in 0..parts.len() {
            names.extend((from + 1..=parts.len()).map(|to| parts[from..to].join(".")));
        }
    }
    names.sort_unstable();
    names.dedup();
    let near = nearest(name, names.iter().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    FreezeError::Unknown { name: name.to_owned(), near }
}

/// Columns of a tensor, and all of its other axes.
///
/// # Shapes
/// `shape`: `[.., columns]`
fn slices<const D: usize>(shape: [usize; D], columns: &Range<usize>) -> [Range<usize>; D] {
    std::array::from_fn(|axis| if axis + 1 == D { columns.clone() } else { 0..shape[axis] })
}

struct GradientMask<'a> {
    frozen: &'a Frozen,
    gradients: &'a mut GradientsParams,
}

impl ModuleVisitor for GradientMask<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(columns) = self.frozen.columns.get(&param.id.val()) else { return };
        let Some(mut gradient) = self.gradients.remove::<D>(param.id) else { return };
        for range in columns {
            let slices = slices(gradient.dims(), range);
            let zeros = gradient.clone().slice(slices.clone()).zeros_like();
            gradient = gradient.slice_assign(slices, zeros);
        }
        self.gradients.register(param.id, gradient);
    }
}

struct Kept<'a> {
    frozen: &'a Frozen,
    columns: FrozenColumns,
}

impl ModuleVisitor for Kept<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(columns) = self.frozen.columns.get(&param.id.val()) else { return };
        let value = param.val();
        let slice =
            |range| value.clone().slice(slices(value.dims(), range)).flatten(0, D - 1).detach();
        let kept = columns.iter().map(slice);
        self.columns.insert(param.id.val(), kept.collect());
    }
}

struct PutBack<'a> {
    frozen: &'a Frozen,
    columns: FrozenColumns,
}

impl ModuleMapper for PutBack<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(kept) = self.columns.remove(&param.id.val()) else { return param };
        let ranges = &self.frozen.columns[&param.id.val()];
        param.map(|tensor| {
            let is_trained = tensor.is_require_grad();
            let mut found = tensor;
            for (range, kept) in ranges.iter().zip(kept) {
                let slices = slices(found.dims(), range);
                let shape = slices.clone().map(|slice| slice.len());
                found = found.slice_assign(slices, kept.reshape(shape));
            }
            // Outside the graph of these assignments the parameter is a leaf again.
            found.detach().set_require_grad(is_trained)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use burn::tensor::Device;

    use super::*;
    use crate::{
        model::{Adapter, LARGEST_FILE},
        seed::Seed,
        tuning::test_support::{tiny, trained_with},
    };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn model(is_tied: bool) -> Transformer {
        let config = crate::model::ModelConfig { tie_word_embeddings: is_tied, ..tiny(23) };
        config.init(&Seed::root(5), &Device::flex())
    }

    fn error(given: &[&str]) -> String {
        Frozen::named(&names(given), &model(true)).unwrap_err().to_string()
    }

    #[test]
    fn names_that_no_parameter_has_are_errors_with_the_nearest_one() {
        assert!(error(&["embed_token", "embed_tokns"]).contains("names `embed_tokns`"));
        assert!(error(&["embed_tokns"]).contains("did you mean `embed_tokens`?"));
        assert!(error(&["vproj"]).contains("did you mean `v_proj`?"));
        assert!(error(&["layers.2"]).contains("names `layers.2`"), "there are two layers");
        assert!(error(&[""]).contains("names ``"));
        assert!(error(&["weight"]).contains("leaves nothing to train"));
        assert!(error(&["embed_tokens", "layers", "norm"]).contains("leaves nothing to train"));
    }

    #[test]
    fn a_number_is_a_whole_one() {
        let config = crate::model::ModelConfig { num_hidden_layers: 12, ..tiny(23) };
        let model = config.init(&Seed::root(5), &Device::flex());
        let first = Frozen::named(&names(&["layers.1"]), &model).unwrap();
        let tensors = model.named_tensors();
        let of_layer: std::collections::BTreeSet<u64> = tensors
            .iter()
            .filter(|tensor| tensor.name.starts_with("model.layers.1."))
            .map(|tensor| tensor.parameter.val())
            .collect();
        let found: std::collections::BTreeSet<u64> = first.whole.iter().map(ParamId::val).collect();
        assert_eq!(found, of_layer);
        assert!(first.columns.is_empty());
    }

    /// Each name freezes exactly what a checkpoint calls so, and all else is trained; weight decay
    /// moves neither.
    #[test]
    fn what_is_frozen_is_the_same_to_the_bit_and_all_else_is_trained() {
        let cases: [(&[&str], &[&str]); 7] = [
            (&["q_proj"], &["q_proj"]),
            (&["embed_tokens"], &["embed_tokens"]),
            (&["embedding", "gate_proj"], &["embed_tokens", "gate_proj"]),
            (
                &["model.layers.0.self_attn.q_proj", "layers.1.self_attn.v_proj.weight"],
                &["0.self_attn.q_proj", "1.self_attn.v_proj"],
            ),
            (&["q_proj", "k_proj", "v_proj"], &["q_proj", "k_proj", "v_proj"]),
            (&["norm"], &["norm"]),
            (&["lm_head", "mlp"], &["lm_head", "mlp"]),
        ];
        for (given, expected) in cases {
            let start = model(false);
            let (before, after) = (saved(&start), saved(&trained_with(start, &names(given))));
            for (name, bytes) in &before {
                let is_frozen = expected.iter().any(|part| name.contains(part));
                assert_eq!(after[name] == *bytes, is_frozen, "{name} with {given:?}");
            }
        }
    }

    #[test]
    fn a_tied_output_layer_is_the_embedding() {
        let start = model(true);
        let after = trained_with(start.clone(), &names(&["lm_head"]));
        assert_eq!(start.embedding.val().into_data(), after.embedding.val().into_data());
    }

    #[test]
    fn beside_an_adapter_its_updates_are_frozen() {
        let mut start = model(true);
        let config = r#"{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}"#;
        Adapter::begin(serde_json::from_str(config).unwrap(), &mut start, &Seed::root(2)).unwrap();
        let after = trained_with(start.clone(), &names(&["v_proj", "embed_tokens"]));
        let updates = |model: &Transformer, number: usize| {
            model.blocks[1].query_key_value.updates[number].b.val().into_data()
        };
        assert_eq!(updates(&start, 1), updates(&after, 1));
        assert_ne!(updates(&start, 0), updates(&after, 0));
    }

    /// The bytes of each tensor of a checkpoint.
    fn saved(model: &Transformer) -> BTreeMap<String, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path(), LARGEST_FILE).unwrap();
        let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
    }
}
