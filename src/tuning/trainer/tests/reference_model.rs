//! Reference models that move or belong to another model, and held-out rows.

use std::sync::Arc;

use burn::tensor::Device;

use crate::{
    seed::Seed,
    tuning::{
        Decay, MovingReference, Objective, Optimisation, Preference, RowBatches, Schedule,
        Training,
        test_support::{MOVING, bytes, changed, column, held_out, tiny, trained, training},
    },
};

/// A reference that is replaced after every step is the policy, so that rewards vanish and each
/// step is like the first.
#[test]
fn a_reference_that_follows_at_once_leaves_no_rewards() {
    let rewards = |moving| {
        let folder = tempfile::tempdir().unwrap();
        let training = changed(folder.path(), "dpo", |preference| preference.moving = moving);
        let (_, metrics) = trained(training).unwrap();
        column(&metrics, "rewards/margins")
    };
    let follows = rewards(Some(MovingReference { every: 1, mixup: 1.0 }));
    assert!(follows.iter().all(|margin| margin.abs() < 1e-5), "{follows:?}");
    let (stays, moves) = (rewards(None), rewards(MOVING));
    // Reference and policy have different batch layouts, so that the last digits may differ.
    let same =
        stays[..3].iter().zip(&moves[..3]).all(|(stays, moves)| (stays - moves).abs() < 1e-5);
    assert!(same, "it moves after the third step: {stays:?} {moves:?}");
    assert!(stays[11] > 2.0 * moves[11].abs(), "{} {}", stays[11], moves[11]);
}

#[test]
fn the_model_that_does_best_on_held_out_rows_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    // Held-out rows contradict the training rows.
    let learnt = [0, 4, 8, 12];
    let contrary = |preference: &mut Preference| {
        preference.objective = Objective::plain("dpo", &[]).unwrap();
        for row in learnt {
            preference.rows[row + 1] = preference.rows[row].clone();
            preference.rows[row + 1].answers_mut().reverse();
            let mut reference = preference.reference.answers[row].clone();
            reference.reverse();
            preference.reference.answers[row + 1] = reference;
        }
        preference.held_out = Some(held_out(Some(2)));
    };
    let training = changed(folder.path(), "dpo", contrary);
    let batches = Arc::new(RowBatches::new(&learnt, 12.0, 4, 1, None));
    let before = bytes(&training.model);
    let (found, metrics) = trained(Training { batches, ..training }).unwrap();
    let losses = column(&metrics, "eval_loss");
    assert!(
        losses.len() == 3 && losses[0] < losses[1] && losses[1] < losses[2],
        "two worse looks end it: {losses:?}"
    );
    assert_eq!(column(&metrics, "loss").len(), 7, "it stops before its last step");
    assert_ne!(bytes(&found), before);
    assert_eq!(column(&metrics, "eval_rewards/accuracies")[1..], [0.0; 2]);
    let shorter = tempfile::tempdir().unwrap();
    let training = changed(shorter.path(), "dpo", contrary);
    let batches = Arc::new(RowBatches::new(&learnt, 2.0, 4, 1, None));
    let optimisation = Optimisation {
        schedule: Schedule::new(1e-2, 3, 12, Decay::Linear, 0.1),
        ..training.optimisation.clone()
    };
    let training = Training { batches, optimisation, ..training };
    assert_eq!(
        bytes(&trained(training).unwrap().0),
        bytes(&found),
        "the best was that of the first look"
    );
}

/// The last batch has one row: held-out rows are evaluated once before it, for any number of
/// microbatches.
#[test]
fn held_out_rows_are_looked_at_once_a_batch() {
    let looked = |accumulation| {
        let folder = tempfile::tempdir().unwrap();
        let training = changed(folder.path(), "dpo", |preference| {
            preference.held_out = Some(held_out(Some(100)))
        });
        let batches = Arc::new(RowBatches::new(&[0, 4, 8, 12, 16], 5.0, 4, accumulation, None));
        let (_, metrics) = trained(Training { batches, ..training }).unwrap();
        ["loss", "eval_loss", "eval_rewards/accuracies"].map(|name| column(&metrics, name))
    };
    let (whole, parts) = (looked(1), looked(4));
    assert_eq!((whole[0].len(), whole[1].len()), (7, 3), "before steps 3, 5 and 7");
    for (whole, parts) in whole.iter().zip(&parts) {
        assert_eq!(whole.len(), parts.len());
        let near = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-3 * one.abs().max(0.1);
        assert!(whole.iter().zip(parts).all(near), "{whole:?} {parts:?}");
    }
    assert!(parts[2].iter().all(|accuracy| *accuracy <= 1.0), "{:?}", parts[2]);
}

#[test]
fn a_reference_of_another_model_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path());
    let model = tiny(23).init(&Seed::root(6), &Device::flex());
    let error = trained(Training { model, ..training }).unwrap_err().to_string();
    assert!(error.contains("but must be 0.6931"), "{error}");
}

/// For any loss (sorted over the batch, flat, or of differences only), token log-probabilities
/// reveal it.
#[test]
fn a_foreign_reference_stops_every_algorithm() {
    for algorithm in ["aot", "aot_unpaired", "kto", "bco", "ipo", "hinge"] {
        let folder = tempfile::tempdir().unwrap();
        let training = changed(folder.path(), algorithm, |_| ());
        let model = tiny(23).init(&Seed::root(6), &Device::flex());
        let error = trained(Training { model, ..training }).expect_err(algorithm).to_string();
        assert!(
            error.contains("the reference log-probabilities come from another model"),
            "{algorithm}: {error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    // Both completions are equally too probable, so that DPO's margin is right.
    let training = changed(folder.path(), "dpo", |preference| {
        preference.reference.answers.iter_mut().flatten().for_each(|answer| answer[0] += 0.5);
    });
    let error = trained(training).unwrap_err().to_string();
    assert!(
        error
            .contains("before the first step the log-probabilities of policy and reference differ"),
        "{error}"
    );
}
