//! DenyUsers, AllowUsers, DenyGroups, AllowGroups, in sshd's order (LOGIN-60 to LOGIN-62).

use crate::guest::linux::User;
use crate::login::Guest;
use crate::login::finding::Finding;
use crate::login::match_block::Effective;
use crate::login::pattern::matches;

const ID: (&str, &str) = ("conf-users", "LOGIN-60");

/// What the four lists say: the first refusal that is certain, else everything that leaves the answer open.
pub(super) fn findings(guest: &Guest<'_>, user: &User, effective: &Effective<'_>) -> Vec<Finding> {
    let found = [users(user, effective), groups(guest, user, effective)].concat();
    match found.iter().find(|finding| finding.is_blocking()) {
        Some(refusal) => vec![refusal.clone()],
        None => found,
    }
}

fn place(effective: &Effective<'_>, keyword: &str) -> String {
    effective.first(keyword).map_or_else(String::new, |directive| directive.place.to_string())
}

fn users(user: &User, effective: &Effective<'_>) -> Vec<Finding> {
    let name = user.display_name();
    let mut found = Vec::new();
    if effective.names_user("denyusers", &user.name) {
        let message = format!("DenyUsers names {name}");
        found.push(Finding::block(ID, place(effective, "denyusers"), message));
    }
    let allowed = effective.list("allowusers");
    if !allowed.is_empty() && !effective.names_user("allowusers", &user.name) {
        let message =
            format!("AllowUsers does not name {name}{}", comma_hint(&allowed, &user.name));
        found.push(Finding::block(ID, place(effective, "allowusers"), message));
    }
    found
}

/// The usual mistake: names with commas between them are one pattern (LOGIN-61).
fn comma_hint(patterns: &[&[u8]], name: &[u8]) -> &'static str {
    let names_it = |pattern: &&[u8]| pattern.split(|&byte| byte == b',').any(|part| part == name);
    if patterns.iter().any(names_it) {
        " (names are separated by spaces, not by commas)"
    } else {
        ""
    }
}

fn groups(guest: &Guest<'_>, user: &User, effective: &Effective<'_>) -> Vec<Finding> {
    let accounts = &guest.system.accounts;
    let name = user.display_name();
    let groups: Vec<&[u8]> = accounts.groups_of(user).map(|group| group.name.as_slice()).collect();
    let others = accounts.services.other_groups().join(", ");
    let (denied, allowed) = (effective.list("denygroups"), effective.list("allowgroups"));
    let hit = |patterns: &[&[u8]]| {
        groups.iter().any(|group| patterns.iter().any(|pattern| matches(pattern, group)))
    };
    let mut found = Vec::new();
    if groups.is_empty() && !(denied.is_empty() && allowed.is_empty()) {
        let keyword = if denied.is_empty() { "allowgroups" } else { "denygroups" };
        let message = format!("{name} is in no known group, and a group list is set");
        found.push(refusal(place(effective, keyword), message, &others));
        return found;
    }
    if hit(&denied) {
        let message = format!("DenyGroups names a group of {name}");
        found.push(Finding::block(ID, place(effective, "denygroups"), message));
    }
    // A group that is not in the files comes from elsewhere, and so may its members.
    let is_foreign = |pattern: &&[u8]| !accounts.has_group(pattern);
    if !others.is_empty() && !hit(&denied) && denied.iter().any(is_foreign) {
        let message =
            format!("DenyGroups names groups that {others} may know, and may put {name} into");
        found.push(Finding::undecided(ID, place(effective, "denygroups"), message));
    }
    if !allowed.is_empty() && !hit(&allowed) {
        let message = format!("AllowGroups names no group of {name}");
        found.push(refusal(place(effective, "allowgroups"), message, &others));
    }
    found
}

/// A refusal, unless another service may put the user into a group.
fn refusal(place: String, message: String, others: &str) -> Finding {
    if others.is_empty() {
        return Finding::block(ID, place, message);
    }
    Finding::undecided(ID, place, format!("{message} in /etc/group; {others} may know more"))
}
