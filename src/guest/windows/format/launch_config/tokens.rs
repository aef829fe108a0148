//! The tokens of a small JSON file with their places.

use super::{LaunchConfigDefect, Span};
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// Bound on the opening brackets, and so on the nesting. The format has one.
pub(super) const BRACKETS_MAX: usize = 32;
/// Bound on commas, colons and opening brackets. The format has about twenty.
pub(super) const STRUCTURE_MAX: usize = 20_000;

/// One token. `Debug` is not derived: the text can be a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Name, string without quotes and escapes, number or word; empty for brackets.
    pub(super) text: String,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    String,
    Number,
    Boolean,
    Null,
    Start,
    End,
}

/// All tokens of a file, punctuation left out.
pub(super) struct Tokens {
    pub(super) tokens: Vec<Token>,
    properties: Vec<Property>,
}

/// A property of the outermost object.
#[derive(Clone)]
pub(super) struct Property {
    name: String,
    /// The name as it is written, with quotes.
    pub(super) name_span: Span,
    /// The value as it is written.
    pub(super) value_span: Span,
    /// Index of the first token of the value.
    pub(super) value_index: usize,
    /// The value, if it is a string.
    pub(super) text: Option<String>,
    /// True if the value says yes.
    pub(super) is_true: bool,
}

impl Tokens {
    pub(super) fn parse(json: &str) -> Result<Self, LaunchConfigDefect> {
        check_bounds(json)?;
        let collect = CollectOptions::default();
        // Without commas there would be no bound on the values.
        let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
        let parsed = parse_to_ast(json, &collect, &options)
            .map_err(|error| LaunchConfigDefect::Json { reason: error.to_string() })?;
        let Some(Value::Object(object)) = parsed.value else {
            return Err(LaunchConfigDefect::NoObject);
        };
        let mut all = Self { tokens: Vec::new(), properties: Vec::new() };
        for property in &object.properties {
            let name = property.name.as_str().to_owned();
            all.push(Kind::Name, &name);
            let (name_range, value_range) = (property.name.range(), property.value.range());
            let (text, is_true) = match &property.value {
                Value::StringLit(value) => (
                    Some(value.value.clone().into_owned()),
                    value.value.eq_ignore_ascii_case("true"),
                ),
                Value::BooleanLit(value) => (None, value.value),
                _ => (None, false),
            };
            all.properties.push(Property {
                name,
                name_span: name_range.start..name_range.end,
                value_span: value_range.start..value_range.end,
                value_index: all.tokens.len(),
                text,
                is_true,
            });
            all.push_value(&property.value);
        }
        Ok(all)
    }

    /// The property with a name in any case; it must not be there twice.
    pub(super) fn property(
        &self,
        name: &'static str,
    ) -> Result<Option<Property>, LaunchConfigDefect> {
        let mut found = self.properties.iter().filter(|p| p.name.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(LaunchConfigDefect::DuplicateKey { name }),
            (property, _) => Ok(property.cloned()),
        }
    }

    fn push(&mut self, kind: Kind, text: &str) {
        self.tokens.push(Token { kind, text: text.to_owned() });
    }

    /// Recursion ends at [`BRACKETS_MAX`].
    fn push_value(&mut self, value: &Value<'_>) {
        match value {
            Value::StringLit(value) => self.push(Kind::String, &value.value),
            Value::NumberLit(value) => self.push(Kind::Number, value.value),
            Value::BooleanLit(value) => {
                self.push(Kind::Boolean, if value.value { "true" } else { "false" });
            }
            Value::NullKeyword(_) => self.push(Kind::Null, ""),
            Value::Object(object) => {
                self.push(Kind::Start, "{");
                for property in &object.properties {
                    self.push(Kind::Name, property.name.as_str());
                    self.push_value(&property.value);
                }
                self.push(Kind::End, "}");
            }
            Value::Array(array) => {
                self.push(Kind::Start, "[");
                for element in &array.elements {
                    self.push_value(element);
                }
                self.push(Kind::End, "]");
            }
        }
    }
}

/// Bounds the nesting before the parser, which recurses, sees the text. Brackets in strings and
/// comments count too, and closing ones do not: that is never too few.
fn check_bounds(json: &str) -> Result<(), LaunchConfigDefect> {
    let (mut brackets, mut structure) = (0usize, 0usize);
    for byte in json.bytes() {
        match byte {
            b'{' | b'[' => brackets = brackets.saturating_add(1),
            b',' | b':' => {}
            _ => continue,
        }
        structure = structure.saturating_add(1);
        if structure > STRUCTURE_MAX {
            return Err(LaunchConfigDefect::TooLarge);
        }
    }
    if brackets > BRACKETS_MAX { Err(LaunchConfigDefect::TooDeep) } else { Ok(()) }
}
