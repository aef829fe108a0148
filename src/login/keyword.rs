//! Keywords of sshd_config(5): since when sshd knows them, where they may stand, what they take (LOGIN-15 to
//! LOGIN-19, LOGIN-25).
//!
//! Read in the releases of OpenSSH from 5.3 to 10.5. Not handled: the values of keywords that do not decide a
//! login with a key and take more than a word, a number or a choice; a mistake there can still stop sshd.

use super::daemon::Version;

/// A keyword as sshd knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyword {
    /// Its name in lower case.
    pub(super) name: &'static str,
    /// The first release that knows it; `None` for one that only vendors add.
    pub(super) since: Option<Version>,
    /// The first release that takes it in a Match block; `None` if none does (LOGIN-25).
    pub(super) in_match: Option<Version>,
    /// What stands behind it.
    pub(super) value: Value,
}

/// What a keyword takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// `yes` or `no`.
    Flag,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A number.
    Number,
    /// A time, as in `1h30m`.
    Time,
    /// A port.
    Port,
    /// One word.
    Word,
    /// Any number of words.
    Words,
    /// Patterns of users, with hosts.
    Users,
    /// Files, or `none` alone.
    Files,
    /// Names of ciphers and the like, separated by commas.
    Names,
    /// Names of signature algorithms, with wildcards.
    Algorithms,
    /// Lists of authentication methods.
    Methods,
    /// Options for security keys.
    KeyOptions,
    /// `begin[:rate:full]`.
    Startups,
    /// One or two names of a service class, or numbers.
    ServiceClasses,
    /// A name and a command.
    Subsystem,
    /// The rest of the line as it stands.
    Rest,
    /// The rest of the line: an absolute path with arguments, or `none`.
    Command,
    /// Ignored, whatever it is.
    Ignored,
    /// Something that is not looked at.
    Other,
}

/// What `keyword` (in lower case) is; `None` if no release and no vendor that we know has it.
pub(super) fn find(keyword: &str) -> Option<&'static Keyword> {
    let at = KEYWORDS.binary_search_by(|row| row.name.cmp(keyword)).ok()?;
    KEYWORDS.get(at)
}

/// One name for each setting, in lower case (LOGIN-19).
pub(super) fn canonical(keyword: String) -> String {
    match keyword.as_str() {
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms".to_owned(),
        "dsaauthentication" => "pubkeyauthentication".to_owned(),
        "challengeresponseauthentication" | "skeyauthentication" => {
            "kbdinteractiveauthentication".to_owned()
        }
        "hostdsakey" => "hostkey".to_owned(),
        // Red Hat's first name for it.
        "rsaminsize" => "requiredrsasize".to_owned(),
        _ => keyword,
    }
}

/// Keywords whose lines add up (LOGIN-18); of all others the first line wins.
pub(super) fn adds_up(keyword: &str) -> bool {
    matches!(
        keyword,
        "allowusers"
            | "denyusers"
            | "allowgroups"
            | "denygroups"
            | "hostkey"
            | "port"
            | "listenaddress"
            | "acceptenv"
            | "subsystem"
    )
}

/// Older than every release that matters.
const OLD: Version = Version::new(5, 3);

/// A keyword that may stand in a Match block, from the beginning.
const fn any(name: &'static str, value: Value) -> Keyword {
    Keyword { name, since: Some(OLD), in_match: Some(OLD), value }
}

/// A keyword that may not.
const fn global(name: &'static str, value: Value) -> Keyword {
    Keyword { name, since: Some(OLD), in_match: None, value }
}

/// A keyword that came later.
const fn later(name: &'static str, major: u16, minor: u16, value: Value) -> Keyword {
    let since = Version::new(major, minor);
    Keyword { name, since: Some(since), in_match: Some(since), value }
}

/// A keyword that came later and may not stand in a Match block.
const fn later_global(name: &'static str, major: u16, minor: u16, value: Value) -> Keyword {
    Keyword { name, since: Some(Version::new(major, minor)), in_match: None, value }
}

/// A keyword that Match blocks took only later.
const fn moved(name: &'static str, major: u16, minor: u16, value: Value) -> Keyword {
    Keyword { name, since: Some(OLD), in_match: Some(Version::new(major, minor)), value }
}

/// A keyword of vendors.
const fn vendor(name: &'static str) -> Keyword {
    Keyword { name, since: None, in_match: Some(OLD), value: Value::Other }
}

/// A keyword of vendors that may not stand in a Match block.
const fn vendor_global(name: &'static str) -> Keyword {
    Keyword { in_match: None, ..vendor(name) }
}

const FORWARDING: Value = Value::Choice(&["yes", "all", "no", "remote", "local"]);

/// Every keyword, sorted.
const KEYWORDS: [Keyword; 145] = [
    moved("acceptenv", 6, 1, Value::Words),
    global("addressfamily", Value::Choice(&["inet", "inet6", "any"])),
    global("afstokenpassing", Value::Ignored),
    any("allowagentforwarding", Value::Flag),
    moved("allowgroups", 6, 1, Value::Words),
    later("allowstreamlocalforwarding", 6, 7, FORWARDING),
    any("allowtcpforwarding", FORWARDING),
    moved("allowusers", 6, 1, Value::Users),
    later("authenticationmethods", 6, 2, Value::Methods),
    later("authorizedkeyscommand", 6, 2, Value::Command),
    vendor("authorizedkeyscommandrunas"),
    later("authorizedkeyscommanduser", 6, 2, Value::Word),
    moved("authorizedkeysfile", 5, 6, Value::Files),
    moved("authorizedkeysfile2", 5, 6, Value::Ignored),
    later("authorizedprincipalscommand", 6, 9, Value::Command),
    later("authorizedprincipalscommanduser", 6, 9, Value::Word),
    later("authorizedprincipalsfile", 5, 6, Value::Word),
    any("banner", Value::Word),
    later("casignaturealgorithms", 7, 9, Value::Algorithms),
    moved("challengeresponseauthentication", 8, 7, Value::Flag),
    later("channeltimeout", 9, 2, Value::Other),
    global("checkmail", Value::Ignored),
    any("chrootdirectory", Value::Word),
    global("ciphers", Value::Names),
    moved("clientalivecountmax", 7, 4, Value::Number),
    moved("clientaliveinterval", 7, 4, Value::Time),
    global("compression", Value::Choice(&["yes", "delayed", "no"])),
    vendor_global("debianbanner"),
    moved("denygroups", 6, 1, Value::Words),
    moved("denyusers", 6, 1, Value::Users),
    later("disableforwarding", 7, 4, Value::Flag),
    global("dsaauthentication", Value::Flag),
    later("exposeauthinfo", 7, 6, Value::Flag),
    later_global(
        "fingerprinthash",
        6,
        8,
        Value::Choice(&["md5", "sha1", "sha256", "sha384", "sha512"]),
    ),
    any("forcecommand", Value::Rest),
    any("gatewayports", Value::Choice(&["clientspecified", "yes", "no"])),
    any("gssapiauthentication", Value::Other),
    global("gssapicleanupcredentials", Value::Other),
    vendor_global("gssapicleanupcreds"),
    vendor_global("gssapidelegatecredentials"),
    vendor("gssapienablek5users"),
    vendor("gssapiindicators"),
    vendor_global("gssapikexalgorithms"),
    vendor_global("gssapikeyexchange"),
    vendor_global("gssapistorecredentialsonrekey"),
    later_global("gssapistrictacceptorcheck", 6, 9, Value::Other),
    vendor_global("gssusesessionccache"),
    later("hostbasedacceptedalgorithms", 8, 5, Value::Algorithms),
    later("hostbasedacceptedkeytypes", 6, 8, Value::Algorithms),
    any("hostbasedauthentication", Value::Flag),
    moved("hostbasedusesnamefrompacketonly", 5, 6, Value::Flag),
    later_global("hostcertificate", 5, 4, Value::Word),
    global("hostdsakey", Value::Word),
    global("hostkey", Value::Word),
    later_global("hostkeyagent", 6, 3, Value::Word),
    later_global("hostkeyalgorithms", 7, 0, Value::Algorithms),
    vendor_global("hpnbuffersize"),
    vendor_global("hpndisabled"),
    moved("ignorerhosts", 8, 3, Value::Choice(&["yes", "no", "shosts-only"])),
    global("ignoreuserknownhosts", Value::Flag),
    later("ipqos", 5, 7, Value::ServiceClasses),
    any("kbdinteractiveauthentication", Value::Flag),
    global("keepalive", Value::Flag),
    any("kerberosauthentication", Value::Other),
    global("kerberosgetafstoken", Value::Other),
    global("kerberosorlocalpasswd", Value::Other),
    global("kerberostgtpassing", Value::Ignored),
    global("kerberosticketcleanup", Value::Other),
    vendor_global("kerberosuniqueccache"),
    vendor("kerberosusekuserok"),
    later_global("kexalgorithms", 5, 7, Value::Names),
    global("keyregenerationinterval", Value::Ignored),
    global("listenaddress", Value::Other),
    global("logingracetime", Value::Time),
    moved("loglevel", 7, 6, LEVELS),
    later("logverbose", 8, 5, Value::Words),
    global("macs", Value::Names),
    any("maxauthtries", Value::Number),
    any("maxsessions", Value::Number),
    global("maxstartups", Value::Startups),
    later_global("modulifile", 8, 6, Value::Word),
    vendor_global("noneenabled"),
    global("pamauthenticationviakbdint", Value::Ignored),
    later("pamservicename", 9, 8, Value::Word),
    any("passwordauthentication", Value::Flag),
    any("permitemptypasswords", Value::Flag),
    later("permitlisten", 7, 8, Value::Other),
    any("permitopen", Value::Other),
    any("permitrootlogin", ROOT_LOGIN),
    later("permittty", 6, 5, Value::Flag),
    // In the words of this one case counts.
    moved("permittunnel", 5, 6, Value::Other),
    global("permituserenvironment", Value::Word),
    later("permituserrc", 6, 7, Value::Flag),
    later_global("persourcemaxstartups", 8, 5, Value::Other),
    later_global("persourcenetblocksize", 8, 5, Value::Other),
    later_global("persourcepenalties", 9, 8, Value::Other),
    later_global("persourcepenaltyexemptlist", 9, 8, Value::Other),
    global("pidfile", Value::Word),
    global("port", Value::Port),
    global("printlastlog", Value::Flag),
    global("printmotd", Value::Flag),
    global("protocol", Value::Ignored),
    later("pubkeyacceptedalgorithms", 8, 5, Value::Algorithms),
    later("pubkeyacceptedkeytypes", 6, 8, Value::Algorithms),
    any("pubkeyauthentication", Value::Flag),
    later("pubkeyauthoptions", 8, 2, Value::KeyOptions),
    later("rdomain", 7, 7, Value::Other),
    later("refuseconnection", 9, 9, Value::Flag),
    later("rekeylimit", 6, 3, Value::Other),
    later("requiredrsasize", 9, 1, Value::Number),
    global("reversemappingcheck", Value::Ignored),
    later("revokedkeys", 5, 4, Value::Files),
    global("rhostsauthentication", Value::Ignored),
    any("rhostsrsaauthentication", Value::Ignored),
    any("rsaauthentication", Value::Ignored),
    Keyword { value: Value::Number, ..vendor("rsaminsize") },
    later_global("securitykeyprovider", 8, 2, Value::Word),
    global("serverkeybits", Value::Ignored),
    later("setenv", 7, 8, Value::Other),
    vendor_global("showpatchlevel"),
    moved("skeyauthentication", 8, 7, Value::Flag),
    later_global("sshdauthpath", 10, 0, Value::Word),
    later_global("sshdsessionpath", 9, 8, Value::Word),
    later("streamlocalbindmask", 6, 7, Value::Other),
    later("streamlocalbindunlink", 6, 7, Value::Flag),
    global("strictmodes", Value::Flag),
    moved("subsystem", 9, 5, Value::Subsystem),
    global("syslogfacility", FACILITIES),
    global("tcpkeepalive", Value::Flag),
    vendor_global("tcprcvbufpoll"),
    later("trustedusercakeys", 5, 4, Value::Word),
    later("unusedconnectiontimeout", 9, 2, Value::Other),
    vendor_global("useblacklist"),
    vendor_global("useblocklist"),
    global("usedns", Value::Flag),
    global("uselogin", Value::Ignored),
    global("usepam", Value::Flag),
    global("useprivilegeseparation", Value::Ignored),
    global("verifyreversemapping", Value::Ignored),
    later_global("versionaddendum", 6, 1, Value::Rest),
    any("x11displayoffset", Value::Number),
    any("x11forwarding", Value::Flag),
    any("x11maxdisplays", Value::Other),
    any("x11uselocalhost", Value::Flag),
    global("xauthlocation", Value::Word),
];

const ROOT_LOGIN: Value =
    Value::Choice(&["yes", "no", "without-password", "prohibit-password", "forced-commands-only"]);

const LEVELS: Value = Value::Choice(&[
    "quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3",
]);

const FACILITIES: Value = Value::Choice(&[
    "daemon", "user", "auth", "authpriv", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_finds_every_keyword() {
        assert!(KEYWORDS.is_sorted_by_key(|row| row.name));
        for row in &KEYWORDS {
            assert!(find(row.name).is_some());
            assert!(row.in_match.is_none() || row.since.is_none() || row.in_match >= row.since);
        }
        assert!(find("usepma").is_none());
    }

    #[test]
    fn aliases_have_one_name_login_19() {
        for (alias, name) in [
            ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
            ("dsaauthentication", "pubkeyauthentication"),
            ("skeyauthentication", "kbdinteractiveauthentication"),
            ("usepam", "usepam"),
        ] {
            assert_eq!(canonical(alias.to_owned()), name);
        }
    }
}
