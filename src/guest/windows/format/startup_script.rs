//! The script that sets a password at the next start and removes every trace of itself (WIN-118).
//!
//! One file of three parts, divided by lines with a question mark: a head for `cmd.exe`, code for
//! PowerShell, and data. `cmd.exe` reads a line at a time; the last line of the head hands the file to
//! PowerShell, deletes it in any case and ends, so nothing behind the head is ever parsed by `cmd.exe`.
//! PowerShell runs the code, which is the same text for everybody, and **reads the data, but never
//! parses them**: names, password and contents of files are Base64. So
//!
//! * no character has to be quoted or refused (percent, exclamation mark, caret, ampersand, quotes and
//!   so on), and no code page matters;
//! * the password is in no command line, where other processes could read it, `net user` does not ask
//!   its question about more than 14 characters, and the log of executed script blocks does not get it;
//! * everything but the data can be read by whoever finds the file.
//!
//! `-EncodedCommand` would bound all of it to the 8191 characters of a command line, hide the code,
//! and put the password into the process list.
//!
//! The code keeps to what PowerShell 2 (Server 2008 R2), .NET 2 and the WinNT provider of ADSI have.
//! The group of administrators is found by its SID, S-1-5-32-544, whatever its name is. A log without
//! secrets stays behind in [`LOG_FILE`].
//!
//! Not handled: a machine where PowerShell is missing or constrained. There the file only deletes
//! itself, and a policy keeps an entry for a script that does not exist.

use super::Password;
use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// Name of the script.
pub const SCRIPT_NAME: &str = "regain-password-reset.cmd";
/// Where the script tells how it went, from the root of the volume.
pub const LOG_FILE: &str = "/Windows/Temp/regain-password-reset.log";
/// Bound on the length of an account name, in UTF-16 units (Microsoft, `USER_INFO_1`).
pub const ACCOUNT_UNITS_MAX: usize = 20;

/// The line between the parts. The head asks for the character by its number, so that it does not hold
/// the character itself.
const DIVIDER: &str = "?\n";

/// What happens to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountChange<'a> {
    /// Name of a local account, checked by [`AccountChange::new`].
    name: &'a str,
    /// True if an account that does not exist is made.
    may_create: bool,
    /// True if it becomes a member of the administrators.
    make_administrator: bool,
}

/// Why a name cannot be that of a local account (Microsoft, "User name" in `NetUserAdd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountNameDefect {
    /// Nothing but blanks and full stops.
    #[error("the account name is empty")]
    Empty,
    /// Longer than [`ACCOUNT_UNITS_MAX`].
    #[error("the account name has {actual} characters, more than the limit of {ACCOUNT_UNITS_MAX}")]
    TooLong {
        /// Its length in UTF-16 units.
        actual: usize,
    },
    /// A character that no account name has.
    #[error("no account name has the character {character:?}")]
    Character {
        /// The character.
        character: char,
    },
}

impl<'a> AccountChange<'a> {
    /// An account by its name.
    ///
    /// # Errors
    /// [`AccountNameDefect`] if no local account can have the name.
    pub fn new(
        name: &'a str,
        may_create: bool,
        make_administrator: bool,
    ) -> Result<Self, AccountNameDefect> {
        if name.trim_matches(['.', ' ']).is_empty() {
            return Err(AccountNameDefect::Empty);
        }
        let actual = name.encode_utf16().count();
        if actual > ACCOUNT_UNITS_MAX {
            return Err(AccountNameDefect::TooLong { actual });
        }
        let is_bad = |c: &char| c.is_control() || "\"/\\[]:;|=,+*?<>@".contains(*c);
        match name.chars().find(is_bad) {
            Some(character) => Err(AccountNameDefect::Character { character }),
            None => Ok(Self { name, may_create, make_administrator }),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.name
    }
}

/// What the script takes back when it has run.
#[derive(Debug, Clone, Copy)]
pub enum Cleanup<'a> {
    /// Files that go back to what they were.
    Files(&'a [RestoredFile<'a>]),
    /// The values of `SYSTEM\Setup` (WIN-119).
    SetupKey,
}

/// A file that was changed for the script.
#[derive(Debug, Clone, Copy)]
pub struct RestoredFile<'a> {
    /// Path below `%SystemRoot%\System32`, a constant of ours.
    pub path: &'static str,
    /// What it held; `None` if it did not exist.
    pub before: Option<&'a [u8]>,
    /// What it holds now. If it holds anything else when the script runs, it stays.
    pub after: &'a [u8],
}

/// The script, in ASCII with CRLF.
pub fn encode(
    account: &AccountChange<'_>,
    password: &Password,
    cleanup: &Cleanup<'_>,
) -> Zeroizing<Vec<u8>> {
    let files = match cleanup {
        Cleanup::Files(files) => *files,
        Cleanup::SetupKey => &[],
    };
    let content_bytes: usize = files
        .iter()
        .map(|file| file.after.len().saturating_add(file.before.map_or(0, <[u8]>::len)))
        .fold(0, usize::saturating_add);
    // Large enough not to be moved, which would leave the password behind in memory.
    let room = content_bytes.saturating_mul(2).saturating_add(16 * 1024);
    let mut script = Zeroizing::new(String::with_capacity(room));
    if matches!(cleanup, Cleanup::SetupKey) {
        script.push_str(RESET_SETUP_KEY);
    }
    script.push_str(HEAD);
    script.push_str(DIVIDER);
    script.push_str(CODE);
    script.push_str(DIVIDER);
    push_data(&mut script, "name", &text_base64(account.name));
    push_data(&mut script, "password", &text_base64(password.expose()));
    if account.may_create {
        push_data(&mut script, "mayCreate", "1");
    }
    if account.make_administrator {
        push_data(&mut script, "makeAdministrator", "1");
    }
    for (RestoredFile { path, before, after }, index) in files.iter().zip(0usize..) {
        push_data(&mut script, &format!("path{index}"), path);
        push_data(&mut script, &format!("after{index}"), &Base64::encode_string(after));
        if let Some(before) = before {
            push_data(&mut script, &format!("before{index}"), &Base64::encode_string(before));
        }
    }
    let with_cr = Zeroizing::new(script.replace('\n', "\r\n"));
    Zeroizing::new(with_cr.as_bytes().to_vec())
}

/// A line of the data: a key, a blank, and a value without blanks.
fn push_data(script: &mut String, key: &str, value: &str) {
    script.extend([key, " ", value, "\n"]);
}

/// Base64 of the UTF-16LE bytes, which `[Text.Encoding]::Unicode` reads.
fn text_base64(text: &str) -> Zeroizing<String> {
    let bytes: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    Zeroizing::new(Base64::encode_string(&bytes))
}

/// Takes back fallback F2 before anything else, so that a failure cannot make it run at every start.
const RESET_SETUP_KEY: &str = r#"@"%SystemRoot%\System32\reg.exe" add HKLM\SYSTEM\Setup /v SetupType /t REG_DWORD /d 0 /f >nul
@"%SystemRoot%\System32\reg.exe" add HKLM\SYSTEM\Setup /v CmdLine /t REG_SZ /d "" /f >nul
"#;

/// What `cmd.exe` runs. 63 is the question mark.
const HEAD: &str = r#"@set "REGAIN_SCRIPT=%~f0"
@"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -NonInteractive -Command "$parts = [IO.File]::ReadAllText($env:REGAIN_SCRIPT).Split([char]63); Invoke-Expression $parts[1]" & del /f /q "%~f0" 2>nul & exit /b 0
"#;

/// What PowerShell runs.
const CODE: &str = r#"# Made by regain: sets the password of a local account once, then removes itself.
$ErrorActionPreference = 'Stop'
$log = "$env:SystemRoot\Temp\regain-password-reset.log"
function Say([string]$line) {
  try { [IO.File]::AppendAllText($log, (Get-Date -Format s) + ' ' + $line + "`r`n") } catch { }
}
function Text([string]$base64) {
  [Text.Encoding]::Unicode.GetString([Convert]::FromBase64String($base64))
}
# Back to what it was, unless somebody else has changed it since. Keeps attributes such as hidden.
function Restore([string]$path, [string]$ours, $before) {
  try {
    $path = "$env:SystemRoot\System32\$path"
    if ([Convert]::ToBase64String([IO.File]::ReadAllBytes($path)) -cne $ours) {
      Say "changed by somebody else, kept: $path"
    } elseif ($before -eq $null) {
      [IO.File]::Delete($path)
    } else {
      $bytes = [Convert]::FromBase64String($before)
      $stream = [IO.File]::Open($path, 'Open', 'Write')
      $stream.SetLength(0)
      $stream.Write($bytes, 0, $bytes.Length)
      $stream.Close()
    }
  } catch { Say "not restored: $path - $_" }
}
$data = @{}
foreach ($line in $parts[2].Split([char]10)) {
  $pair = $line.Trim().Split(' ')
  $data[$pair[0]] = "$($pair[1])"
}
try {
  $name = Text $data['name']
  $machine = "WinNT://$env:COMPUTERNAME"
  $user = [ADSI]"$machine/$name,user"
  try {
    $user.psbase.RefreshCache()
  } catch {
    if (-not $data['mayCreate']) { throw }
    $user = ([ADSI]"$machine,computer").Create('User', $name)
  }
  $user.SetPassword((Text $data['password']))
  $user.SetInfo()
  Say 'password set'
  $net = "$env:SystemRoot\System32\net.exe"
  & $net user $name /active:yes /expires:never | Out-Null
  Say "account enabled, status $LASTEXITCODE"
  & $net user $name /logonpasswordchg:no | Out-Null
  if ($data['makeAdministrator']) {
    $sid = New-Object Security.Principal.SecurityIdentifier 'S-1-5-32-544'
    $group = $sid.Translate([Security.Principal.NTAccount]).Value.Split('\')[-1]
    try {
      ([ADSI]"$machine/$group,group").Add("$machine/$name,user")
      Say 'added to the administrators'
    } catch { Say "not added to the administrators, or a member already: $_" }
  }
} catch {
  Say "failed: $_"
} finally {
  for ($i = 0; $data["path$i"]; $i++) {
    Restore $data["path$i"] $data["after$i"] $data["before$i"]
  }
  try {
    $stream = [IO.File]::Open($env:REGAIN_SCRIPT, 'Open', 'Write')
    $zeros = New-Object byte[] ([int]$stream.Length)
    $stream.Write($zeros, 0, $zeros.Length)
    $stream.Close()
  } catch { }
  try { [IO.File]::Delete($env:REGAIN_SCRIPT) } catch { Say "script not deleted: $_" }
}
"#;

#[cfg(test)]
#[path = "startup_script_tests.rs"]
mod tests;
