//! pam_unix: shadow decides (LOGIN-67 to LOGIN-70).

use super::{Answer, Arguments, Asked};
use crate::guest::linux::accounts::PasswordField;
use crate::guest::linux::{Shadow, User};
use crate::login::Finding;
use crate::login::account::DAY_SECONDS;
use crate::login::pam::code::Code;

impl Asked<'_> {
    pub(super) fn unix(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let accounts = &self.guest.system.accounts;
        // A hash or a star in passwd itself means that there is no shadow to ask.
        if self.user.password != PasswordField::InShadow {
            return vec![Answer::plain(Code::Success)];
        }
        let line = accounts.shadow.as_ref().and_then(|shadow| shadow.get(&self.user.name));
        let mut answers: Vec<Answer> = Vec::new();
        if let Some(line) = line {
            let today = self.guest.now.seconds.div_euclid(DAY_SECONDS);
            for code in [by_new_rule(line, today), by_old_rule(line, today)] {
                let answer = reasoned(self.user, line, code, today);
                if !answers.contains(&answer) {
                    answers.push(answer);
                }
            }
        }
        // Newer C libraries do not take a line with odd numbers.
        if line.is_none_or(|line| line.is_odd) {
            answers.push(missing(self.user, line));
        }
        if line.is_none() && !accounts.services.other_shadow().is_empty() {
            answers.push(Answer::plain(Code::Success));
        }
        for answer in &mut answers {
            let is_ageing = matches!(answer.code, Code::NewAuthtokReqd | Code::AuthtokExpired);
            let is_off = (is_ageing && call.has("no_pass_expiry"))
                || (answer.code == Code::AuthinfoUnavail && call.has("broken_shadow"));
            if is_off {
                *answer = Answer::plain(Code::Success);
            }
        }
        answers
    }
}

/// The days as Linux-PAM has counted them from release 1.6 on (LOGIN-67).
fn by_new_rule(line: &Shadow, today: i64) -> Code {
    if line.expire.is_some_and(|day| day >= 0 && today >= day) {
        return Code::AcctExpired;
    }
    let changed = match line.last_change {
        Some(0) => return Code::NewAuthtokReqd,
        Some(day) if (0..=today).contains(&day) => day,
        _ => return Code::Success,
    };
    let passed = today.saturating_sub(changed);
    let max = line.max_age.filter(|&days| days >= 0);
    let inactive = line.inactive.filter(|&days| days >= 0);
    let end = max.zip(inactive).map(|(max, inactive)| max.saturating_add(inactive));
    if end.is_some_and(|days| passed >= days) {
        Code::AuthtokExpired
    } else if max.is_some_and(|days| passed >= days) {
        Code::NewAuthtokReqd
    } else {
        Code::Success
    }
}

/// The days as older releases count them: one day later, and a last change that is not known is one before 1970.
fn by_old_rule(line: &Shadow, today: i64) -> Code {
    let days = |days: Option<i64>| days.unwrap_or(-1);
    let (expire, changed) = (days(line.expire), days(line.last_change));
    let (max, inactive) = (days(line.max_age), days(line.inactive));
    if today >= expire && expire != -1 {
        return Code::AcctExpired;
    }
    if changed == 0 {
        return Code::NewAuthtokReqd;
    }
    if today < changed {
        return Code::Success;
    }
    let passed = today.saturating_sub(changed);
    let is_over = [max, inactive, max.saturating_add(inactive)].iter().all(|&days| passed > days);
    if is_over && max != -1 && inactive != -1 {
        Code::AuthtokExpired
    } else if passed > max && max != -1 {
        Code::NewAuthtokReqd
    } else {
        Code::Success
    }
}

fn reasoned(user: &User, line: &Shadow, code: Code, today: i64) -> Answer {
    let place = format!("/etc/shadow:{}", line.line);
    let name = user.display_name();
    let reason = match code {
        Code::AcctExpired => {
            let day = line.expire.unwrap_or(-1);
            let message = format!(
                "the account {name} expired on day {day} (today is day {today} since 1970)"
            );
            let finding = Finding::block(("acct-expired", "LOGIN-67"), place, message);
            finding.fixed_by("empty field 8 of the line")
        }
        Code::AuthtokExpired => {
            let message = format!(
                "the password of {name} is too old and the grace time is over: PAM refuses the user"
            );
            let finding = Finding::block(("passwd-inactive", "LOGIN-67"), place, message);
            finding.fixed_by("empty field 5 of the line")
        }
        Code::NewAuthtokReqd => {
            let message = format!(
                "the password of {name} must be changed at login, which asks for the old one"
            );
            Finding::warn(("passwd-age", "LOGIN-69"), place, message)
        }
        _ => return Answer::plain(code),
    };
    Answer::because(code, reason)
}

fn missing(user: &User, line: Option<&Shadow>) -> Answer {
    let name = user.display_name();
    let id = ("shadow-missing", "LOGIN-68");
    let reason = match line {
        None => {
            let message = format!("there is no line for {name}: PAM refuses the user");
            Finding::block(id, "/etc/shadow", message)
        }
        Some(line) => {
            let message = format!(
                "a number in the line of {name} is negative or too large: newer systems ignore the \
                 line, and PAM refuses the user"
            );
            Finding::block(id, format!("/etc/shadow:{}", line.line), message)
        }
    };
    Answer::because(Code::AuthinfoUnavail, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Today is day 20000. Fields: last change, maximum, inactive, expire; then the answers of the new and of the
    /// old releases.
    #[test]
    fn days_are_counted_as_pam_does_login_67() {
        use Code::{AcctExpired, AuthtokExpired, NewAuthtokReqd, Success};
        let some = Some::<i64>;
        for (fields, new, old) in [
            ([some(1), some(99_999), None, None], Success, Success),
            ([None, None, None, None], Success, Success),
            ([some(1), None, None, some(20_001)], Success, Success),
            ([some(1), None, None, some(20_000)], AcctExpired, AcctExpired),
            ([some(1), None, None, some(1)], AcctExpired, AcctExpired),
            ([some(1), None, None, some(0)], AcctExpired, AcctExpired),
            ([some(1), None, None, some(-2)], Success, AcctExpired),
            ([some(0), None, None, None], NewAuthtokReqd, NewAuthtokReqd),
            ([some(0), some(9), some(9), some(19_999)], AcctExpired, AcctExpired),
            ([some(0), some(9), some(9), None], NewAuthtokReqd, NewAuthtokReqd),
            ([some(20_001), some(9), some(9), None], Success, Success),
            ([some(20_000), some(0), None, None], NewAuthtokReqd, Success),
            ([some(19_910), some(90), None, None], NewAuthtokReqd, Success),
            ([some(19_909), some(90), None, None], NewAuthtokReqd, NewAuthtokReqd),
            ([some(19_911), some(90), None, None], Success, Success),
            ([some(19_903), some(90), some(7), None], AuthtokExpired, NewAuthtokReqd),
            ([some(19_902), some(90), some(7), None], AuthtokExpired, AuthtokExpired),
            ([some(19_904), some(90), some(7), None], NewAuthtokReqd, NewAuthtokReqd),
            ([some(19_000), None, some(7), None], Success, Success),
            ([some(19_000), some(90), Some(-2), None], NewAuthtokReqd, AuthtokExpired),
            // A last change that is not known.
            ([None, some(90), some(7), None], Success, AuthtokExpired),
            ([None, some(90), None, None], Success, NewAuthtokReqd),
            ([None, some(99_999), some(7), None], Success, Success),
        ] {
            let [last_change, max_age, inactive, expire] = fields;
            let password = PasswordField::Other;
            let line =
                Shadow { password, last_change, max_age, inactive, expire, is_odd: false, line: 1 };
            let found = (by_new_rule(&line, 20_000), by_old_rule(&line, 20_000));
            assert_eq!(found, (new, old), "{fields:?}");
        }
    }
}
