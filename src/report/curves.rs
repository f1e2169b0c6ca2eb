//! Training metrics of a run: learning curves of all arms of a stage.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde_json::Value;

use super::{
    figure::{ArmCurves, Figure, learning_curves},
    history::{History, StageHistory},
};
use crate::rows::Cell;

/// File of the metrics.
const METRICS: &str = "metrics.jsonl";

/// Trainings that are read; a sweep of thousands would be read for minutes.
const MOST_READ: usize = 500;

/// A metric by step.
type Curve = BTreeMap<u64, f64>;
/// The seeds of each arm of a stage.
type SeedsByArm<'a> = Vec<(Cell, Vec<&'a StageHistory>)>;

/// A figure for each stage with metrics, in the order of the recipe.
pub(super) fn curves(history: &History) -> Vec<Figure> {
    let trained = history.stages.iter().filter(|stage| stage.file(METRICS).is_some());
    let mut stages: Vec<(&str, SeedsByArm)> = Vec::new();
    for stage in trained.take(MOST_READ) {
        let cell = Cell { seed: None, ..stage.cell.clone() };
        let place = stages.iter().position(|(name, _)| *name == cell.stage);
        let place = place.unwrap_or_else(|| {
            stages.push((&stage.cell.stage, Vec::new()));
            stages.len() - 1
        });
        let arms = &mut stages[place].1;
        match arms.iter_mut().find(|(known, _)| *known == cell) {
            Some((_, seeds)) => seeds.push(stage),
            None => arms.push((cell, vec![stage])),
        }
    }
    let figures = stages.iter().filter_map(|(name, arms)| {
        let arms = arms.iter().map(|(cell, seeds)| training(cell, seeds));
        learning_curves(name, &arms.collect::<Vec<_>>())
    });
    figures.collect()
}

/// Means over seeds at the steps that all of them have.
fn training(cell: &Cell, seeds: &[&StageHistory]) -> ArmCurves {
    let read: Vec<BTreeMap<String, Curve>> = seeds
        .iter()
        .filter_map(|stage| stage.file(METRICS))
        .filter_map(|file| read(&file))
        .collect();
    let metrics: Vec<&String> = read.iter().flat_map(BTreeMap::keys).collect();
    let mut curves: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for metric in metrics {
        if !curves.iter().any(|(known, _)| known == metric) {
            let found: Vec<&Curve> = read.iter().filter_map(|seed| seed.get(metric)).collect();
            curves.push((metric.clone(), mean(&found)));
        }
    }
    ArmCurves { cell: cell.clone(), curves }
}

fn mean(seeds: &[&Curve]) -> Vec<(f64, f64)> {
    let Some(first) = seeds.first() else { return Vec::new() };
    let steps = first.keys().filter_map(|step| {
        let values: Option<Vec<f64>> = seeds.iter().map(|seed| seed.get(step).copied()).collect();
        let values = values?;
        Some((*step as f64, values.iter().sum::<f64>() / values.len() as f64))
    });
    steps.collect()
}

/// All metrics of a training; a torn line ends them.
fn read(file: &Path) -> Option<BTreeMap<String, Curve>> {
    let mut metrics: BTreeMap<String, Curve> = BTreeMap::new();
    let lines = BufReader::new(File::open(file).ok()?).lines();
    for row in lines.map_while(|line| serde_json::from_str::<Value>(&line.ok()?).ok()) {
        let Some(step) = row["step"].as_u64() else { continue };
        for (name, value) in row.as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64().filter(|_| name != "step") {
                match metrics.get_mut(name) {
                    Some(curve) => drop(curve.insert(step, value)),
                    None => drop(metrics.insert(name.clone(), Curve::from([(step, value)]))),
                }
            }
        }
    }
    Some(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_means_over_seeds_where_all_have_the_step() {
        let seeds =
            [Curve::from([(1, 1.0), (2, 3.0), (3, 9.0)]), Curve::from([(1, 2.0), (2, 5.0)])];
        assert_eq!(mean(&seeds.iter().collect::<Vec<_>>()), [(1.0, 1.5), (2.0, 4.0)]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(METRICS);
        std::fs::write(&file, "{\"step\":1,\"loss\":0.5,\"note\":\"x\"}\n{\"step\":2,\"lo")
            .unwrap();
        let metrics = read(&file).unwrap();
        assert_eq!(metrics, BTreeMap::from([("loss".to_owned(), Curve::from([(1, 0.5)]))]));
    }
}
