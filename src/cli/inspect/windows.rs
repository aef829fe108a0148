//! What `inspect` says of a Windows system.

use crate::guest::windows;
use crate::report::inspect::System;
use crate::session::SessionVolume;

/// The system for the report; adds its warnings to `warnings`.
pub(super) fn system(
    volume: &SessionVolume,
    system: &windows::System,
    warnings: &mut Vec<String>,
) -> System {
    warnings.extend(system.warnings.iter().cloned());
    System {
        volume_id: volume.volume.id.clone(),
        family: "windows",
        name: system.full_name().into(),
        version: String::new().into(),
        arch: None,
        host_name: system.host_name.clone().map(Into::into),
        users: Vec::new(),
        agents: Vec::new(),
        access_routes: Vec::new(),
    }
}
