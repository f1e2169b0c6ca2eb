//! `bench`: how fast this machine trains, samples and scores, and how far that is from what it could do.

use std::{path::PathBuf, time::Instant};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{
    generate::{number, temperature},
    model::PlaceArguments,
    output::{print_json, print_text},
};
use crate::{
    model::{
        Encoder, ModelConfig, Place, Sampling, Transformer,
        speed::{
            MemoryWork, ProductWork, SHAPES, TrainingWork, bytes_of_step, operations_of_token, random_model,
            sampling_work, shape,
        },
    },
    tuning::{Answered, Savings, log_probabilities},
};

/// What `bench` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft bench
  apeft bench --model models/llama --batch 1,16,64 --temperature 0
  apeft bench --shape llama-3-8b --device cuda:0

`of bandwidth` is the share of the speed at which weights, keys and values could be read once a step; `of products` is the
share of the speed at which large matrices are multiplied here. A figure cannot exceed either by much.")]
pub(super) struct BenchArguments {
    /// A Hugging Face model directory, instead of random weights.
    #[arg(long, value_name = "DIR", conflicts_with = "shape")]
    pub(super) model: Option<PathBuf>,
    /// A model of random weights, made on the device.
    #[arg(long, default_value = "quickstart", value_parser = SHAPES)]
    pub(super) shape: String,
    /// Texts at once.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_name = "LIST", value_parser = count)]
    pub(super) batch: Vec<usize>,
    /// Tokens of each answer.
    #[arg(long, default_value = "64", value_parser = count)]
    pub(super) new: usize,
    /// What answers go on from, where a model directory is given.
    #[arg(long, default_value = "Marie Curie was born in Warsaw in 1867.", value_name = "TEXT")]
    pub(super) prompt: String,
    /// Divides the logits; 0 always takes the most probable token.
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    pub(super) temperature: f64,
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value = "5", value_parser = count)]
    pub(super) rounds: usize,
    /// The least time of a round, in seconds.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub(super) seconds: f64,
    /// One machine-readable value instead of a table.
    #[arg(long)]
    pub(super) json: bool,
}

fn count(text: &str) -> Result<usize, String> {
    let found = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    found.ok_or_else(|| format!("a whole number from 1 to {MOST} is expected"))
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=3600.0).contains(&number), "a number from 0 to 3600")
}

/// The most texts at once, tokens of an answer, and rounds: more fit into no memory and no patience.
const MOST: usize = 65_536;

/// What the machine could do.
struct Machine {
    /// Bytes a second.
    bandwidth: f64,
    /// Floating-point operations a second.
    products: f64,
}

/// One figure.
struct Figure {
    what: &'static str,
    batch: usize,
    tokens_per_second: f64,
    /// Shares of what bandwidth and products allow.
    of_bandwidth: Option<f64>,
    of_products: f64,
}

/// Texts of training that fit into memory twice over with all that belongs to it.
const LARGEST_TRAINED: usize = 200_000_000;
/// Tokens of a text that is scored.
const SCORED: usize = 128;

/// Measures and prints.
///
/// # Errors
/// Where the device is not there, or the model cannot be read.
pub(super) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    let place = arguments.place.find()?;
    let (machine, figures) = arguments.measure(&place)?;
    if arguments.json {
        return print_json(&to_json(&machine, &figures));
    }
    let (bandwidth, products) = (machine.bandwidth / 1e9, machine.products / 1e9);
    let speeds = format!("memory is read at {bandwidth:.1} GB/s, matrices are multiplied at {products:.0} GFLOP/s");
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "batch", "tokens/s", "of bandwidth", "of products"]);
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    for Figure { what, batch, tokens_per_second, of_bandwidth, of_products } in figures {
        let of_bandwidth = of_bandwidth.map_or_else(String::new, percent);
        let rate = format!("{tokens_per_second:.0}");
        table.add_row([what.to_owned(), batch.to_string(), rate, of_bandwidth, percent(of_products)]);
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print_text(&format!("{speeds}\n\n{table}\n"))
}

fn to_json(machine: &Machine, figures: &[Figure]) -> Value {
    let figure = |figure: &Figure| {
        json!({
            "what": figure.what,
            "batch": figure.batch,
            "tokens_per_s": (10.0 * figure.tokens_per_second).round() / 10.0,
            "of_bandwidth": figure.of_bandwidth,
            "of_products": figure.of_products,
        })
    };
    json!({
        "bandwidth_gb_per_s": machine.bandwidth / 1e9,
        "products_gflop_per_s": machine.products / 1e9,
        "figures": figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

impl BenchArguments {
    fn measure(&self, place: &Place) -> anyhow::Result<(Machine, Vec<Figure>)> {
        let (memory, product) = (MemoryWork::new(place), ProductWork::new(place));
        let machine =
            Machine { bandwidth: self.rate(|| Ok(memory.run()))?, products: self.rate(|| Ok(product.run()))? };
        drop((memory, product));
        let (model, prompt) = self.model(place)?;
        let config = &model.config;
        let mut figures = Vec::new();
        if self.model.is_none() && config.parameters() <= LARGEST_TRAINED {
            let work = TrainingWork::new(config, &place.device);
            let rate = self.rate(|| {
                work.step();
                Ok(TrainingWork::TOKENS)
            })?;
            // A backward pass takes twice the products of a forward pass.
            let of_products = 3.0 * rate * operations_of_token(config, 30) / machine.products;
            let figure =
                Figure { what: "training", batch: 24, tokens_per_second: rate, of_bandwidth: None, of_products };
            figures.push(figure);
        }
        for &batch in &self.batch {
            figures.push(self.sampling(&model, &prompt, batch, &machine)?);
        }
        for &batch in &self.batch {
            figures.push(self.scoring(&model, batch, &machine)?);
        }
        Ok((machine, figures))
    }

    /// The model, and the tokens that answers go on from.
    fn model(&self, place: &Place) -> anyhow::Result<(Transformer, Vec<u32>)> {
        if let Some(directory) = &self.model {
            let model = Transformer::load(directory, place)?;
            let prompt = Encoder::load(directory, &model.config)?.prompt(&self.prompt.as_str().into())?;
            return Ok((model, prompt));
        }
        let config = shape(&self.shape).expect("clap accepts the names of shapes only");
        Ok((random_model(&config, place), (3..13).collect()))
    }

    fn sampling(&self, model: &Transformer, prompt: &[u32], batch: usize, machine: &Machine) -> anyhow::Result<Figure> {
        let sampling = Sampling { max_new: self.new, temperature: self.temperature, ..Sampling::default() };
        let rate = self.rate(|| Ok(sampling_work(model, prompt, batch, &sampling)?))?;
        let context = prompt.len() + self.new / 2;
        let bytes = bytes_of_step(&model.config, model.format(), batch, context);
        Ok(Figure {
            what: "sampling",
            batch,
            tokens_per_second: rate,
            of_bandwidth: Some(rate / batch as f64 * bytes / machine.bandwidth),
            of_products: rate * operations_of_token(&model.config, context) / machine.products,
        })
    }

    fn scoring(&self, model: &Transformer, batch: usize, machine: &Machine) -> anyhow::Result<Figure> {
        let ModelConfig { vocab_size, max_position_embeddings, .. } = model.config;
        let length = SCORED.min(max_position_embeddings);
        let text = |row: usize| {
            let tokens = (0..length).map(|place| ((row * 31 + place * 7919) % vocab_size) as u32);
            let mut tokens: Vec<u32> = tokens.collect();
            let completion = tokens.split_off(1);
            Answered { prompt: tokens, answers: vec![completion] }
        };
        let texts: Vec<Answered> = (0..batch).map(text).collect();
        let rate = self.rate(|| {
            log_probabilities(model, &texts, 8192, Savings::default(), |_| ());
            Ok(batch * length)
        })?;
        let of_products = rate * operations_of_token(&model.config, length / 2) / machine.products;
        Ok(Figure { what: "log-probabilities", batch, tokens_per_second: rate, of_bandwidth: None, of_products })
    }

    /// Units a second: the median of some rounds, after one that does not count.
    fn rate(&self, mut work: impl FnMut() -> anyhow::Result<usize>) -> anyhow::Result<f64> {
        let mut rates = Vec::new();
        for round in 0..=self.rounds {
            let (start, mut units) = (Instant::now(), 0);
            while units == 0 || start.elapsed().as_secs_f64() < self.seconds {
                units += work()?;
            }
            if round > 0 {
                rates.push(units as f64 / start.elapsed().as_secs_f64());
            }
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates[rates.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_measured() {
        let arguments = BenchArguments {
            model: None,
            shape: "quickstart".to_owned(),
            batch: vec![1, 16],
            new: 8,
            prompt: String::new(),
            temperature: 1.0,
            place: PlaceArguments { dtype: "auto".to_owned(), device: "cpu".to_owned() },
            rounds: 1,
            seconds: 0.01,
            json: false,
        };
        let (machine, figures) = arguments.measure(&Place::cpu()).unwrap();
        assert!(machine.bandwidth > 1e8 && machine.products > 1e8);
        let found: Vec<_> = figures.iter().map(|figure| (figure.what, figure.batch)).collect();
        let expected = ["sampling", "log-probabilities"].map(|what| [(what, 1), (what, 16)]).concat();
        assert_eq!(found, [vec![("training", 24)], expected].concat());
        assert!(figures.iter().all(|figure| figure.tokens_per_second > 1.0 && figure.of_products > 0.0));
    }
}
