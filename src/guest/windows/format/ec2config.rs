//! `config.xml` of EC2Config: is the plug-in that sets the password enabled, and the edit that
//! enables it.
//!
//! Format: Extensible Markup Language (XML) 1.0, fifth edition; shape by WIN-80, plug-ins and states
//! by WIN-81, encodings by WIN-83, edit by WIN-82. Not handled, but refused by name: document types
//! and entities, a state that is not plain text, several plug-ins of the same name.

use super::{ByteChange, Text, TextDefect, change};
use roxmltree::{Document, Node, ParsingOptions};
use std::ops::Range;

/// The plug-in that sets the password (WIN-82).
const PASSWORD_PLUGIN: &str = "Ec2SetPassword";
/// The plug-in that renames the computer (WIN-84).
const NAME_PLUGIN: &str = "Ec2SetComputerName";
/// The plug-in that runs user data (WIN-84).
const USER_DATA_PLUGIN: &str = "Ec2HandleUserData";
/// Bound on the depth of elements. The format has four.
const DEPTH_MAX: usize = 64;
/// Bound on the elements, attributes and texts. The format has about a hundred.
const NODES_MAX: u32 = 20_000;

/// What `config.xml` says about the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Config {
    /// The state of the plug-in that sets the password.
    pub set_password: PluginState,
    /// The change that enables it; empty if it is enabled (WIN-82).
    pub changes: Vec<ByteChange>,
    /// True if the computer will be renamed and restarted (WIN-84).
    pub renames_computer: bool,
    /// True if user data run at the next start already (WIN-84); the edit does not change that.
    pub handles_user_data: bool,
}

/// State of a plug-in (WIN-81).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// It runs at the next start.
    Enabled,
    /// It does not.
    Disabled,
}

/// Why `config.xml` cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ec2ConfigDefect {
    /// No text.
    #[error(transparent)]
    Text(#[from] TextDefect),
    /// A document type, which could define entities.
    #[error("it has a document type definition")]
    DocumentType,
    /// Elements deeper than the bound.
    #[error("elements are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// No XML.
    #[error("it is no valid XML: {reason}")]
    Xml {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// The root element is another one.
    #[error("its root element is not Ec2ConfigurationSettings")]
    Root,
    /// No plug-in that sets the password.
    #[error("it has no plug-in {PASSWORD_PLUGIN}")]
    NoPlugin,
    /// More than one of them.
    #[error("it has {count} plug-ins {PASSWORD_PLUGIN}")]
    SeveralPlugins {
        /// How many.
        count: usize,
    },
    /// A plug-in has no state or several.
    #[error("line {line}: the plug-in {PASSWORD_PLUGIN} has {count} states")]
    States {
        /// Where the plug-in starts.
        line: usize,
        /// How many states it has.
        count: usize,
    },
    /// Something other than the plain words is in the state.
    #[error("line {line}: the state of {PASSWORD_PLUGIN} is not plain text: {found}")]
    StateForm {
        /// Where the state starts.
        line: usize,
        /// "a comment", "a CDATA section", ...
        found: &'static str,
    },
    /// The state is neither of the two words.
    #[error("line {line}: the state of {PASSWORD_PLUGIN} is neither Enabled nor Disabled")]
    StateValue {
        /// Where the state starts.
        line: usize,
    },
    /// The changed text says something else than was meant: an error of ours.
    #[error("the changed file does not read as intended")]
    NotVerified,
}

/// Reads `config.xml` and works out what enables the password plug-in.
///
/// # Errors
/// [`Ec2ConfigDefect`] if it is damaged or unusual.
pub fn parse(bytes: &[u8]) -> Result<Ec2Config, Ec2ConfigDefect> {
    let text = Text::decode(bytes)?;
    let found = find(&text)?;
    let mut config = Ec2Config {
        set_password: found.set_password,
        changes: Vec::new(),
        renames_computer: found.renames_computer,
        handles_user_data: found.handles_user_data,
    };
    if found.set_password == PluginState::Disabled {
        let old = text.get(found.state.clone()).ok_or(Ec2ConfigDefect::NotVerified)?;
        let new = format!("{} ", old.replacen("Disabled", "Enabled", 1));
        config.changes.extend(text.change(found.state.clone(), &new));
        verify(bytes, &found, &config.changes)?;
    }
    Ok(config)
}

/// Fails unless the changed file differs in this one state only.
fn verify(bytes: &[u8], before: &Found, changes: &[ByteChange]) -> Result<(), Ec2ConfigDefect> {
    let not_verified = Ec2ConfigDefect::NotVerified;
    let changed = change::apply(bytes, changes).map_err(|_| not_verified.clone())?;
    let after = find(&Text::decode(&changed)?)?;
    let is_meant = after.set_password == PluginState::Enabled
        && changes.len() == 1
        && changed.len() == bytes.len()
        && after.all_but_state == before.all_but_state;
    if is_meant { Ok(()) } else { Err(not_verified) }
}

struct Found {
    set_password: PluginState,
    /// The element `State`, from its `<` to the end of its end tag.
    state: Range<usize>,
    renames_computer: bool,
    handles_user_data: bool,
    /// Every tag and text of the document in order, that state left out.
    all_but_state: Vec<String>,
}

fn find(text: &Text) -> Result<Found, Ec2ConfigDefect> {
    let xml = text.as_str();
    if xml.contains("<!DOCTYPE") {
        return Err(Ec2ConfigDefect::DocumentType);
    }
    if nesting_exceeds(xml, DEPTH_MAX) {
        return Err(Ec2ConfigDefect::TooDeep);
    }
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options)
        .map_err(|error| Ec2ConfigDefect::Xml { reason: error.to_string() })?;
    let root = document.root_element();
    if root.tag_name().name() != "Ec2ConfigurationSettings" {
        return Err(Ec2ConfigDefect::Root);
    }
    let plugins: Vec<Node<'_, '_>> =
        elements(root, "Plugins").flat_map(|list| elements(list, "Plugin")).collect();
    let named = |name: &'static str| plugins.iter().filter(move |plugin| is_named(**plugin, name));
    let plugin = match (named(PASSWORD_PLUGIN).next(), named(PASSWORD_PLUGIN).count()) {
        (Some(plugin), 1) => *plugin,
        (None, _) => return Err(Ec2ConfigDefect::NoPlugin),
        (Some(_), count) => return Err(Ec2ConfigDefect::SeveralPlugins { count }),
    };
    let states: Vec<Node<'_, '_>> = elements(plugin, "State").collect();
    let [state] = states.as_slice() else {
        let line = text.line(plugin.range().start);
        return Err(Ec2ConfigDefect::States { line, count: states.len() });
    };
    let is_enabled = |name| named(name).any(|plugin| says_enabled(*plugin));
    Ok(Found {
        set_password: plain_state(text, *state)?,
        state: state.range(),
        renames_computer: is_enabled(NAME_PLUGIN),
        handles_user_data: is_enabled(USER_DATA_PLUGIN),
        all_but_state: everything_but(&document, *state),
    })
}

/// Fails if elements could be nested deeper than `limit`: tags are counted without being understood,
/// which is never too few.
fn nesting_exceeds(xml: &str, limit: usize) -> bool {
    let mut depth = 0usize;
    for (at, _) in xml.match_indices('<') {
        let tag = xml.get(at.saturating_add(1)..).unwrap_or_default();
        match tag.bytes().next() {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'!' | b'?') => {}
            _ if tag.split_once('>').is_some_and(|(inside, _)| inside.ends_with('/')) => {}
            _ => depth = depth.saturating_add(1),
        }
        if depth > limit {
            return true;
        }
    }
    false
}

fn elements<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// All character data directly in an element.
fn content(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|child| child.text()).collect()
}

fn is_named(plugin: Node<'_, '_>, name: &str) -> bool {
    elements(plugin, "Name").any(|element| content(element).trim() == name)
}

fn says_enabled(plugin: Node<'_, '_>) -> bool {
    elements(plugin, "State").any(|state| content(state).trim().eq_ignore_ascii_case("Enabled"))
}

/// The state, if it is written as `<State>word</State>`, with white space around the word at most.
fn plain_state(text: &Text, state: Node<'_, '_>) -> Result<PluginState, Ec2ConfigDefect> {
    let range = state.range();
    let line = text.line(range.start);
    let form = |found| Ec2ConfigDefect::StateForm { line, found };
    let written = text.get(range).unwrap_or_default();
    let word = written.strip_prefix("<State>").and_then(|rest| rest.strip_suffix("</State>"));
    match word.map(str::trim) {
        Some("Enabled") => Ok(PluginState::Enabled),
        Some("Disabled") => Ok(PluginState::Disabled),
        _ if written.contains("<![CDATA[") => Err(form("a CDATA section")),
        _ if written.contains("<!--") => Err(form("a comment")),
        _ if written.contains('&') => Err(form("an entity or a character reference")),
        _ if written.contains("<?") => Err(form("a processing instruction")),
        Some(word) if word.contains('<') => Err(form("an element")),
        Some(_) => Err(Ec2ConfigDefect::StateValue { line }),
        None if written.ends_with("/>") => Err(Ec2ConfigDefect::StateValue { line }),
        None => Err(form("attributes or white space in its tags")),
    }
}

/// Names, attributes and texts of the whole document in order, without the text of `state` and
/// without white space directly behind it, where the edit adds its space.
fn everything_but(document: &Document<'_>, state: Node<'_, '_>) -> Vec<String> {
    let mut all = Vec::new();
    for node in document.root().descendants() {
        if node.parent() == Some(state) {
            continue;
        }
        let text = node.text_storage().map_or("", |text| text.as_str());
        let is_behind = node.is_text() && node.prev_sibling() == Some(state);
        let text = if is_behind { text.trim_start() } else { text };
        if node.is_element() {
            all.push(format!("<{}", node.tag_name().name()));
            all.extend(node.attributes().map(|a| format!("{}={}", a.name(), a.value())));
        } else if !text.is_empty() {
            all.push(text.to_owned());
        }
    }
    all
}

#[cfg(test)]
#[path = "ec2config_tests.rs"]
mod tests;
