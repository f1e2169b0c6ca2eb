//! How training changes a model.
