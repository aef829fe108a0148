//! The files of a Windows guest that a password reset reads and changes.
//!
//! Invariant: no panic; what the edit makes of a file can be edited again, and then nothing is left to do.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::guest::windows::format::agent_config::{AgentConfig, PasswordSource};
use regain::guest::windows::format::change::apply;
use regain::guest::windows::format::group_policy::{self, PolicyFiles};
use regain::guest::windows::format::launch_config::{LaunchConfig, LaunchPasswordSource};
use regain::guest::windows::format::startup_script::AccountChange;
use regain::guest::windows::format::task_cache::{self, TaskEntry};
use regain::guest::windows::format::{Password, agent_log, ec2config};
use regain_fuzz::WindowsFile;

fuzz_target!(|bytes: &[u8]| {
    let password = Password::new("P\u{e4}ss\"w0rd\\").expect("a password");
    match regain_fuzz::windows_file(bytes) {
        None => {}
        Some(WindowsFile::AgentConfig(file)) => agent_config(&file, &password),
        Some(WindowsFile::LaunchConfig(file)) => launch_config(&file, &password),
        Some(WindowsFile::Ec2Config(file)) => {
            let Ok(config) = ec2config::parse(&file) else { return };
            let changed = apply(&file, &config.changes).expect("changes fit");
            let after = ec2config::parse(&changed).expect("the changed file");
            assert_eq!(after.set_password, ec2config::PluginState::Enabled);
            assert!(after.changes.is_empty() && changed.len() == file.len());
        }
        Some(WindowsFile::Task(values, start)) => task(&values, start),
        Some(WindowsFile::GptIni(file)) => {
            policy(PolicyFiles { gpt_ini: Some(&file), scripts_ini: None }, &password);
        }
        Some(WindowsFile::ScriptsIni(file)) => {
            policy(PolicyFiles { gpt_ini: None, scripts_ini: Some(&file) }, &password);
        }
        Some(WindowsFile::Log(file)) => drop(agent_log::last_event(&file)),
    }
});

fn agent_config(file: &[u8], password: &Password) {
    let Ok(config) = AgentConfig::parse(file) else { return };
    if let Ok(changes) = config.use_random_password() {
        let changed = apply(file, &changes).expect("changes fit");
        let after = AgentConfig::parse(&changed).expect("the changed file");
        assert_eq!(after.admin_accounts[0].source, PasswordSource::Random);
        assert!(after.tasks == config.tasks && changed.len() == file.len());
    }
    if let Ok(changes) = config.use_password(password) {
        let changed = apply(file, &changes).expect("changes fit");
        let after = AgentConfig::parse(&changed).expect("the changed file");
        assert_eq!(after.admin_accounts[0].source, PasswordSource::Static);
        assert_eq!(after.use_password(password), Ok(Vec::new()));
    }
}

fn launch_config(file: &[u8], password: &Password) {
    let Ok(config) = LaunchConfig::parse(file) else { return };
    if let Ok(changes) = config.use_random_password() {
        let changed = apply(file, &changes).expect("changes fit");
        let after = LaunchConfig::parse(&changed).expect("the changed file");
        assert_eq!(after.use_random_password(), Ok(Vec::new()));
        assert_eq!(changed.len(), file.len());
    }
    if let Ok(changes) = config.use_password(password) {
        let changed = apply(file, &changes).expect("changes fit");
        let after = LaunchConfig::parse(&changed).expect("the changed file");
        assert_eq!(after.source, LaunchPasswordSource::Specify { has_password: true });
    }
}

fn task(values: &[u8], start: usize) {
    let (triggers, actions) = values.split_at(start.min(values.len()));
    let entry = TaskEntry {
        id: Some("{0}"),
        path: Some(task_cache::TASK_PATH),
        triggers: Some(triggers),
        actions: Some(actions),
        has_boot_key: true,
    };
    let Ok(plan) = task_cache::plan(&entry) else { return };
    let changed = apply(triggers, plan.change.as_slice()).expect("the change fits");
    let again = task_cache::plan(&TaskEntry { triggers: Some(&changed), ..entry });
    assert_eq!(again.expect("the changed task").change, None);
}

fn policy(files: PolicyFiles<'_>, password: &Password) {
    let account = AccountChange::new("Administrator", false, true).expect("a name");
    let Ok(plan) = group_policy::plan(&account, password, files) else { return };
    let again = PolicyFiles { gpt_ini: Some(&plan.gpt_ini), scripts_ini: Some(&plan.scripts_ini) };
    let defect = group_policy::plan(&account, password, again).expect_err("the script is there");
    assert_eq!(defect, group_policy::GroupPolicyDefect::AlreadyThere);
}
