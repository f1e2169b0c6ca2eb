//! `#[derive(Parameters)]`: one declaration of a parameter, on the field that the stage reads it
//! from.
//!
//! The field's name, type and doc comment are the parameter's name, shape and help;
//! `#[parameter(...)]` says the rest:
//!
//! - `default = VALUE`: the value if the recipe gives none. Without it the parameter is required,
//!   or absent for an `Option` and a `#[serde(default)]` field.
//! - `min = N`, `above = N`, `max = N`: the range of a number, of each item of a list, or of each
//!   value of a table. `above` excludes its bound.
//! - `former = NAME`: the name that it had before; a recipe that uses it is told the present one.
//! - `aliases = [NAMES]`: names that other tools give it; a recipe that uses one is told this name.
//! - `foreign = PAIRS`: names of other tools without an equivalent here, each with what to write.
//! - `foreign_values = PAIRS`: values of other tools, each with what to write.
//! - `words = WORDS`: the words that a `String` accepts, as a `&'static [&'static str]`.
//! - `not_in_key`: the parameter cannot change the result, so it is left out of the key.
//! - `unordered`: a list without order: the stage and the key see it sorted, each item once.
//! - `file = INPUT`: a text with a slash is a file that the stage reads: this input.
//! - `table = FORM`: a text that names a table of the recipe of this form, a `NamedTable`. The type
//!   of the field is that of the table's values.
//! - `defaults(NAME = VALUE, ...)`: on a `#[serde(flatten)]` field, other defaults for its
//!   parameters.
//!
//! `bool`, `String`, `f64`, integers, `Vec`, `BTreeMap<String, _>` and `Option` have shapes of
//! their own; any other type is an enum whose words come from `strum::VariantNames`.

mod field;

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, parse_macro_input};

use field::Field;

/// Implements `recipe::schema::Declared`, whose constant lists the parameters in the order of the
/// fields.
#[proc_macro_derive(Parameters, attributes(parameter))]
pub fn parameters(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let fields = named_fields(input)?;
    let mut groups = Vec::new();
    for field in fields {
        groups.push(Field::read(field)?.parameters()?);
    }
    let name = &input.ident;
    Ok(quote! {
        impl crate::recipe::schema::Declared for #name {
            const PARAMETERS: &'static [crate::recipe::schema::Parameter] = {
                use crate::recipe::schema::{Parameter, joined, total};
                const GROUPS: &[&[Parameter]] = &[#(#groups),*];
                const ALL: [Parameter; total(GROUPS)] = joined(GROUPS);
                &ALL
            };
        }
    })
}

fn named_fields(input: &DeriveInput) -> syn::Result<impl Iterator<Item = &syn::Field>> {
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => Ok(data.fields.iter()),
        _ => Err(syn::Error::new_spanned(
            &input.ident,
            "`Parameters` needs a struct with named fields",
        )),
    }
}
