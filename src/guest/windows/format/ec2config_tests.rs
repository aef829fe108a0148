//! Fixtures are our own, by WIN-80 and WIN-81 (WIN-130).

use super::super::text::tests::{ENCODINGS, file};
use super::super::{Encoding, change::apply};
use super::*;
use proptest::prelude::*;

fn plugin(name: &str, state: &str) -> String {
    format!("    <Plugin>\r\n      <Name>{name}</Name>\r\n      {state}\r\n    </Plugin>\r\n")
}

fn config(plugins: &[String]) -> String {
    let plugins = plugins.concat();
    format!(
        "<?xml version=\"1.0\" standalone=\"yes\"?>\r\n<Ec2ConfigurationSettings>\r\n  <Plugins>\r\n\
         {plugins}  </Plugins>\r\n  <GlobalSettings>\r\n    <ManageShutdown>true</ManageShutdown>\r\n  \
         </GlobalSettings>\r\n</Ec2ConfigurationSettings>\r\n"
    )
}

fn with_state(state: &str) -> String {
    config(&[
        plugin("Ec2SetPassword", state),
        plugin("Ec2SetComputerName", "<State>Disabled</State>"),
        plugin("Ec2HandleUserData", "<State>Enabled</State>"),
    ])
}

#[test]
fn the_edit_is_exactly_the_one_of_the_table() {
    // WIN-82, WIN-83, table WIN-T3: in every encoding.
    for encoding in ENCODINGS {
        let mut xml = with_state("<State>Disabled</State>");
        if encoding == Encoding::Ansi {
            xml = xml.replace("true</M", "\u{f7e4}</M");
        }
        let bytes = file(encoding, &xml);
        let found = parse(&bytes).unwrap();
        assert_eq!(found.set_password, PluginState::Disabled, "{encoding}");
        assert!(!found.renames_computer && found.handles_user_data);
        let [one] = found.changes.as_slice() else { panic!("{:?}", found.changes) };
        assert!(one.keeps_length());
        assert_eq!(one.old, encoding.encode("<State>Disabled</State>").unwrap());
        assert_eq!(one.new, encoding.encode("<State>Enabled</State> ").unwrap());
        let expected = xml.replacen("<State>Disabled</State>", "<State>Enabled</State> ", 1);
        let changed = apply(&bytes, &found.changes).unwrap();
        assert_eq!(changed, file(encoding, &expected), "{encoding}");
        // A second run has nothing to do.
        let again = parse(&changed).unwrap();
        assert_eq!((again.set_password, again.changes), (PluginState::Enabled, vec![]));
    }
}

#[test]
fn forms_of_the_state() {
    let form = |found| Err(Ec2ConfigDefect::StateForm { line: 6, found });
    let value = Err(Ec2ConfigDefect::StateValue { line: 6 });
    for (state, expected) in [
        ("<State>Enabled</State>", Ok("<State>Enabled</State>")),
        ("<State> Disabled\r\n</State>", Ok("<State> Enabled\r\n</State> ")),
        ("<State>Disabled</State><!-- x -->", Ok("<State>Enabled</State> <!-- x -->")),
        ("<State><![CDATA[Disabled]]></State>", form("a CDATA section")),
        ("<State>Dis<!-- x -->abled</State>", form("a comment")),
        ("<State>&#68;isabled</State>", form("an entity or a character reference")),
        ("<State>Disabled<?x y?></State>", form("a processing instruction")),
        ("<State>Disabled<b/></State>", form("an element")),
        ("<State a='b'>Disabled</State>", form("attributes or white space in its tags")),
        ("<State>Disabled</State >", form("attributes or white space in its tags")),
        ("<State/>", value.clone()),
        ("<State></State>", value.clone()),
        ("<State>disabled</State>", value.clone()),
        ("<State>On</State>", value.clone()),
        ("", Err(Ec2ConfigDefect::States { line: 4, count: 0 })),
        (
            "<State>Disabled</State><State>Disabled</State>",
            Err(Ec2ConfigDefect::States { line: 4, count: 2 }),
        ),
    ] {
        let xml = with_state(state);
        let found = parse(xml.as_bytes()).map(|found| {
            String::from_utf8(apply(xml.as_bytes(), &found.changes).unwrap()).unwrap()
        });
        assert_eq!(found, expected.map(with_state), "{state}");
    }
}

#[test]
fn the_renaming_plugin_is_announced() {
    // WIN-84.
    let xml = config(&[
        plugin("Ec2SetComputerName", "<State>Enabled</State>"),
        plugin(" Ec2SetPassword ", "<State>Disabled</State>"),
    ]);
    let found = parse(xml.as_bytes()).unwrap();
    assert!(found.renames_computer && !found.handles_user_data);
    assert_eq!(found.changes.len(), 1);
}

#[test]
fn a_name_elsewhere_does_not_count() {
    let password = plugin("Ec2SetPassword", "<State>Disabled</State>");
    let twice = config(&[password.clone(), password.clone()]);
    let outside = format!("<Ec2ConfigurationSettings>{password}</Ec2ConfigurationSettings>");
    let commented = config(&[format!("<!--{password}-->")]);
    for (xml, expected) in [
        (twice, Ec2ConfigDefect::SeveralPlugins { count: 2 }),
        (outside, Ec2ConfigDefect::NoPlugin),
        (commented, Ec2ConfigDefect::NoPlugin),
        (config(&[]), Ec2ConfigDefect::NoPlugin),
        ("<a/>".to_owned(), Ec2ConfigDefect::Root),
    ] {
        assert_eq!(parse(xml.as_bytes()), Err(expected), "{xml}");
    }
}

#[test]
fn bombs_and_damage_are_refused() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let entities = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>";
    let wide = config(&vec!["<a/>".to_owned(); 50_000]);
    assert_eq!(parse(deep.as_bytes()), Err(Ec2ConfigDefect::TooDeep));
    assert_eq!(parse(entities.as_bytes()), Err(Ec2ConfigDefect::DocumentType));
    let defect = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    assert!(defect(wide.as_bytes()).starts_with("it is no valid XML: nodes limit"));
    let huge = vec![b' '; 1 << 21];
    assert_eq!(defect(&huge), "2097152 bytes are more than the limit of 1048576");
    for (bytes, expected) in [
        (b"<a>\0</a>".as_slice(), "a NUL character at 0x3"),
        (b"", "it is no valid XML: the document does not have a root node"),
        (b"<a", "it is no valid XML: "),
        (b"<a>&x;</a>", "it is no valid XML: unknown entity reference 'x' at 1:4"),
        (b"\xff\xfe<", "UTF-16 text with an odd number of bytes"),
    ] {
        assert!(defect(bytes).starts_with(expected), "{}", defect(bytes));
    }
    // Every cut of a good file is an error, never a change.
    let good = with_state("<State>Disabled</State>");
    let end = good.trim_end().len();
    assert!((0..end).all(|cut| parse(&good.as_bytes()[..cut]).is_err()));
}

proptest! {
    #[test]
    fn only_the_one_state_changes(
        choice in 0..ENCODINGS.len(),
        before in proptest::collection::vec(("[A-Za-z.]{1,12}", "(En|Dis)abled"), 0..6),
        after in proptest::collection::vec(("[A-Za-z.]{1,12}", "(En|Dis)abled"), 0..6),
        is_enabled in any::<bool>(),
    ) {
        let others = |list: &[(String, String)]| -> Vec<String> {
            list.iter().map(|(name, state)| plugin(name, &format!("<State>{state}</State>"))).collect()
        };
        let state = if is_enabled { "<State>Enabled</State>" } else { "<State>Disabled</State>" };
        let encoding = ENCODINGS[choice];
        let mark = if encoding == Encoding::Ansi { "<!--\u{f7ff}-->" } else { "" };
        let own = [mark.to_owned(), plugin("Ec2SetPassword", state)].concat();
        let enabled = own.replace("<State>Disabled</State>", "<State>Enabled</State> ");
        let all = |own: String| file(encoding, &config(&[others(&before), vec![own], others(&after)].concat()));
        let bytes = all(own);
        let found = parse(&bytes).unwrap();
        prop_assert_eq!(apply(&bytes, &found.changes).unwrap(), all(enabled));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<u16>()) {
        let _ = parse(&bytes);
        let mut damaged = with_state("<State>Disabled</State>").into_bytes();
        let at = usize::from(at) % damaged.len();
        for (place, byte) in damaged[at..].iter_mut().zip(bytes.iter().take(3)) {
            *place = *byte;
        }
        if let Ok(found) = parse(&damaged) {
            let changed = apply(&damaged, &found.changes).unwrap();
            prop_assert_eq!(parse(&changed).unwrap().set_password, PluginState::Enabled);
        }
    }
}
