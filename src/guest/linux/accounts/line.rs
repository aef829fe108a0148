//! Lines of passwd, shadow and group as the C library reads them (passwd(5), shadow(5), group(5); VOL-40).
//!
//! Measured on glibc 2.36 (`fgetpwent`, `sgetspent`, `fgetgrent`): leading white space of a line is skipped, `#` at
//! its start makes it a comment, a NUL ends it, text fields that are missing at the end are empty, the shell is the
//! whole rest of the line, and a field with anything but one number, where a number belongs, makes it no line.

use super::{PasswordField, Shadow, User};
use crate::fs::path::GuestPath;

/// A line with what counts of it; `None` for empty lines and comments.
pub(super) fn content(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
    let line = line.get(..end).unwrap_or(line);
    (!line.is_empty() && !line.starts_with(b"#")).then_some(line)
}

/// True for the entries of NIS, which begin with `+` or `-`; the service `files` skips them.
pub(super) fn is_nis(line: &[u8]) -> bool {
    line.starts_with(b"+") || line.starts_with(b"-")
}

/// The next field; what is missing is empty.
fn text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let line: &'a [u8] = rest;
    let end = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
    *rest = line.get(end.saturating_add(1)..).unwrap_or_default();
    line.get(..end).unwrap_or_default()
}

/// A number after white space, with its sign; digits to the end of the field.
fn signed(field: &[u8]) -> Option<i128> {
    let field = field.trim_ascii_start();
    let digits = field.strip_prefix(b"-").or_else(|| field.strip_prefix(b"+")).unwrap_or(field);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than fit are too large whatever they say.
    let value: i128 = std::str::from_utf8(digits).ok()?.parse().unwrap_or(i128::MAX);
    Some(if field.starts_with(b"-") { value.saturating_neg() } else { value })
}

/// A user or group id. The largest number stands for "no id", and nobody can log in with it.
pub(super) fn id(field: &[u8]) -> Option<u32> {
    u32::try_from(signed(field)?).ok().filter(|&id| id != u32::MAX)
}

pub(super) fn user(line: &[u8], number: u64) -> Option<User> {
    let mut rest = line;
    let name = text(&mut rest);
    let password = text(&mut rest);
    let uid = id(text(&mut rest))?;
    let gid = id(text(&mut rest))?;
    let _gecos = text(&mut rest);
    let home = text(&mut rest);
    (!name.is_empty()).then(|| User {
        name: name.to_vec(),
        uid,
        gid,
        home: home.starts_with(b"/").then(|| GuestPath::new(home)),
        shell: rest.to_vec(),
        password: match password.strip_prefix(b"##") {
            // An old mark for "look into shadow", which pam_unix still knows.
            Some(rest) if rest == name => PasswordField::InShadow,
            _ => PasswordField::parse(password),
        },
        line: number,
    })
}

/// One number of days in shadow.
struct Day {
    /// `None` if it is empty or -1, which mean the same.
    value: Option<i64>,
    /// True if it is no number of 0 to 2^31 - 1: newer C libraries then ignore the line, older ones make another
    /// number of it.
    is_odd: bool,
}

/// Reads a number of days; `None` if it is none.
fn day(field: &[u8]) -> Option<Day> {
    if field.trim_ascii_start().is_empty() {
        return Some(Day { value: None, is_odd: false });
    }
    let number = signed(field)?;
    let days = i32::try_from(number).unwrap_or(-1);
    let value = (days != -1).then_some(i64::from(days));
    Some(Day { value, is_odd: i128::from(days) != number || days < 0 })
}

/// A line that has a field too few or something that is no number is no line for the C library.
pub(super) fn shadow(line: &[u8], number: u64) -> Option<(Vec<u8>, Shadow)> {
    let fields: Vec<&[u8]> = line.splitn(9, |&byte| byte == b':').collect();
    let field = |index: usize| fields.get(index).copied();
    let (name, password) = (field(0)?, field(1)?);
    // The C library expects more after an empty number.
    if fields.len() < 9 && fields.last().is_none_or(|last| last.is_empty()) && fields.len() != 6 {
        return None;
    }
    let [last_change, min, max] = [day(field(2)?)?, day(field(3)?)?, day(field(4)?)?];
    // The old form ends after the maximum.
    let is_old = matches!(fields.get(5..), Some([] | [_]))
        && field(5).is_none_or(|field| field.trim_ascii().is_empty());
    let tail = |index: usize| if is_old { day(b"") } else { day(field(index)?) };
    let [warn, inactive, expire] = [tail(5)?, tail(6)?, tail(7)?];
    let flag = day(field(8).unwrap_or_default())?;
    let days = [&last_change, &min, &max, &warn, &inactive, &expire, &flag];
    let is_odd = days.iter().any(|day| day.is_odd);
    if name.is_empty()
        || field(8).is_some_and(|flag| !flag.is_empty() && flag.trim_ascii().is_empty())
    {
        return None;
    }
    let shadow = Shadow {
        password: PasswordField::parse(password),
        last_change: last_change.value,
        max_age: max.value,
        inactive: inactive.value,
        expire: expire.value,
        is_odd,
        line: number,
    };
    Some((name.to_vec(), shadow))
}

/// Name, id and members of a group.
pub(super) fn group(line: &[u8]) -> Option<(&[u8], u32, impl Iterator<Item = &[u8]>)> {
    let mut rest = line;
    let name = text(&mut rest);
    let _password = text(&mut rest);
    let gid = id(text(&mut rest))?;
    let members = rest.split(|&byte| byte == b',').map(<[u8]>::trim_ascii_start);
    (!name.is_empty()).then(|| (name, gid, members.filter(|member| !member.is_empty())))
}
