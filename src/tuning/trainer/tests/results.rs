//! What is trained, and with what numbers.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Device, Tensor},
};

use crate::{
    device::DeviceName,
    model::{LARGEST_FILE, ModelConfig, Placement, Transformer},
    seed::Seed,
    tuning::{
        GradientCheckpointing, Optimisation, RowBatches, TrainEvent, TrainMetric, Training,
        protocol::Ear,
        test_support::{adapted, add_adapter, column, pairs, tiny, trained, training, with},
        train,
        trainer::optimizer,
    },
};

#[test]
fn in_bfloat16_what_is_trained_keeps_its_digits() {
    let directory = tempfile::tempdir().unwrap();
    let start = tiny(23).init(&Seed::root(5), &Device::flex());
    start.save(directory.path(), LARGEST_FILE).unwrap();
    let tuned = |format: &str, gradient_checkpointing: GradientCheckpointing| {
        let folder = tempfile::tempdir().unwrap();
        let place = Placement::named(DeviceName::Cpu, format).unwrap();
        let mut model = Transformer::load(directory.path(), &place).unwrap();
        add_adapter(&mut model);
        let training = with(folder.path(), model, "dpo", 2);
        let (model, metrics) = trained(Training { gradient_checkpointing, ..training }).unwrap();
        let down = &model.blocks[1].down;
        assert_eq!(down.weight.val().dtype(), place.format.dtype());
        (column(&metrics, "loss"), down.updates[0].a.val().into_data().try_to_vec::<f32>().unwrap())
    };
    let (losses, weights) = tuned("float32", GradientCheckpointing::Off);
    for gradient_checkpointing in [GradientCheckpointing::Off, GradientCheckpointing::PerBlock] {
        let (half_losses, half_weights) = tuned("bfloat16", gradient_checkpointing);
        assert!(
            losses.iter().zip(&half_losses).all(|(one, other)| (one - other).abs() < 0.03 * one),
            "{half_losses:?}"
        );
        assert!(losses != half_losses, "it did compute in fewer digits");
        let exact = half_weights.iter().filter(|weight| (weight.to_bits() & 0xffff) == 0).count();
        assert!(exact * 4 < half_weights.len(), "weights would lose what a step adds: {exact}");
        let apart = weights.iter().zip(&half_weights).map(|(one, other)| (one - other).abs());
        assert!(apart.fold(0.0, f32::max) < 0.05);
    }
}

/// A gradient of 0 for each parameter: only weight decay changes them.
#[derive(Default)]
struct Zeros(burn::optim::GradientsParams);

impl ModuleVisitor for Zeros {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val().inner().zeros_like());
    }
}

/// transformers excludes biases and norm weights; at rate 0.1 a decay of 0.5 leaves 0.95 of all
/// else.
#[test]
fn matrices_decay_and_biases_and_norms_do_not() {
    let config = ModelConfig {
        query_key_value_bias: true,
        attention_output_bias: true,
        feed_forward_bias: true,
        query_key_norm: true,
        tie_word_embeddings: false,
        ..tiny(23)
    };
    let mut model = config.init(&Seed::root(5), &Device::flex());
    for block in &mut model.blocks {
        let linears = [
            &mut block.query_key_value,
            &mut block.attention_output,
            &mut block.gate_up,
            &mut block.down,
        ];
        for linear in linears {
            linear.bias = linear.bias.take().map(|bias| bias.map(|bias| bias + 1.0));
        }
    }
    add_adapter(&mut model);
    let folder = tempfile::tempdir().unwrap();
    let optimisation = Optimisation { weight_decay: 0.5, ..training(folder.path()).optimisation };
    let model = model.train();
    let (mut before, mut zeros) = (Values::default(), Zeros::default());
    model.visit(&mut before);
    model.visit(&mut zeros);
    let mut after = Values::default();
    optimizer(&model, &optimisation).step(0.1, model, zeros.0).visit(&mut after);
    assert!(before.0.iter().any(|(dimensions, values)| *dimensions == 1 && values.contains(&1.0)));
    assert_eq!(before.0.len(), after.0.len());
    for ((dimensions, before), (_, after)) in before.0.iter().zip(&after.0) {
        let share = if *dimensions == 1 { 1.0 } else { 0.95 };
        for (before, after) in before.iter().zip(after) {
            assert!(
                (after - share * before).abs() < 1e-6,
                "{dimensions} dimensions: {before} became {after}"
            );
        }
    }
}

/// The values of all parameters, with their dimensions.
#[derive(Default)]
struct Values(Vec<(usize, Vec<f32>)>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push((D, param.val().inner().into_data().try_to_vec::<f32>().unwrap()));
    }
}

#[test]
fn a_number_that_is_none_stops_the_run_even_at_its_last_step() {
    for passes in [0.25, 3.0] {
        let folder = tempfile::tempdir().unwrap();
        let training = training(folder.path());
        let model = training.model.clone().map(&mut Diverged);
        let batches =
            Arc::new(RowBatches::new(&(0..pairs().len()).collect::<Vec<_>>(), passes, 6, 1, None));
        let result = trained(Training { model, batches, ..training });
        let error = result.expect_err("a model of infinities has no loss").to_string();
        assert!(error.contains("at step 1 is not finite"), "{error}");
    }
}

/// A model whose training went wrong.
struct Diverged;

impl ModuleMapper for Diverged {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor * f32::INFINITY)
    }
}

#[test]
fn parts_of_a_batch_add_up_to_the_batch() {
    for algorithm in ["dpo", "kto", "aot", "bco"] {
        parts_add_up(algorithm);
    }
}

fn parts_add_up(algorithm: &str) {
    let tuned = |accumulation| {
        let folder = tempfile::tempdir().unwrap();
        let start = training(folder.path()).model;
        let training = with(folder.path(), start, algorithm, accumulation);
        let (model, metrics) = trained(training).unwrap();
        let weights = model.blocks[1].down.weight.val().into_data();
        (weights.try_to_vec::<f32>().unwrap(), fs::read_to_string(metrics).unwrap())
    };
    let ((whole, whole_metrics), (parts, parts_metrics)) = (tuned(1), tuned(3));
    for (whole, parts) in whole.iter().zip(&parts) {
        assert!((whole - parts).abs() < 1e-4, "{whole} {parts}");
    }
    let column = |metrics: &str, name: &str| -> Vec<f64> {
        let rows =
            metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.map(|row| row[name].as_f64().unwrap()).collect()
    };
    for name in ["loss", "rewards/margins", "grad_norm", "num_tokens", "learning_rate"] {
        for (whole, parts) in
            column(&whole_metrics, name).into_iter().zip(column(&parts_metrics, name))
        {
            assert!(
                (whole - parts).abs() <= 1e-3 * whole.abs().max(1e-2),
                "{name}: {whole} {parts}"
            );
        }
    }
}

#[test]
fn only_the_adapter_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let training = with(folder.path(), adapted(), "dpo", 1);
    let before = training.model.clone();
    let (after, _) = trained(training).unwrap();
    let (one, other) = (&before.blocks[1].query_key_value, &after.blocks[1].query_key_value);
    assert_eq!(one.weight.val().into_data(), other.weight.val().into_data());
    assert_eq!(before.embedding.val().into_data(), after.embedding.val().into_data());
    assert_ne!(one.updates[0].b.val().into_data(), other.updates[0].b.val().into_data());
    assert_eq!(one.updates.len(), 2, "queries and values");
}

#[test]
fn starts_at_the_closed_form_and_leaves_frozen_parameters_alone() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path());
    let before = training.model.clone();
    let losses = Arc::new(Mutex::new(Vec::new()));
    let heard = losses.clone();
    let ear: Ear = Arc::new(move |news| {
        if let TrainEvent::Step { values, .. } = news {
            let value = |metric| values.iter().find(|(known, _)| *known == metric).unwrap().1;
            heard.lock().unwrap().push((
                value(TrainMetric::Loss),
                value(TrainMetric::NllLoss),
                value(TrainMetric::RewardsAccuracies),
            ));
        }
    });
    let (after, _) = train(training, ear).unwrap();
    let losses = losses.lock().unwrap();
    let (loss, nll, accuracy) = losses[0];
    assert!(
        (loss - nll - std::f64::consts::LN_2).abs() < 1e-6,
        "policy and reference are equal: {loss} {nll}"
    );
    assert_eq!(accuracy, 0.0, "a tie is no win");
    assert!(losses.last().unwrap().0 < loss);
    assert_eq!(before.embedding.val().into_data(), after.embedding.val().into_data());
    assert_ne!(
        before.blocks[0].down.weight.val().into_data(),
        after.blocks[0].down.weight.val().into_data()
    );
}
