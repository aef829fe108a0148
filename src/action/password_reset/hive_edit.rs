//! Edits of registry hives as changes of their files.

use super::Reset;
use crate::action::FileChange;
use crate::error::{Error, Result};
use crate::guest::windows::registry::Registry;
use crate::guest::windows::{Agent, hive_path};
use crate::hive::HiveChanges;
use crate::login::Finding;

/// The value of `Start` that starts a service with the system.
const AUTOMATIC: u32 = 2;

impl Reset<'_> {
    /// Plans the changes of the file of a hive. New pages first, then the old ones, and the base block last:
    /// until then the hive is the old one (WIN-96).
    pub(super) fn change_hive(&mut self, registry: &Registry<'_>, detail: &str) -> Result<()> {
        let HiveChanges { overwrites, appended, .. } = registry.hive().finish()?;
        let path = registry.path();
        if registry.hive().replayed().is_some() && !overwrites.is_empty() {
            let message = "the hive was not written to its end: what its logs hold is replayed first, \
                           as Windows would at its start";
            let id = ("hive-dirty", "WIN-24");
            self.findings.push(Finding::info(id, path, message));
        }
        if registry.hive().may_have_transactions() && !overwrites.is_empty() {
            let message = "says that transactions of the registry may be pending: at its start Windows \
                           finishes those that are, which could set the edited value again";
            self.findings.push(Finding::info(("hive-transactions", "WIN-25"), path, message));
        }
        if !appended.is_empty() {
            let detail = format!("{detail}: room for it");
            let (path, bytes) = (path.clone(), appended);
            self.changes.push(FileChange::Append { path, bytes, detail });
        }
        let last = overwrites.len().saturating_sub(1);
        for (index, (offset_bytes, bytes)) in overwrites.into_iter().enumerate() {
            let detail = if index == last {
                "sequence numbers and checksum of the hive".to_owned()
            } else {
                detail.to_owned()
            };
            let path = path.clone();
            self.changes.push(FileChange::Overwrite { path, offset_bytes, bytes, detail });
        }
        Ok(())
    }

    /// Has the service of an agent start with the system again (WIN-37): 4 bytes in place.
    pub(super) fn enable_service(&mut self, agent: &Agent) -> Result<()> {
        let (Some(service), Some(set)) = (agent.kind.service(), &self.system.control_set) else {
            return Ok(());
        };
        let fs = self.fs;
        let mut registry = Registry::open(fs, &hive_path("SYSTEM"))?;
        let hive = registry.hive_mut();
        let missing = || Error::not_found(format!("the value Start of the service {service}"));
        let key = hive.key(&set.service_key(service))?.ok_or_else(missing)?;
        let value = hive.value(&key, "Start")?.ok_or_else(missing)?;
        hive.set_dword(&value, AUTOMATIC)?;
        let message = "is started with the system again, and stays so";
        self.warn(("service", "WIN-37"), format!("service {service}"), message);
        self.change_hive(&registry, &format!("service {service}: Start = {AUTOMATIC}"))
    }
}
