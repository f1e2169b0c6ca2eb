//! Coverage of the intervals: simulated experiments with known truth.

use super::{
    Question, Sample, SampleIndex, ScoredCell, TestedEstimate, Total, answer::tests::SETTINGS,
    compare, scores, scores::tests::answer,
};
use crate::{
    rows::{Cell, MeasureName},
    seed::{Seed, Stream},
};

const TRUTH: f64 = 0.05;
const EXPERIMENTS: usize = 2000;

/// Which topics seeds share.
#[derive(Clone, Copy, Debug)]
enum Topics {
    /// All seeds have the same.
    Crossed,
    /// Each seed has its own.
    Nested,
    /// Half of each seed's topics are in all seeds, the other half only in this one.
    HalfNested,
    /// The same topics in all seeds, with 1 to 3 responses, each of which fails to count with this
    /// probability.
    Missing(f64),
}

/// Standard deviations between seeds, topics and responses.
#[derive(Clone, Copy, Debug)]
struct World {
    seeds: usize,
    topics: usize,
    domains: usize,
    between_seeds: f64,
    between_topics: f64,
    noise: f64,
    of: Topics,
}

impl World {
    /// Whether a topic of this number is the same in all seeds.
    fn is_shared(self, topic: usize) -> bool {
        match self.of {
            Topics::Crossed | Topics::Missing(_) => true,
            Topics::Nested => false,
            Topics::HalfNested => 2 * topic < self.topics,
        }
    }

    /// Number of values of a topic in a seed.
    fn answers(self, stream: &mut Stream) -> usize {
        match self.of {
            Topics::Missing(share) => {
                let asked = 1 + stream.below(3);
                (0..asked).filter(|_| stream.unit() >= share).count()
            }
            _ => 1,
        }
    }

    fn experiment(self, stream: &mut Stream) -> TestedEstimate {
        let mut sample = Sample::new(1);
        let mut draw = |deviation: f64| -> Vec<f64> {
            (0..self.topics * self.domains).map(|_| deviation * stream.normal()).collect()
        };
        let shared = draw(self.between_topics);
        for seed in 0..self.seeds {
            let effect = self.between_seeds * stream.normal();
            for domain in 0..self.domains {
                let mut topics = Vec::new();
                for topic in 0..self.topics {
                    let (name, lifted) = if self.is_shared(topic) {
                        (format!("{topic}"), shared[domain * self.topics + topic])
                    } else {
                        (format!("{seed}/{topic}"), self.between_topics * stream.normal())
                    };
                    let mut cell = Total::default();
                    for _ in 0..self.answers(stream) {
                        cell.add(TRUTH + effect + lifted + self.noise * stream.normal());
                    }
                    topics.push((name, vec![cell]));
                }
                let topics = topics.iter().map(|(name, cells)| (name.as_str(), cells.clone()));
                sample.add(SampleIndex { seed, arm: 0, domain }, topics);
            }
        }
        sample.means()[0].unwrap()
    }

    /// Share of experiments whose interval contains the truth, and mean width.
    fn coverage(self) -> (f64, f64) {
        let mut stream = Seed::root(7).split(&format!("{self:?}")).stream();
        let (mut inside, mut width) = (0, 0.0);
        for _ in 0..EXPERIMENTS {
            let [low, high] = self.experiment(&mut stream).estimate.interval().unwrap();
            inside += usize::from((low..=high).contains(&TRUTH));
            width += high - low;
        }
        (inside as f64 / EXPERIMENTS as f64, width / EXPERIMENTS as f64)
    }
}

/// Between seeds, between topics, of responses.
const EFFECTS: [(&str, [f64; 3]); 5] = [
    ("neither", [0.0, 0.0, 0.10]),
    ("seeds", [0.02, 0.0, 0.10]),
    ("topics", [0.0, 0.10, 0.15]),
    ("both", [0.02, 0.10, 0.15]),
    ("large seed effect", [0.04, 0.02, 0.10]),
];

/// At least 91 % for any number of seeds; from five on 93 to 98 % if more than responses varies.
fn check(of: Topics, [topics, domains]: [usize; 2], numbers_of_seeds: &[usize]) {
    for (name, [between_seeds, between_topics, noise]) in EFFECTS {
        for seeds in numbers_of_seeds {
            let world =
                World { seeds: *seeds, topics, domains, between_seeds, between_topics, noise, of };
            let (inside, width) = world.coverage();
            assert!(inside >= 0.91, "{name}: {inside} of {width} in {world:?}");
            if *seeds >= 5 && name != "neither" {
                assert!(
                    (0.93..=0.98).contains(&inside),
                    "{name}: {inside} of {width} in {world:?}"
                );
            }
        }
    }
}

#[test]
fn intervals_cover_where_seeds_share_their_topics() {
    check(Topics::Crossed, [60, 1], &[2, 3, 5, 10]);
}

#[test]
fn intervals_cover_means_over_domains() {
    check(Topics::Crossed, [20, 2], &[2, 5]);
}

#[test]
fn intervals_cover_where_seeds_have_other_topics() {
    check(Topics::Nested, [30, 1], &[2, 5]);
    check(Topics::HalfNested, [30, 1], &[2, 5]);
}

#[test]
fn intervals_cover_where_cells_are_missing_and_unequal() {
    check(Topics::Missing(0.4), [30, 1], &[2, 3, 5]);
}

/// If seeds do not vary, five of them cost hardly more than knowing all standard deviations.
#[test]
fn intervals_are_not_wider_than_they_need_be() {
    let world = World {
        seeds: 5,
        topics: 60,
        domains: 1,
        between_seeds: 0.0,
        between_topics: 0.10,
        noise: 0.15,
        of: Topics::Crossed,
    };
    let exact = 2.0 * 1.96 * (0.01_f64 / 60.0 + 0.0225 / 300.0).sqrt();
    let (_, width) = world.coverage();
    assert!(width < 1.15 * exact, "{width} {exact}");
}

/// One seed: over topics alone.
#[test]
fn intervals_of_one_seed_cover_the_mean_of_that_seed() {
    for (topics, of) in [(3, Topics::Crossed), (60, Topics::Crossed), (20, Topics::Missing(0.3))] {
        let world = World {
            seeds: 1,
            topics,
            domains: 1,
            between_seeds: 0.0,
            between_topics: 0.10,
            noise: 0.15,
            of,
        };
        let (inside, _) = world.coverage();
        assert!((0.93..=0.97).contains(&inside), "{inside} in {world:?}");
    }
}

/// Responses before and after tuning in every seed, on the same prompts; the difference varies by
/// seed and topic.
fn paired(stream: &mut Stream, seeds: usize, topics: usize) -> [f64; 4] {
    let mut level =
        |deviation: f64| -> Vec<f64> { (0..topics).map(|_| deviation * stream.normal()).collect() };
    let (before, gain) = (level(0.2), level(0.1));
    let mut cells = Vec::new();
    for seed in 0..seeds {
        let effect = 0.03 * stream.normal();
        let both = ["before", "after"].map(|stage| {
            let of_topic = |topic: usize, stream: &mut Stream| {
                let tuned = if stage == "after" { TRUTH + effect + gain[topic] } else { 0.0 };
                let value = before[topic] + tuned + 0.1 * stream.normal();
                super::AnswerScore {
                    f1_at_k: value,
                    ..answer("elements", &topic.to_string(), 0, Some(1))
                }
            };
            let answers: Vec<super::AnswerScore> =
                (0..topics).map(|topic| of_topic(topic, stream)).collect();
            let scores = scores(&answers, SETTINGS, None).unwrap();
            ScoredCell { cell: Cell::parse(&format!("{stage}@seed={seed}")), scores, answers }
        });
        cells.extend(both);
    }
    let question = Question { baseline: Some("before".to_owned()), ..Question::default() };
    let comparison = compare(&cells, &question).unwrap();
    let row = comparison
        .rows
        .iter()
        .find(|row| row.arm == "after" && row.measure == MeasureName::F1AtK)
        .unwrap();
    [row.difference, row.difference_low, row.difference_high, row.p].map(Option::unwrap)
}

#[test]
fn paired_differences_cover_too_and_p_values_agree_with_them() {
    let mut stream = Seed::root(8).stream();
    let experiments = 1000;
    let mut inside = 0;
    for _ in 0..experiments {
        let [_, low, high, p] = paired(&mut stream, 5, 12);
        inside += usize::from((low..=high).contains(&TRUTH));
        assert_eq!(p < 0.05, low > 0.0 || high < 0.0);
    }
    let inside = f64::from(inside as u32) / f64::from(experiments);
    assert!((0.93..=0.98).contains(&inside), "{inside}");
}
