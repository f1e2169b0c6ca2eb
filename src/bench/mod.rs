//! What `apeft bench` runs: workloads of known size on models of known shape.

mod shape;
mod workload;

pub use shape::{SHAPES, shape};
pub use workload::{
    MemoryWork, ProductWork, TrainingWork, bytes_of_step, operations_of_token, random_model,
    sampling_work,
};
