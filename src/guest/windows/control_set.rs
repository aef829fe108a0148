//! The active control set of the SYSTEM hive: computer name, role, services (WIN-13, WIN-15, WIN-37).

use super::registry::Registry;
use crate::error::{Corrupt, Result};
use std::fmt;

/// Bound on the number of a control set: three digits.
const NUMBER_MAX: u32 = 999;

/// When a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// By the boot loader or with the kernel: 0 or 1.
    Boot,
    /// With the system: 2.
    Automatic,
    /// On demand: 3.
    Manual,
    /// Never: 4.
    Disabled,
    /// A number that means nothing, or no number at all.
    Unknown,
}

impl Start {
    fn from_value(value: Option<u32>) -> Self {
        match value {
            Some(0 | 1) => Self::Boot,
            Some(2) => Self::Automatic,
            Some(3) => Self::Manual,
            Some(4) => Self::Disabled,
            _ => Self::Unknown,
        }
    }

    /// The word for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Automatic => "automatic",
            Self::Manual => "manual",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The control set that the next boot uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSet {
    key: String,
}

impl ControlSet {
    /// Finds it: `Select\Current` (WIN-13).
    ///
    /// # Errors
    /// `Corrupt` if there is none; as the hive.
    pub fn read(system: &Registry<'_>) -> Result<Self> {
        let number = system.dword("Select", "Current")?.filter(|number| *number <= NUMBER_MAX);
        let number = number.ok_or_else(|| no_control_set("Select\\Current is not a number"))?;
        let key = format!("ControlSet{number:03}");
        if !system.has_key(&key)? {
            return Err(no_control_set(&format!("the key {key} is missing")).into());
        }
        Ok(Self { key })
    }

    /// Its key, as in `ControlSet001`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key of a service.
    pub fn service_key(&self, service: &str) -> String {
        format!("{}\\Services\\{service}", self.key)
    }

    /// When `service` starts; `None` if there is no such service.
    ///
    /// # Errors
    /// As the hive.
    pub fn start(&self, system: &Registry<'_>, service: &str) -> Result<Option<Start>> {
        let key = self.service_key(service);
        if !system.has_key(&key)? {
            return Ok(None);
        }
        Ok(Some(Start::from_value(system.dword(&key, "Start")?)))
    }

    /// The computer name.
    ///
    /// # Errors
    /// As the hive.
    pub fn computer_name(&self, system: &Registry<'_>) -> Result<Option<String>> {
        let key = format!("{}\\Control\\ComputerName\\ComputerName", self.key);
        system.string(&key, "ComputerName")
    }

    /// `WinNT`, `ServerNT`, or `LanmanNT` for a domain controller (WIN-15).
    ///
    /// # Errors
    /// As the hive.
    pub fn product_type(&self, system: &Registry<'_>) -> Result<Option<String>> {
        system.string(&format!("{}\\Control\\ProductOptions", self.key), "ProductType")
    }

    /// The primary DNS domain, which a member of a domain has (WIN-126).
    ///
    /// # Errors
    /// As the hive.
    pub fn domain(&self, system: &Registry<'_>) -> Result<Option<String>> {
        let key = format!("{}\\Services\\Tcpip\\Parameters", self.key);
        Ok(system.string(&key, "Domain")?.filter(|domain| !domain.is_empty()))
    }

    /// The architecture by the name that `uname -m` prints.
    ///
    /// # Errors
    /// As the hive.
    pub fn arch(&self, system: &Registry<'_>) -> Result<Option<&'static str>> {
        let key = format!("{}\\Control\\Session Manager\\Environment", self.key);
        let name = system.string(&key, "PROCESSOR_ARCHITECTURE")?;
        Ok(match name.as_deref() {
            Some("AMD64") => Some("x86_64"),
            Some("ARM64") => Some("aarch64"),
            Some("x86") => Some("i686"),
            _ => None,
        })
    }
}

fn no_control_set(defect: &str) -> Corrupt {
    Corrupt::new("control set", defect.to_owned()).of("SYSTEM hive")
}
