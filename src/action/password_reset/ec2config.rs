//! EC2Config: its plug-in that sets the password, enabled in `config.xml` (WIN-82; documented by the vendor).

use super::{Reset, files};
use crate::error::Result;
use crate::guest::windows::AgentKind;
use crate::guest::windows::format::{ec2config, refused};
use crate::login::Finding;

pub(super) fn plan(reset: &mut Reset<'_>) -> Result<()> {
    let name = AgentKind::Config.name();
    let path = format!("{}/Settings/config.xml", AgentKind::Config.directory());
    let file = files::read(reset.fs, &path)?;
    let shown = file.path.to_string();
    let config = ec2config::parse(&file.content).map_err(|defect| refused(&shown, &defect))?;
    if config.changes.is_empty() {
        let message = "the plug-in Ec2SetPassword is enabled already: nothing to do";
        reset.findings.push(Finding::info(("agent-state", "WIN-82"), &shown, message));
    }
    if config.renames_computer {
        let message = "the plug-in Ec2SetComputerName is enabled: the computer will be renamed and \
                       restarted";
        reset.warn(("rename", "WIN-84"), &shown, message);
    }
    if config.handles_user_data {
        let message = "the plug-in Ec2HandleUserData is enabled: user data run at the next boot";
        reset.warn(("user-data", "WIN-84"), &shown, message);
    }
    let message = "an Administrator account that is disabled is said to stay so: not known here";
    reset.findings.push(Finding::info(("account", "WIN-85"), name, message));
    if reset.system.version.build.is_some_and(|build| build < 6000) {
        let message = "Windows Server 2003 is little tested: it also needs the plug-in \
                       Ec2ConfigureRDP for Remote Desktop";
        reset.warn(("version", "WIN-85"), reset.system.full_name(), message);
    }
    reset.path = Some(file.path.clone());
    reset.change(&file, &config.changes, "plug-in Ec2SetPassword enabled")
}
