//! The value `gPCMachineExtensionNames`: which extensions have settings in a policy.
//!
//! Format: MS-GPOL, section 2.2.4: groups in square brackets, each the GUID of a client-side
//! extension and those of its administrative tools, in braces; groups and tools in ascending order.

use super::GroupPolicyDefect;

/// The client-side extension of scripts, and the administrative tool for machine scripts (WIN-116).
pub(super) const SCRIPTS_EXTENSION: &str = "{42B5FAAE-6536-11D2-AE5A-0000F87571E3}";
pub(super) const SCRIPTS_TOOL: &str = "{40B6664F-4972-11D1-A7CA-0000F87571E3}";
/// Bound on the GUIDs of a value.
const GUIDS_MAX: usize = 1024;

/// `names` with the extension for scripts in it.
///
/// Other groups stay as they are, to the letter; a new one goes in front of the first that sorts
/// behind it.
pub(super) fn with_scripts(names: &str) -> Result<String, GroupPolicyDefect> {
    let mut groups = parse(names).ok_or(GroupPolicyDefect::ExtensionNames)?;
    let found = groups.iter_mut().find(|group| {
        group.first().is_some_and(|guid| guid.eq_ignore_ascii_case(SCRIPTS_EXTENSION))
    });
    if let Some(group) = found {
        insert_tool(group);
    } else {
        let at = groups.iter().position(|group| is_behind(group.first(), SCRIPTS_EXTENSION));
        groups.insert(at.unwrap_or(groups.len()), vec![SCRIPTS_EXTENSION, SCRIPTS_TOOL]);
    }
    Ok(groups.into_iter().flat_map(|group| [vec!["["], group, vec!["]"]]).flatten().collect())
}

/// True if a group with this first GUID sorts behind `guid`.
fn is_behind(first: Option<&&str>, guid: &str) -> bool {
    first.is_some_and(|first| first.to_ascii_uppercase().as_str() > guid)
}

/// Adds the tool behind the extension of its group, sorted, unless it is there.
fn insert_tool(group: &mut Vec<&str>) {
    let mut tools = group.iter().zip(0usize..).skip(1);
    if tools.clone().any(|(tool, _)| tool.eq_ignore_ascii_case(SCRIPTS_TOOL)) {
        return;
    }
    let behind = tools.find(|(tool, _)| is_behind(Some(tool), SCRIPTS_TOOL));
    let at = behind.map_or(group.len(), |(_, at)| at);
    group.insert(at, SCRIPTS_TOOL);
}

/// The groups; `None` if the value has another form.
fn parse(names: &str) -> Option<Vec<Vec<&str>>> {
    let mut groups = Vec::new();
    let mut guid_count = 0usize;
    let mut rest = names;
    while !rest.is_empty() {
        let (mut inside, behind) = rest.strip_prefix('[')?.split_once(']')?;
        let mut group = Vec::new();
        while !inside.is_empty() {
            let (guid, next) = inside.split_at_checked(SCRIPTS_TOOL.len())?;
            guid_count = guid_count.checked_add(1).filter(|count| *count <= GUIDS_MAX)?;
            group.push(is_guid(guid).then_some(guid)?);
            inside = next;
        }
        if group.is_empty() {
            return None;
        }
        groups.push(group);
        rest = behind;
    }
    Some(groups)
}

fn is_guid(text: &str) -> bool {
    let mut pairs = text.bytes().zip(SCRIPTS_TOOL.bytes());
    pairs.all(|(byte, model)| match model {
        b'{' | b'}' | b'-' => byte == model,
        _ => byte.is_ascii_hexdigit(),
    })
}
