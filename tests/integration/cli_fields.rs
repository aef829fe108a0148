//! Every field of the JSON documents by name (`spec/cli.md`, section "JSON"): none may vanish.

use crate::cli_commands::Place;
use serde_json::Value;
use std::collections::BTreeSet;

/// The paths of all fields in `value`; every element of a list has the same path.
fn collect(path: &str, value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields.insert(path.clone());
                collect(&path, value, fields);
            }
        }
        Value::Array(list) => {
            for value in list {
                collect(&format!("{path}[]"), value, fields);
            }
        }
        _ => {}
    }
}

#[track_caller]
pub(crate) fn check(value: &Value, expected: &str) {
    let mut fields = BTreeSet::new();
    collect("", value, &mut fields);
    let expected: BTreeSet<String> = expected.split_whitespace().map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&fields).collect();
    let new: Vec<_> = fields.difference(&expected).collect();
    assert!(missing.is_empty() && new.is_empty(), "missing: {missing:?}; not listed here: {new:?}");
}

const KEY: [&str; 12] = [
    "user",
    "path",
    "line",
    "type",
    "bits",
    "fingerprint",
    "md5",
    "comment",
    "options",
    "is_authority",
    "counts",
    "reason",
];
const FINDING: &str = "findings[].rule findings[].check findings[].severity findings[].subject \
                       findings[].message findings[].fix findings[].undecided";

fn keys(path: &str) -> String {
    KEY.map(|name| format!("{path}.{name}")).join(" ")
}

#[test]
fn inspect() {
    let place = Place::new();
    check(
        &place.ok("inspect root.img --json"),
        &format!(
            "image image.format image.size_bytes image.sector_size_bytes image.partition_table image.table_guid
             volumes volumes[].id volumes[].source volumes[].offset_bytes volumes[].size_bytes volumes[].partition_type
             volumes[].partition_name volumes[].file_system volumes[].label volumes[].uuid volumes[].health
             volumes[].writable volumes[].reason
             systems systems[].volume_id systems[].family systems[].name systems[].version systems[].arch
             systems[].host_name systems[].users systems[].users[].name systems[].users[].uid
             systems[].users[].home systems[].users[].shell systems[].users[].is_default
             systems[].users[].keys {} systems[].agents systems[].access_routes
             systems[].access_routes[].route systems[].access_routes[].available
             systems[].access_routes[].reason systems[].access_routes[].command
             systems[].access_routes[].id systems[].access_routes[].state
             systems[].access_routes[].detail systems[].access_routes[].next_command
             warnings io io.bytes_read io.bytes_written",
            keys("systems[].users[].keys[]")
        ),
    );
}

#[test]
fn key_list() {
    let place = Place::new();
    let listed = place.ok("key list root.img --json");
    let io = "io io.bytes_read io.bytes_written";
    check(&listed, &format!("keys {} warnings findings {FINDING} {io}", keys("keys[]")));
}

#[test]
fn key_check() {
    let place = Place::new();
    let line = "key check root.img --user admin --key rescue_key.pub --json";
    let run = place.regain.run(&crate::cli_commands::words(line));
    check(
        &run.json()["result"],
        &format!(
            "verdict user date findings {FINDING} keys keys[].verdict keys[].fingerprint keys[].type keys[].bits
             keys[].comment keys[].path keys[].line keys[].findings not_seen io io.bytes_read
             io.bytes_written"
        ),
    );
}

#[test]
fn key_add_show_apply_and_undo() {
    let place = Place::new();
    let made = "patch patch.bytes_changed patch.runs patch.path undo_file undo_command io io.bytes_read \
                io.bytes_written changed";
    let key = "generated_key generated_key.path generated_key.type generated_key.fingerprint \
               generated_key.public_key";
    let done = place.ok("key add root.img --generate-key id --yes --undo-file u --json");
    let finding = if done["findings"].as_array().unwrap().is_empty() { "" } else { FINDING };
    check(
        &done,
        &format!(
            "{made} {key} {finding} dry_run volume_id users users[].name users[].outcome users[].reason
             users[].path users[].verdict changes changes[].path changes[].action changes[].detail findings verified_by"
        ),
    );
    check(
        &place.ok("show u --json"),
        "path made_by created command identity identity.size_bytes identity.table_guid identity.volumes
         identity.volumes[].id identity.volumes[].offset_bytes identity.volumes[].file_system
         identity.volumes[].uuid files files[].volume_id files[].path files[].action files[].detail bytes_changed bytes_written
         runs runs[].offset_bytes runs[].size_bytes runs[].bytes_differing runs[].labels",
    );
    let states = "state_before state_after";
    check(&place.ok("undo u root.img --yes --json"), &format!("{made} {states}"));
    let applied = place.ok("apply u root.img --yes --undo-file v --json");
    check(&applied, &format!("{made} {states}"));
}

#[test]
fn the_frame_of_success_and_failure() {
    let place = Place::new();
    let run = |line: &str| place.regain.run(&crate::cli_commands::words(line)).json();
    let mut done = run("key list root.img --json");
    done["result"] = Value::Null;
    check(
        &done,
        "schema command regain_version ok target target.path target.kind target.format target.size_bytes
         target.volume_id result",
    );
    check(
        &run("key list nothing.img --json"),
        "schema command regain_version ok target target.path error error.kind error.exit_status error.message
         error.causes error.hint error.target_modified",
    );
}
