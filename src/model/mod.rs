//! The language model.

pub mod architecture;
mod copies;
mod device;
mod device_memory;
pub mod directory;
mod files;
mod fused;
mod gather;
pub mod generation;
mod gguf;
mod gpus;
mod host_memory;
mod memory_budget;
#[cfg(test)]
mod parity;
mod prefix;
mod processor;
mod softmax;
pub mod text;

pub use architecture::{
    Architecture, Block, ConfigError, Linear, LowRank, ModelConfig, NumberFormat, Packed, Rotary,
    RotaryScaling, SharedPrefix, SlidingWindow, Transformer, Yarn, parameter,
    target_log_probabilities,
};
pub use device::{
    DTYPES, DeviceError, Placement, arithmetic, count_of_kind, device, is_built_for, is_cpu,
    number_format, other_devices, states_format, wgpu_models,
};
pub use device_memory::{DeviceMemory, device_memory};
pub use directory::{
    Adapter, AdapterConfig, LARGEST_FILE, NamedTensor, Targets, WeightsError, copy_companions,
    generation_settings,
};
pub use fused::multiply;
pub use gather::RowGather;
pub use generation::{
    EndOfLines, GenerateError, GeneratedAnswer, GenerationEvent, Generator, Request, Sampling,
    Stops,
};
pub use gguf::GgufModel;
pub use gpus::{gpu_models, gpus};
pub use host_memory::{HostMemory, host_memory};
pub use memory_budget::with_oom_hint;
pub use prefix::{BranchScorer, Prefix};
pub use processor::{host, processor};
pub use softmax::{TokenProbabilities, token_probabilities};
pub use text::{
    BEGIN_TOKEN, ChatError, END_TOKEN, EncodeError, EncodedPair, Encoder, PADDING_TOKEN, Tokenizer,
    TokenizerError,
};
