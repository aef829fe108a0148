//! `password reset` on Linux: a password for the serial console, set at once.

use super::{Run, check_options, user_name};
use crate::action::Plan;
use crate::action::linux_password::{self, PasswordRequest};
use crate::cli::edit::Job;
use crate::cli::hints::shell_word;
use crate::cli::key_add;
use crate::cli::output::{Failure, Outcome};
use crate::error::{Context as _, Error, Refusal, Result};
use crate::guest::linux::crypt::SALT_BYTES;
use crate::report::Target;
use crate::report::change::Change;
use crate::session::{Session, SessionVolume, clock};
use sha2::{Digest as _, Sha256};
use ssh_key::rand_core::{OsRng, RngCore as _};

impl Run<'_> {
    pub(super) fn on_linux(
        &self,
        session: &mut Session,
        index: usize,
        report_target: &Target,
    ) -> Outcome {
        let how = &self.args.how;
        let windows_only = [
            (how.windows.agent.is_some(), "--agent"),
            (how.windows.method.is_some(), "--method"),
            (how.windows.enable_service, "--enable-service"),
            (how.windows.clear_ntfs_log, "--clear-ntfs-log"),
        ];
        check_options("Linux", &windows_only)?;
        let volume = session.volume_at(index)?;
        let request = self.request(volume)?;
        let planned = volume.read(|open| linux_password::plan(open.file_system(), &request));
        let plan = planned.context(|| session.target_name())?;
        if let Some(error) = refusal(&plan) {
            return Err(Box::new(refused(error, &plan, volume, &request)));
        }
        let mut result = self.job.run(session, index, &plan)?;
        self.show_password(&mut result);
        let text = || text(&self.job, &result);
        Ok(self.job.ui.finish("password reset", report_target, &result, text)?)
    }

    fn request(&self, volume: &SessionVolume) -> Result<PasswordRequest> {
        let how = &self.args.how;
        let Some(password) = self.password.clone() else {
            let message = "a Linux system needs the password: --password-file FILE or --generate";
            return Err(Error::usage(message));
        };
        Ok(PasswordRequest {
            user: how.user.as_ref().map(|name| name.clone().into_bytes()),
            password,
            salt: self.salt(volume)?,
            fix: how.fix,
            force: how.force,
            now: clock::now(),
            edited: self.job.time,
        })
    }

    /// Random bytes; with `--reproducible` bytes that follow from what is not secret, and differ between
    /// volumes, users and days.
    fn salt(&self, volume: &SessionVolume) -> Result<[u8; SALT_BYTES]> {
        let mut salt = [0; SALT_BYTES];
        if !self.args.write.reproducible {
            OsRng.try_fill_bytes(&mut salt).map_err(std::io::Error::other)?;
            return Ok(salt);
        }
        if std::env::var_os("SOURCE_DATE_EPOCH").is_none() {
            let message =
                "--reproducible needs SOURCE_DATE_EPOCH here: the day of the change is written";
            return Err(Error::usage(message));
        }
        let uuid = volume.probe.as_ref().map(|probe| probe.uuid.as_str()).unwrap_or_default();
        let user = self.args.how.user.as_deref().unwrap_or_default();
        let digest = Sha256::digest(format!("{uuid}\n{user}\n{}", self.job.time.seconds));
        for (byte, random) in salt.iter_mut().zip(digest) {
            *byte = random;
        }
        Ok(salt)
    }
}

/// Every reason against the login, and whether `--fix` takes all of them away.
fn refused(
    error: Error,
    plan: &Plan,
    volume: &SessionVolume,
    request: &PasswordRequest,
) -> Failure {
    let failure = key_add::refused(error, plan);
    let fixed = PasswordRequest { fix: true, ..request.clone() };
    let fixed = volume.read(|open| linux_password::plan(open.file_system(), &fixed));
    let is_repaired = fixed.is_ok_and(|plan| refusal(&plan).is_none());
    failure.hint(if is_repaired {
        "add --fix: it repairs what is in the way, and says what it changes"
    } else {
        "name another user with --user; --fix cannot repair this, and --force sets the password \
         although it would not let the user in"
    })
}

fn refusal(plan: &Plan) -> Option<Error> {
    let refused = plan.users.iter().find(|user| user.outcome == crate::action::Outcome::Refused)?;
    let user = crate::bytes::text::escape_limited(&refused.name, 64);
    let reason = refused.reason.clone().unwrap_or_else(|| "no reason is known".to_owned());
    Some(Refusal::NoPasswordLogin { user, reason }.into())
}

fn text(job: &Job<'_>, result: &Change) -> String {
    let name = user_name(result);
    let after = format!(
        "start the machine from this disk, connect to its serial console, and log in as {}",
        shell_word(&name)
    );
    let same = format!("{name} has this password");
    let new = format!("a password for {name}, for the serial console");
    super::text(job, result, [&same, &new], &after)
}
