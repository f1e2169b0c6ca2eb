//! One field of the struct: what its attributes and its type say.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Expr, ExprLit, GenericArgument, Ident, Lit, Meta, PathArguments, Token, Type,
    meta::ParseNestedMeta, parenthesized, punctuated::Punctuated,
};

/// A field with all that its attributes say.
pub(crate) struct Field<'a> {
    field: &'a syn::Field,
    options: Options,
    is_flattened: bool,
    has_serde_default: bool,
}

/// What stands in `#[parameter(...)]`.
#[derive(Default)]
struct Options {
    default: Option<Expr>,
    min: Option<Expr>,
    above: Option<Expr>,
    max: Option<Expr>,
    words: Option<Expr>,
    file: Option<Expr>,
    table: Option<Expr>,
    former: Option<Expr>,
    aliases: Option<Expr>,
    foreign: Option<Expr>,
    foreign_values: Option<Expr>,
    not_in_key: bool,
    unordered: bool,
    defaults: Vec<(Ident, Expr)>,
}

/// `learning_rate = 1e-6` in `defaults(...)`.
struct Override {
    name: Ident,
    value: Expr,
}

impl syn::parse::Parse for Override {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self { name, value: input.parse()? })
    }
}

impl<'a> Field<'a> {
    /// Reads a field's attributes.
    pub(crate) fn read(field: &'a syn::Field) -> syn::Result<Self> {
        let mut options = Options::default();
        for attribute in with_name(&field.attrs, "parameter") {
            attribute.parse_nested_meta(|meta| options.read(meta))?;
        }
        Ok(Self {
            field,
            options,
            is_flattened: serde_says(field, "flatten")?,
            has_serde_default: serde_says(field, "default")?,
        })
    }

    /// An expression of type `&'static [Parameter]`: the field's parameter, or those of the struct
    /// that it flattens.
    pub(crate) fn parameters(&self) -> syn::Result<TokenStream> {
        if self.is_flattened {
            return Ok(self.flattened());
        }
        let name = self
            .field
            .ident
            .as_ref()
            .map(|name| name.to_string().trim_start_matches("r#").to_owned());
        let about = self.about()?;
        let shape = self.shape()?;
        let default = self.default();
        let file = self.options.file.iter();
        let table = self.options.table.iter();
        let former = self.options.former.iter();
        let aliases = self.options.aliases.iter();
        let foreign = self.options.foreign.iter();
        let foreign_values = self.options.foreign_values.iter();
        let not_in_key = self.options.not_in_key.then(|| quote!(.not_in_key()));
        let unordered = self.options.unordered.then(|| quote!(.unordered()));
        Ok(quote! {
            &[Parameter::new(#name, #shape, #default, #about)
                #(.file(#file))* #(.table(#table))* #(.former(#former))* #(.aliases(&#aliases))*
                #(.foreign(&#foreign))* #(.foreign_values(&#foreign_values))*
                #not_in_key #unordered]
        })
    }

    fn flattened(&self) -> TokenStream {
        let inner = &self.field.ty;
        let names = self.options.defaults.iter().map(|(name, _)| name.to_string());
        let values = self.options.defaults.iter().map(|(_, value)| literal_default(value));
        quote! {
            &crate::recipe::schema::with_defaults::<
                { <#inner as crate::recipe::schema::Declared>::PARAMETERS.len() }
            >(
                <#inner as crate::recipe::schema::Declared>::PARAMETERS,
                &[#((#names, #values)),*],
            )
        }
    }

    /// The doc comment in one line.
    fn about(&self) -> syn::Result<String> {
        let mut lines = Vec::new();
        for attribute in with_name(&self.field.attrs, "doc") {
            if let Meta::NameValue(pair) = &attribute.meta
                && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
            {
                lines.push(text.value().trim().to_owned());
            }
        }
        if lines.is_empty() {
            return Err(syn::Error::new_spanned(
                self.field,
                "a parameter needs a doc comment: it is its help",
            ));
        }
        Ok(lines.join(" ").trim().to_owned())
    }

    fn shape(&self) -> syn::Result<TokenStream> {
        match (&self.options.words, &self.options.table) {
            (Some(words), _) => Ok(quote!(crate::recipe::schema::Shape::Choice(#words))),
            (None, Some(_)) => Ok(quote!(crate::recipe::schema::Shape::Text)),
            (None, None) => self.shape_of(&self.field.ty),
        }
    }

    fn shape_of(&self, of: &Type) -> syn::Result<TokenStream> {
        let (name, inner) = outer_and_inner(of)?;
        let schema = quote!(crate::recipe::schema);
        Ok(match (name.as_str(), inner) {
            ("Option", Some(inner)) => self.shape_of(inner)?,
            ("Vec", Some(inner)) => {
                let inner = self.shape_of(inner)?;
                quote!(#schema::Shape::List(&const { #inner }))
            }
            ("BTreeMap", Some(inner)) => {
                let inner = self.shape_of(inner)?;
                quote!(#schema::Shape::Table(&const { #inner }))
            }
            ("bool", _) => quote!(#schema::Shape::Flag),
            ("String", _) => quote!(#schema::Shape::Text),
            ("f64", _) => self.number(),
            ("usize" | "u64" | "u32", _) => self.integer(quote!(0))?,
            ("i64", _) => self.integer(quote!(i64::MIN))?,
            _ => quote!(#schema::Shape::Choice(<#of as ::strum::VariantNames>::VARIANTS)),
        })
    }

    fn number(&self) -> TokenStream {
        let Options { min, above, max, .. } = &self.options;
        let open = above.is_some();
        let least = above
            .as_ref()
            .or(min.as_ref())
            .map_or(quote!(f64::MIN), |least| quote!((#least) as f64));
        let most = max.as_ref().map_or(quote!(f64::MAX), |most| quote!((#most) as f64));
        quote!(crate::recipe::schema::Shape::Number { least: #least, most: #most, open: #open })
    }

    fn integer(&self, smallest: TokenStream) -> syn::Result<TokenStream> {
        if let Some(above) = &self.options.above {
            return Err(syn::Error::new_spanned(above, "an integer has no `above`; write `min`"));
        }
        let least = self.options.min.as_ref().map_or(smallest, |least| quote!(#least));
        let most = self.options.max.as_ref().map_or(quote!(i64::MAX), |most| quote!(#most));
        Ok(quote!(crate::recipe::schema::Shape::Integer { least: #least, most: #most }))
    }

    fn default(&self) -> TokenStream {
        let schema = quote!(crate::recipe::schema);
        let Some(value) = &self.options.default else {
            let is_absent = self.has_serde_default || is_named(&self.field.ty, "Option");
            return if is_absent {
                quote!(#schema::Default::Absent)
            } else {
                quote!(#schema::Default::Required)
            };
        };
        match outer_and_inner(&self.field.ty).map_or(String::new(), |(name, _)| name).as_str() {
            "bool" => quote!(#schema::Default::Flag(#value)),
            "f64" => quote!(#schema::Default::Number((#value) as f64)),
            "usize" | "u64" | "u32" | "i64" => quote!(#schema::Default::Integer(#value)),
            "Vec" => quote!(#schema::Default::Texts(&#value)),
            _ => quote!(#schema::Default::Text(#value)),
        }
    }
}

impl Options {
    fn read(&mut self, meta: ParseNestedMeta<'_>) -> syn::Result<()> {
        let option = meta.path.require_ident()?.to_string();
        match option.as_str() {
            "default" => self.default = Some(meta.value()?.parse()?),
            "min" => self.min = Some(meta.value()?.parse()?),
            "above" => self.above = Some(meta.value()?.parse()?),
            "max" => self.max = Some(meta.value()?.parse()?),
            "words" => self.words = Some(meta.value()?.parse()?),
            "file" => self.file = Some(meta.value()?.parse()?),
            "table" => self.table = Some(meta.value()?.parse()?),
            "former" => self.former = Some(meta.value()?.parse()?),
            "aliases" => self.aliases = Some(meta.value()?.parse()?),
            "foreign" => self.foreign = Some(meta.value()?.parse()?),
            "foreign_values" => self.foreign_values = Some(meta.value()?.parse()?),
            "not_in_key" => self.not_in_key = true,
            "unordered" => self.unordered = true,
            "defaults" => {
                let inside;
                parenthesized!(inside in meta.input);
                let overrides = Punctuated::<Override, Token![,]>::parse_terminated(&inside)?;
                self.defaults = overrides.into_iter().map(|one| (one.name, one.value)).collect();
            }
            other => return Err(meta.error(format!("`parameter` has no option `{other}`"))),
        }
        Ok(())
    }
}

/// A default whose type only its literal tells.
fn literal_default(value: &Expr) -> TokenStream {
    let schema = quote!(crate::recipe::schema);
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(_), .. }) => quote!(#schema::Default::Integer(#value)),
        Expr::Lit(ExprLit { lit: Lit::Bool(_), .. }) => quote!(#schema::Default::Flag(#value)),
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => quote!(#schema::Default::Text(#value)),
        _ => quote!(#schema::Default::Number(#value)),
    }
}

fn with_name<'a>(
    attributes: &'a [Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a Attribute> {
    attributes.iter().filter(move |attribute| attribute.path().is_ident(name))
}

/// Whether one of a field's `#[serde(...)]` has this word.
fn serde_says(field: &syn::Field, word: &str) -> syn::Result<bool> {
    let mut found = false;
    for attribute in with_name(&field.attrs, "serde") {
        attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident(word);
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<Expr>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn is_named(of: &Type, name: &str) -> bool {
    outer_and_inner(of).is_ok_and(|(outer, _)| outer == name)
}

/// `Option<Vec<String>>` is (`Option`, `Vec<String>`), `BTreeMap<String, f64>` is (`BTreeMap`,
/// `f64`).
fn outer_and_inner(of: &Type) -> syn::Result<(String, Option<&Type>)> {
    let Type::Path(path) = of else {
        return Err(syn::Error::new_spanned(of, "a parameter has a named type"));
    };
    let Some(last) = path.path.segments.last() else {
        return Err(syn::Error::new_spanned(of, "a parameter has a named type"));
    };
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().rev().find_map(as_type),
        _ => None,
    };
    Ok((last.ident.to_string(), inner))
}

fn as_type(argument: &GenericArgument) -> Option<&Type> {
    match argument {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}
