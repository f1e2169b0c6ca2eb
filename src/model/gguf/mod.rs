//! GGUF files of llama.cpp: a model with its tokenizer in one file, as a Hugging Face directory.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod chat_templates;
mod config;
mod convert;
mod dequantise;
mod metadata;
mod names;
mod pre_tokenizers;
mod reader;
mod rotary_factors;
mod stop_tokens;
mod stored_type;
mod tokenizer;
mod vocabulary;
mod weights;

pub use convert::GgufModel;
