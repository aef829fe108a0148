//! Which Windows it is (WIN-12, table WIN-T1).

use super::registry::Registry;
use crate::error::Result;

const KEY: &str = r"Microsoft\Windows NT\CurrentVersion";

/// Table WIN-T1: first build, and the name of the server.
const SERVERS: [(u32, &str); 8] = [
    (3790, "2003"),
    (7601, "2008 R2"),
    (9200, "2012"),
    (9600, "2012 R2"),
    (14393, "2016"),
    (17763, "2019"),
    (20348, "2022"),
    (26100, "2025"),
];

/// What the SOFTWARE hive says about the installation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// As in `Windows Server 2019 Datacenter`; clients of version 11 still say 10 here.
    pub product_name: Option<String>,
    /// As in `ServerDatacenter`.
    pub edition: Option<String>,
    /// `Server`, `Server Core`, `Client`.
    pub installation_type: Option<String>,
    /// Major and minor number, as in `10.0`.
    pub number: Option<String>,
    /// As in 17763.
    pub build: Option<u32>,
    /// The update, as in 5458.
    pub update: Option<u32>,
    /// As in `1809` or `21H2`.
    pub release: Option<String>,
}

impl Version {
    /// Reads the values of WIN-12.
    ///
    /// # Errors
    /// As the hive.
    pub fn read(software: &Registry<'_>) -> Result<Self> {
        let text = |name| software.string(KEY, name);
        let number = match software.dword(KEY, "CurrentMajorVersionNumber")? {
            Some(major) => {
                let minor = software.dword(KEY, "CurrentMinorVersionNumber")?.unwrap_or(0);
                Some(format!("{major}.{minor}"))
            }
            // 6.3 since 2016, whatever the version is.
            None => text("CurrentVersion")?,
        };
        let build = text("CurrentBuild")?.or(text("CurrentBuildNumber")?);
        Ok(Self {
            product_name: text("ProductName")?,
            edition: text("EditionID")?,
            installation_type: text("InstallationType")?,
            number,
            build: build.and_then(|build| build.trim().parse().ok()),
            update: software.dword(KEY, "UBR")?,
            release: text("DisplayVersion")?.or(text("ReleaseId")?),
        })
    }

    /// True unless it says that it is a client.
    pub fn is_server(&self) -> bool {
        self.installation_type.as_deref() != Some("Client")
    }

    /// The name of the server by its build (table WIN-T1), as in `2019`; clients share builds.
    pub fn server_name(&self) -> Option<&'static str> {
        let build = self.build.filter(|_| self.is_server())?;
        SERVERS.into_iter().find(|(known, _)| *known == build).map(|(_, name)| name)
    }

    /// The name for people.
    pub fn full_name(&self) -> String {
        match (&self.product_name, self.server_name()) {
            (Some(name), _) if name.starts_with("Windows") => name.clone(),
            (Some(name), _) => format!("Windows ({name})"),
            (None, Some(name)) => format!("Windows Server {name}"),
            (None, None) => "Windows".to_owned(),
        }
    }

    /// As in `10.0.17763.5458`; empty if nothing is known.
    pub fn number(&self) -> String {
        let parts = [
            self.number.clone(),
            self.build.map(|build| build.to_string()),
            self.update.map(|update| update.to_string()),
        ];
        parts.into_iter().map_while(|part| part).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(product: &str, kind: &str, build: u32) -> Version {
        Version {
            product_name: (!product.is_empty()).then(|| product.to_owned()),
            installation_type: Some(kind.to_owned()),
            number: Some("10.0".to_owned()),
            build: Some(build),
            update: Some(7),
            ..Version::default()
        }
    }

    #[test]
    fn builds_name_servers_and_not_clients_win_12_win_t1() {
        for (product, kind, build, server, name) in [
            ("", "Server", 14393, Some("2016"), "Windows Server 2016"),
            ("", "Server Core", 17763, Some("2019"), "Windows Server 2019"),
            (
                "Windows Server 2022 Datacenter",
                "Server",
                20348,
                Some("2022"),
                "Windows Server 2022 Datacenter",
            ),
            ("Windows 10 Pro", "Client", 17763, None, "Windows 10 Pro"),
            ("", "Client", 17763, None, "Windows"),
            ("", "Server", 1, None, "Windows"),
        ] {
            let version = version(product, kind, build);
            assert_eq!((version.server_name(), version.full_name().as_str()), (server, name));
        }
        assert_eq!(version("", "Server", 17763).number(), "10.0.17763.7");
        assert_eq!(Version::default().number(), "");
    }
}
