use super::*;
use crate::fs::Timestamp;
use crate::fs::memory::MemoryTree;
use crate::guest::linux::detect;
use crate::login::Verdict;

/// A login that is asked about: the lines of /etc/pam.d/sshd and other files, and the answer.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) files: Vec<(&'static str, String)>,
    pub(super) user: &'static str,
    pub(super) verdict: Verdict,
    /// False if the PAM of a test machine cannot be asked: it lacks the module, or is another distribution's.
    pub(super) is_measurable: bool,
}

const TODAY: i64 = 19_675;

pub(super) fn now() -> Timestamp {
    Timestamp { seconds: TODAY * 86_400 + 7_000, nanoseconds: 0 }
}

/// What every case has, unless it says otherwise.
pub(super) fn base() -> [(&'static str, &'static str); 7] {
    [
        (
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\na:x:1000:1000::/home/a:/bin/sh\nb:x:1001:1001::/home/b:\nsys:x:200:200::/:/bin/false\nold:*:1002:1002::/home/old:/bin/sh\ngone:x:1003:1003::/:/bin/sh\n",
        ),
        ("/etc/group", "root:x:0:\na:x:1000:\nb:x:1001:\nstaff:x:50:a,sys\nwheel:x:10:root\n"),
        (
            "/etc/shadow",
            "root:*:1:0:99999:7:::\na:!:1:0:99999:7:::\nb:*:1::::::\nsys:*:1::::::\nold:*:1::::1::\n",
        ),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n"),
        ("/etc/os-release", "ID=debian\n"),
        ("/etc/login.defs", "UID_MIN 1000\nUID_MAX 60000\n"),
        ("/etc/pam.d/other", "account required pam_deny.so\nsession required pam_permit.so\n"),
    ]
}

/// `{today-5}` and the like as numbers of days.
pub(super) fn dated(text: &str, today: i64) -> String {
    let mut parts = text.split("{today");
    let mut dated = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (offset, rest) = part.split_once('}').unwrap();
        let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().unwrap() };
        dated.push_str(&(today + offset).to_string());
        dated.push_str(rest);
    }
    dated
}

pub(super) fn tree_of(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.file("/bin/sh", 0, 0o755, b"");
    // The volume has every module that a case names but one, so that this one is missed.
    for (_, text) in files {
        for word in text.split_whitespace() {
            let is_module = word.strip_suffix(".so").is_some_and(|name| name.starts_with("pam_"));
            if is_module && word != "pam_missing.so" {
                tree.file(&format!("/usr/lib/security/{word}"), 0, 0o644, b"");
            }
        }
    }
    tree.file("/usr/lib/security/pam_permit.so", 0, 0o644, b"");
    for (path, content) in base().iter().chain(files) {
        tree.file(path, 0, 0o644, dated(content, TODAY).as_bytes());
    }
    tree
}

fn found(files: &[(&'static str, String)], user: &str) -> Vec<Finding> {
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = tree_of(&files);
    let system = detect(&tree).unwrap().unwrap();
    let guest = Guest::open(&tree, &system, now()).unwrap();
    findings(&guest, system.accounts.find(user.as_bytes()).unwrap(), SERVICE)
}

pub(super) fn ours(files: &[(&'static str, String)], user: &str) -> Verdict {
    Verdict::of(&found(files, user))
}

const SSHD: &str = "/etc/pam.d/sshd";
const ACCESS: &str = "/etc/security/access.conf";
const YES: Verdict = Verdict::Accepted;
const NO: Verdict = Verdict::Refused;
const OPEN: Verdict = Verdict::Unknown;

/// The ordinary account stacks of distributions.
const DEBIAN: &str =
    "account required pam_nologin.so\n@include common-account\n@include common-session\n";
const COMMON: [(&str, &str); 2] = [
    (
        "/etc/pam.d/common-account",
        "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\naccount requisite pam_deny.so\naccount required pam_permit.so\n",
    ),
    (
        "/etc/pam.d/common-session",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\nsession optional pam_umask.so\nsession required pam_unix.so\nsession optional pam_systemd.so\n",
    ),
];
const RHEL: &str = "account required pam_sepermit.so\naccount required pam_nologin.so\naccount include password-auth\nsession required pam_selinux.so close\nsession required pam_loginuid.so\nsession include password-auth\n";
const RHEL_9: &str = "account required pam_unix.so\naccount sufficient pam_localuser.so\naccount sufficient pam_usertype.so issystem\naccount [default=bad success=ok user_unknown=ignore] pam_sss.so\naccount required pam_permit.so\nsession optional pam_keyinit.so revoke\nsession required pam_limits.so\n-session optional pam_systemd.so\nsession [success=1 default=ignore] pam_succeed_if.so service in crond quiet use_uid\nsession required pam_unix.so\nsession optional pam_sss.so\n";
const AL2: &str = "account required pam_unix.so\naccount sufficient pam_localuser.so\naccount sufficient pam_succeed_if.so uid < 500 quiet\naccount required pam_permit.so\nsession optional pam_keyinit.so revoke\nsession required pam_limits.so\nsession required pam_unix.so\n";
const SUSE: &str = "account required pam_nologin.so\naccount include common-account\nsession required pam_loginuid.so\nsession include common-session\n";

fn case(
    name: &str,
    sshd: &str,
    more: &[(&'static str, &str)],
    user: &'static str,
    verdict: Verdict,
) -> Case {
    let mut files = vec![(SSHD, sshd.to_owned())];
    files.extend(more.iter().map(|(path, text)| (*path, (*text).to_owned())));
    Case { name: format!("{name} ({user})"), files, user, verdict, is_measurable: true }
}

fn unmeasured(mut case: Case) -> Case {
    case.is_measurable = false;
    case
}

/// Ordinary stacks and what users meet in them.
fn stacks() -> Vec<Case> {
    let mut cases = Vec::new();
    for user in ["root", "a", "b", "sys", "old"] {
        cases.push(unmeasured(case("Debian", DEBIAN, &COMMON, user, YES)));
        let files = [("/etc/pam.d/password-auth", RHEL_9), ("/etc/os-release", "ID=rhel\n")];
        cases.push(unmeasured(case("RHEL 9", RHEL, &files, user, YES)));
        let files = [("/etc/pam.d/password-auth", AL2), ("/etc/os-release", "ID=amzn\n")];
        cases.push(unmeasured(case("Amazon Linux 2", RHEL, &files, user, YES)));
        let files = [
            ("/etc/pam.d/common-account", "account required pam_unix.so try_first_pass\n"),
            (
                "/usr/lib/pam.d/common-session",
                "session required pam_limits.so\nsession required pam_unix.so\nsession optional pam_umask.so\n",
            ),
            ("/etc/os-release", "ID=sles\n"),
        ];
        cases.push(unmeasured(case("SUSE", SUSE, &files, user, YES)));
    }
    let files = |shadow: &'static str| [COMMON[0], COMMON[1], ("/etc/shadow", shadow)];
    let rhel = |shadow: &'static str| {
        [
            ("/etc/pam.d/password-auth", RHEL_9),
            ("/etc/os-release", "ID=rhel\n"),
            ("/etc/shadow", shadow),
        ]
    };
    for (shadow, verdict) in [
        ("a:!:1:0:99999:7::{today}:\n", NO),
        ("a:!:1:0:99999:7::{today+1}:\n", YES),
        ("a:!:{today-100}:0:90:7:5::\n", NO),
        ("a:!:{today-95}:0:90:7:5::\n", OPEN),
        ("a:!:{today-94}:0:90:7:5::\n", YES),
        ("a:!:0:0:99999:7:::\n", YES),
        ("a:!:{today-100}:0:90:7:::\n", YES),
        ("b:*:1::::::\n", NO),
        ("a:!:1:0:99999:7::-1:\n", OPEN),
        ("a:!:1:0:99999:7\n", NO),
    ] {
        cases.push(unmeasured(case(shadow, DEBIAN, &files(shadow), "a", verdict)));
        cases.push(unmeasured(case(shadow, RHEL, &rhel(shadow), "a", verdict)));
    }
    cases
}

/// pam_unix alone, and its options.
fn unix() -> Vec<Case> {
    let mut cases = Vec::new();
    for (options, shadow, verdict) in [
        ("", "a:*:1:0:99999:7:::\n", YES),
        ("", "a:!!:1:0:99999:7:::\n", YES),
        ("", "a::1:0:99999:7:::\n", YES),
        ("", "a:!:1:0:99999:7::{today}:\n", NO),
        ("", "a:!:1:0:99999:7::{today-1}:\n", NO),
        ("", "a:!:1:0:99999:7::{today+1}:\n", YES),
        ("", "a:!:1:0:99999:7::0:\n", NO),
        ("no_pass_expiry", "a:!:1:0:99999:7::1:\n", NO),
        ("", "a:!:{today-200}:0:90:7:5::\n", NO),
        ("no_pass_expiry", "a:!:{today-200}:0:90:7:5::\n", YES),
        ("", "a:!:0:0:90:7:5::\n", YES),
        ("no_pass_expiry", "a:!:0:0:90:7:5::\n", YES),
        ("", "a:!:{today-91}:0:90:7:::\n", YES),
        ("", "a:!:{today+9}:0:90:7:5::\n", YES),
        ("", "a:!::0:90:7:5::\n", OPEN),
        ("", "a:!::0:99999:7:5::\n", YES),
        ("", "a:!:1:0::7:5::\n", YES),
        ("", "b:*:1::::::\n", NO),
        ("broken_shadow", "b:*:1::::::\n", YES),
        ("broken_shadow", "a:!:1:0:99999:7::1:\n", NO),
        ("", "a:!:1:0:99999:7:::x\n", NO),
        ("", "a:!:1:0:99999:7\n", NO),
        ("", "a:!:1:0:99999\n", YES),
        ("", "a:!:1:0:99999:7::2147483648:\n", OPEN),
    ] {
        let line = format!("account required pam_unix.so {options}\n");
        cases.push(case(
            &format!("{options} {shadow}"),
            &line,
            &[("/etc/shadow", shadow)],
            "a",
            verdict,
        ));
    }
    for (user, verdict) in [("old", YES), ("gone", NO), ("root", YES)] {
        cases.push(case("pam_unix", "account required pam_unix.so\n", &[], user, verdict));
    }
    cases
}

/// pam_nologin, pam_localuser, pam_usertype, pam_shells, pam_listfile and others.
fn simple() -> Vec<Case> {
    let nologin = [("/etc/nologin", "down\n")];
    let list = [("/etc/list", "b\na\r\n/bin/sh\nstaff\n")];
    let mut cases = Vec::new();
    let mut add = |line: &str, files: &[(&'static str, &str)], user, verdict| {
        // pam_permit makes an answer that only goes on visible.
        let sshd = format!("account {line}\naccount required pam_permit.so\n");
        cases.push(case(line, &sshd, files, user, verdict));
    };
    add("required pam_nologin.so", &[], "a", YES);
    add("required pam_nologin.so", &nologin, "a", NO);
    add("required pam_nologin.so", &nologin, "root", YES);
    add("optional pam_nologin.so", &nologin, "a", YES);
    add("required pam_nologin.so file=/etc/other", &nologin, "a", YES);
    add("required pam_nologin.so file=/etc/group", &[], "a", NO);
    add("required pam_nologin.so file=/etc/pam.d", &[], "root", NO);
    add("required pam_deny.so", &[], "root", NO);
    add("requisite pam_deny.so", &[], "root", NO);
    add("optional pam_deny.so", &[], "a", YES);
    add("sufficient pam_deny.so", &[], "a", YES);
    add("required pam_warn.so", &[], "a", YES);
    add("required pam_localuser.so", &[], "a", YES);
    add("required pam_localuser.so file=/etc/group", &[], "a", YES);
    add("required pam_localuser.so file=/etc/list", &list, "a", NO);
    add("required pam_usertype.so issystem", &[], "a", NO);
    add("required pam_usertype.so issystem", &[], "sys", YES);
    add("required pam_usertype.so isregular", &[], "a", YES);
    add("required pam_usertype.so isregular", &[], "root", NO);
    add("required pam_usertype.so", &[], "a", NO);
    add(
        "required pam_usertype.so isregular",
        &[("/etc/login.defs", "UID_MIN 100\nSYS_UID_MAX 99\n")],
        "sys",
        YES,
    );
    add("required pam_shells.so", &[], "a", NO);
    add("required pam_shells.so", &[("/etc/shells", "# x\n/bin/sh\n")], "a", YES);
    add("required pam_shells.so", &[("/etc/shells", "# x\n/bin/sh\n")], "b", YES);
    add("required pam_shells.so", &[("/etc/shells", "/bin/sh \n /bin/sh\n")], "a", NO);
    add("required pam_shells.so", &[("/etc/shells", "/bin/sh\n")], "sys", NO);
    add("required pam_rootok.so", &[], "a", YES);
    add("required pam_faillock.so", &[], "a", YES);
    add(
        "required pam_time.so",
        &[("/etc/security/time.conf", "# login;*;*;Al\nlogin;*;a;!Al\n")],
        "a",
        YES,
    );
    add(
        "required pam_time.so",
        &[("/etc/security/time.conf", "sshd;*;a;!Al0000-2400\n")],
        "a",
        OPEN,
    );
    add("required pam_missing.so", &[], "a", NO);
    add("optional pam_missing.so", &[], "a", YES);
    add("[default=ignore] pam_missing.so", &[], "a", YES);
    add("required pam_motd.so", &[], "a", NO);
    add("required pam_limits.so", &[], "a", NO);
    for (words, user, verdict) in [
        ("item=user sense=allow file=/etc/list", "a", YES),
        ("item=user sense=allow file=/etc/list", "sys", NO),
        ("item=user sense=deny file=/etc/list", "b", NO),
        ("item=user sense=deny file=/etc/list", "root", YES),
        ("item=group sense=allow file=/etc/list", "sys", YES),
        ("item=group sense=allow file=/etc/list", "root", NO),
        ("item=group sense=deny file=/etc/list", "sys", NO),
        ("item=shell sense=allow file=/etc/list", "root", YES),
        ("item=shell sense=allow file=/etc/list", "sys", NO),
        ("item=ruser sense=allow file=/etc/list", "a", NO),
        ("item=ruser sense=deny file=/etc/list", "a", YES),
        ("item=tty sense=allow file=/etc/list", "a", NO),
        ("item=user sense=allow file=/etc/none", "a", NO),
        ("item=user sense=allow file=/etc/none onerr=succeed", "a", YES),
        ("onerr=succeed item=user sense=deny file=/etc/none", "a", YES),
        ("item=user file=/etc/list", "a", NO),
        ("item=user file=/etc/list onerr=succeed", "a", YES),
        ("item=user sense=deny file=/etc/pam.d", "root", NO),
        ("item=rhost sense=allow file=/etc/list", "a", OPEN),
        ("quiet item=user sense=allow file=/etc/list", "a", YES),
    ] {
        add(&format!("required pam_listfile.so {words}"), &list, user, verdict);
    }
    cases
}

fn succeed_if() -> Vec<Case> {
    let mut cases = Vec::new();
    for (words, user, verdict) in [
        ("uid >= 1000", "a", YES),
        ("uid >= 1000", "sys", NO),
        ("uid lt 1000", "root", YES),
        ("uid > 1000", "a", NO),
        ("uid <= 1000 uid ne 999", "a", YES),
        ("uid eq 0x3e8", "a", YES),
        ("uid eq 01750", "a", YES),
        ("uid eq x", "a", NO),
        ("gid = 1000", "a", YES),
        ("gid = 01000", "a", NO),
        ("gid != 1000", "a", NO),
        ("user = a", "a", YES),
        ("user = A", "a", NO),
        ("login in x:a:y", "a", YES),
        ("login in x:aa", "a", NO),
        ("login notin x:aa", "a", YES),
        ("login notin a", "a", NO),
        ("name =~ a[b]", "a", OPEN),
        ("user =~ ?", "a", YES),
        ("user !~ s*", "sys", NO),
        ("shell = /bin/sh", "a", YES),
        ("shell = /bin/sh", "b", NO),
        ("home = /home/a", "a", YES),
        ("dir glob /home/*", "a", YES),
        ("user ingroup staff", "a", YES),
        ("user ingroup wheel:staff", "sys", YES),
        ("user ingroup staff", "b", NO),
        ("user ingroup a", "a", YES),
        ("user notingroup staff", "a", NO),
        ("user notingroup staff", "b", YES),
        ("user ingroup nothing", "a", NO),
        ("service = sshd", "a", YES),
        ("service in crond:cron", "a", NO),
        ("ruser = x", "a", NO),
        ("tty = ssh", "a", YES),
        ("rhost = 10.0.0.1", "a", OPEN),
        ("rhost != 10.0.0.1 user = b", "a", NO),
        ("user innetgr x", "a", NO),
        ("user notinnetgr x", "a", YES),
        ("uid >= 1000 use_uid", "a", NO),
        ("quiet use_uid uid = 0", "a", YES),
        ("user ingroup wheel use_uid", "b", YES),
        ("nonsense = 1", "a", NO),
        ("uid nonsense 1", "a", NO),
        ("uid >=", "a", NO),
        ("user = b uid >=", "a", NO),
        ("", "a", YES),
        ("debug quiet audit", "a", YES),
    ] {
        let line = format!("account required pam_succeed_if.so {words}\n");
        cases.push(case(words, &line, &[], user, verdict));
    }
    cases
}

fn access() -> Vec<Case> {
    let mut cases = Vec::new();
    for (options, rules, user, verdict) in [
        ("", "", "a", YES),
        ("", "# all\n", "a", YES),
        ("", "-:ALL:ALL\n", "a", NO),
        ("", "-:ALL:ALL", "a", YES),
        ("", "-:ALL\n", "a", YES),
        ("", " -:ALL:ALL\n", "a", YES),
        ("", "+:a:ALL\n-:ALL:ALL\n", "a", YES),
        ("", "+:a:ALL\n-:ALL:ALL\n", "b", NO),
        ("", "+:A:ALL\n-:ALL:ALL\n", "a", YES),
        ("", "+ : a b : ALL\n- : ALL : ALL\n", "b", YES),
        ("", "+:a,b:all\n-:all:all\n", "b", YES),
        ("", "+:staff:ALL\n-:ALL:ALL\n", "sys", YES),
        ("nodefgroup", "+:staff:ALL\n-:ALL:ALL\n", "sys", NO),
        ("nodefgroup", "+:(staff):ALL\n-:ALL:ALL\n", "sys", YES),
        ("", "+:(staff):ALL\n-:ALL:ALL\n", "b", NO),
        ("", "+:():ALL\n-:ALL:ALL\n", "a", NO),
        ("", "+:@net:ALL\n-:ALL:ALL\n", "a", NO),
        ("", "-:ALL EXCEPT root a:ALL\n", "a", YES),
        ("", "-:ALL EXCEPT root a:ALL\n", "b", NO),
        ("", "-:ALL EXCEPT staff EXCEPT a:ALL\n", "a", NO),
        ("", "-:ALL EXCEPT staff EXCEPT a:ALL\n", "sys", YES),
        ("", "-:EXCEPT a:ALL\n", "b", YES),
        ("", "-:a EXCEPT b:ALL\n", "b", YES),
        ("", "-:ALL:ALL EXCEPT LOCAL\n", "a", NO),
        ("", "-:ALL:LOCAL\n", "a", YES),
        ("", "-:ALL:tty1 tty2 console :0\n", "a", YES),
        ("", "+:ALL:LOCAL\n-:ALL:ALL\n", "root", NO),
        ("", "+:ALL:cron crond :0 tty1\n-:ALL:ALL\n", "root", NO),
        ("", "-:ALL:NONE\n", "a", YES),
        ("", "+:a:10.0.0.0/8\n-:ALL:ALL\n", "a", OPEN),
        ("", "+:b:10.0.0.0/8\n-:ALL:ALL\n", "a", NO),
        ("", "-:a:10.0.0.0/8\n", "a", OPEN),
        ("", "-:a:10.\n", "a", OPEN),
        ("", "+:a:2001:db8::/32\n-:ALL:ALL\n", "a", OPEN),
        ("", "+:ALL:10.0.0.0/8\n+:a:ALL\n-:ALL:ALL\n", "a", YES),
        ("", "-:a:ALL EXCEPT 10.0.0.0/8\n", "a", OPEN),
        ("", "-:b:ALL EXCEPT 10.0.0.0/8\n", "a", YES),
        ("", "+:a:.example.org\n-:ALL:ALL\n", "a", OPEN),
        ("", "x:ALL:ALL\n-:a:ALL\n", "a", NO),
        ("", "-any:a:ALL\n", "a", NO),
        ("", "::-:a:ALL\n", "a", NO),
        ("", "-::a:ALL\n", "a", NO),
        ("fieldsep=|", "-|a|ALL\n", "a", NO),
        ("fieldsep=|", "-:a:ALL\n", "a", YES),
        ("listsep=,", "-:x,a:ALL\n", "a", NO),
        ("listsep=,", "-:x a:ALL\n", "a", YES),
        ("listsep=,", "-: a :ALL\n", "a", YES),
        ("accessfile=/etc/none", "-:ALL:ALL\n", "a", NO),
        ("accessfile=/etc/nsswitch.conf", "-:ALL:ALL\n", "a", YES),
        ("", "-:a@other:ALL\n", "b", YES),
        ("", "-:a@ALL:ALL\n", "a", NO),
        ("", "-:root:ALL EXCEPT 10.0.0.1 192.0.2.7\n", "root", OPEN),
        ("", "+:root:LOCAL\n-:ALL EXCEPT wheel:ALL\n", "root", YES),
    ] {
        let line = format!("account required pam_access.so {options}\n");
        cases.push(case(&format!("{options} {rules}"), &line, &[(ACCESS, rules)], user, verdict));
    }
    let more = "/etc/security/access.d/10.conf";
    for (main, rules, options, verdict) in [
        ("", "-:a:ALL\n", "", NO),
        ("+:a:ALL\n", "-:a:ALL\n", "", YES),
        ("-:b:ALL\n", "-:a:ALL\n", "", NO),
        ("-:b:ALL\n", "-:a:ALL\n", "accessfile=/etc/security/access.conf", YES),
    ] {
        let line = format!("account required pam_access.so {options}\n");
        cases.push(case(
            &format!("access.d {main} {rules}"),
            &line,
            &[(ACCESS, main), (more, rules)],
            "a",
            verdict,
        ));
    }
    cases
}

/// Files that PAM reads in its own way, and sessions.
fn files() -> Vec<Case> {
    let permit = "account required pam_permit.so\n";
    let mut cases = vec![
        case("nothing for accounts", "auth required pam_permit.so\n", &[], "a", NO),
        case(
            "the service other",
            "auth required pam_permit.so\n",
            &[("/etc/pam.d/other", permit)],
            "a",
            NO,
        ),
        case("@include of a missing file", &format!("{permit}@include none\n"), &[], "a", NO),
        case(
            "@include within an include",
            "account include x\n",
            &[("/etc/pam.d/x", "@include y\n"), ("/etc/pam.d/y", permit)],
            "a",
            YES,
        ),
        case("include of a missing file", &format!("account include none\n{permit}"), &[], "a", NO),
        case("include by path", "account include /etc/x\n", &[("/etc/x", permit)], "a", YES),
        case(
            "an include that includes itself",
            "account include sshd\naccount required pam_permit.so\n",
            &[],
            "a",
            NO,
        ),
        case(
            "a bad type in an include",
            "account include x\n",
            &[("/etc/pam.d/x", "bogus required pam_permit.so\naccount required pam_permit.so\n")],
            "a",
            NO,
        ),
        case(
            "a bad type elsewhere",
            &format!("bogus required pam_permit.so\n{permit}"),
            &[],
            "a",
            YES,
        ),
        case("a line that goes on", "account \\\n required \\\n pam_permit.so\n", &[], "a", YES),
        case("no end of a line that goes on", &format!("{permit}account \\\n"), &[], "a", NO),
        case(
            "a comment ends a line",
            "account required pam_permit.so # \\\naccount required pam_deny.so\n",
            &[],
            "a",
            NO,
        ),
        case(
            "a comment that seems to go on",
            "# x \\\naccount required pam_deny.so\n",
            &[],
            "a",
            NO,
        ),
        case("no last line end", "account required pam_permit.so", &[], "a", YES),
        case("CRLF", "account required pam_permit.so\r\n", &[], "a", NO),
        case(
            "a session that is denied",
            &format!("{permit}session required pam_deny.so\n"),
            &[],
            "a",
            NO,
        ),
        case(
            "a session module without a session",
            &format!("{permit}session required pam_nologin.so\nsession required pam_permit.so\n"),
            &[],
            "a",
            NO,
        ),
        case(
            "a session that asks for a password",
            &format!("{permit}session required pam_debug.so open_session=new_authtok_reqd\n"),
            &[],
            "a",
            NO,
        ),
    ];
    for (limits, user, verdict) in [
        ("a hard maxlogins 0\n", "a", NO),
        ("a - maxlogins 0\n", "b", YES),
        ("a soft maxlogins 0\n", "a", NO),
        ("* hard maxlogins 0\n", "a", NO),
        ("* hard maxlogins 0\n", "root", YES),
        ("* hard maxlogins 10\n", "a", YES),
        ("@staff hard maxsyslogins 0\n", "a", NO),
        ("@staff hard maxsyslogins 0\n", "b", YES),
        ("a -\n* hard maxlogins 0\n", "a", YES),
        ("# a hard maxlogins 0\n", "a", YES),
        ("* hard nofile 100\n", "a", YES),
        ("a hard maxlogins 3\n* hard maxlogins 0\n", "a", YES),
        ("a hard maxlogins 3\n@staff hard maxlogins 0\n", "a", YES),
        ("a hard maxlogins 3\na hard maxlogins 0\n", "a", NO),
        ("a hard maxlogins 0\na hard maxlogins 3\n", "a", YES),
        ("a hard maxlogins 3\n* hard maxsyslogins 0\n", "a", NO),
        ("500: hard maxlogins 0\n", "a", OPEN),
        ("root hard maxlogins 0\n", "root", YES),
        ("* hard nofile 1048576\n", "a", YES),
        ("* hard nofile 2000000\n", "a", OPEN),
        ("* - nofile 2000000\n", "root", YES),
        ("root - nofile 2000000\n", "root", OPEN),
        ("* soft nofile 2000000\n", "a", YES),
        ("a - nofile 4096\n* - nofile 2000000\n", "a", YES),
        ("@0:99 hard maxlogins 0\n", "a", OPEN),
    ] {
        let sshd = format!("{permit}session required pam_limits.so\n");
        cases.push(unmeasured(case(
            limits,
            &sshd,
            &[("/etc/security/limits.conf", limits)],
            user,
            verdict,
        )));
    }
    for (line, more, verdict) in [
        ("required pam_sss.so", None, NO),
        ("required pam_sss.so ignore_authinfo_unavail", None, YES),
        (
            "[default=bad success=ok user_unknown=ignore] pam_sss.so",
            Some("/etc/sssd/sssd.conf"),
            OPEN,
        ),
        ("sufficient pam_sss.so", Some("/etc/sssd/sssd.conf"), YES),
        ("required pam_vendor.so", None, OPEN),
        ("optional pam_vendor.so", None, YES),
        ("requisite pam_krb5.so", None, OPEN),
        (
            "[success=done authtok_expired=bad new_authtok_reqd=bad maxtries=bad acct_expired=bad default=ignore] pam_systemd_home.so",
            None,
            YES,
        ),
        (
            "[success=done acct_expired=bad default=ignore] pam_systemd_home.so",
            Some("/var/lib/systemd/home/a.identity"),
            OPEN,
        ),
        ("required pam_sepermit.so", None, YES),
        ("required pam_tally2.so", None, YES),
    ] {
        let sshd = format!("account {line}\n{permit}");
        let more: Vec<(&'static str, &str)> = more.into_iter().map(|path| (path, "x\n")).collect();
        cases.push(unmeasured(case(line, &sshd, &more, "a", verdict)));
    }
    cases
}

pub(super) fn cases() -> Vec<Case> {
    [stacks(), unix(), simple(), succeed_if(), access(), files()].into_iter().flatten().collect()
}

#[test]
fn stacks_and_modules_have_their_answer_login_65_to_74() {
    let cases = cases();
    assert!(cases.len() >= 200, "{}", cases.len());
    let mut wrong = Vec::new();
    for Case { name, files, user, verdict, .. } in &cases {
        let found = found(files, user);
        let ours = Verdict::of(&found);
        if ours != *verdict {
            wrong.push(format!("{name}: {ours}, not {verdict}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
}
