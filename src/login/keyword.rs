//! Keywords of sshd_config(5): their aliases, and which lines stop sshd (LOGIN-15 to LOGIN-19,
//! LOGIN-25).
//!
//! Not handled: values of keywords that do not decide a login with a key, beyond the switches and
//! plain numbers; a mistake in such a line can still stop sshd.

/// What is wrong with a line, by how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// Every sshd stops at it.
    Fatal(&'static str),
    /// No sshd that we know has the keyword (LOGIN-16).
    Unknown,
}

/// One name for each setting, in lower case (LOGIN-19).
pub(super) fn canonical(keyword: String) -> String {
    match keyword.as_str() {
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms".to_owned(),
        "dsaauthentication" => "pubkeyauthentication".to_owned(),
        "challengeresponseauthentication" | "skeyauthentication" => {
            "kbdinteractiveauthentication".to_owned()
        }
        _ => keyword,
    }
}

/// True for a keyword that may not stand in a Match block (LOGIN-25).
pub(super) fn is_global_only(keyword: &str) -> bool {
    GLOBAL_ONLY.contains(&keyword)
}

/// Looks for what stops sshd at a line.
pub(super) fn defect(keyword: &str, arguments: &[Vec<u8>]) -> Option<Defect> {
    let first = arguments.first().map(|value| value.to_ascii_lowercase()).unwrap_or_default();
    let fatal = |is_good: bool, reason| (!is_good).then_some(Defect::Fatal(reason));
    let is_single = FLAGS.contains(&keyword)
        || NUMBERS.contains(&keyword)
        || matches!(keyword, "permitrootlogin" | "requiredrsasize" | "refuseconnection");
    if is_single && arguments.len() > 1 {
        return Some(Defect::Fatal("it has more than one value"));
    }
    match keyword {
        _ if FLAGS.contains(&keyword) || keyword == "refuseconnection" => {
            fatal(matches!(first.as_slice(), b"yes" | b"no"), "it is neither yes nor no")
        }
        _ if NUMBERS.contains(&keyword) || keyword == "requiredrsasize" => {
            let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
            fatal(is_number, "it is no number")
        }
        "permitrootlogin" => {
            let is_known = matches!(
                first.as_slice(),
                b"yes"
                    | b"no"
                    | b"without-password"
                    | b"prohibit-password"
                    | b"forced-commands-only"
            );
            fatal(is_known, "its value is unknown")
        }
        "authorizedkeyscommand" => {
            let is_path = first.starts_with(b"/") || first == b"none";
            fatal(is_path, "it is neither an absolute path nor none")
        }
        "authenticationmethods" => {
            let has_any = arguments.iter().any(|list| list == b"any");
            fatal(!has_any || arguments.len() == 1, "any does not stand alone")
        }
        _ if GLOBAL_ONLY.contains(&keyword) || OTHERS.contains(&keyword) => None,
        _ => Some(Defect::Unknown),
    }
}

/// Keywords that stop sshd inside a Match block.
const GLOBAL_ONLY: [&str; 14] = [
    "usepam",
    "strictmodes",
    "port",
    "listenaddress",
    "addressfamily",
    "hostkey",
    "permituserenvironment",
    "usedns",
    "logingracetime",
    "maxstartups",
    "ciphers",
    "macs",
    "kexalgorithms",
    "hostkeyalgorithms",
];

/// Keywords that take only yes or no.
const FLAGS: [&str; 21] = [
    "allowagentforwarding",
    "disableforwarding",
    "exposeauthinfo",
    "hostbasedauthentication",
    "hostbasedusesnamefrompacketonly",
    "ignoreuserknownhosts",
    "kbdinteractiveauthentication",
    "passwordauthentication",
    "permitemptypasswords",
    "permittty",
    "permituserrc",
    "printlastlog",
    "printmotd",
    "pubkeyauthentication",
    "streamlocalbindunlink",
    "strictmodes",
    "tcpkeepalive",
    "usedns",
    "usepam",
    "x11forwarding",
    "x11uselocalhost",
];

/// Keywords that take only a number.
const NUMBERS: [&str; 4] =
    ["clientalivecountmax", "maxauthtries", "maxsessions", "x11displayoffset"];

/// Every other keyword: of current and older releases, deprecated ones, and those of vendors.
const OTHERS: [&str; 106] = [
    "acceptenv",
    "afstokenpassing",
    "allowgroups",
    "allowstreamlocalforwarding",
    "allowtcpforwarding",
    "allowusers",
    "authenticationmethods",
    "authorizedkeyscommand",
    "authorizedkeyscommandrunas",
    "authorizedkeyscommanduser",
    "authorizedkeysfile",
    "authorizedkeysfile2",
    "authorizedprincipalscommand",
    "authorizedprincipalscommanduser",
    "authorizedprincipalsfile",
    "banner",
    "casignaturealgorithms",
    "channeltimeout",
    "checkmail",
    "chrootdirectory",
    "clientaliveinterval",
    "compression",
    "debianbanner",
    "denygroups",
    "denyusers",
    "fingerprinthash",
    "forcecommand",
    "gatewayports",
    "gssapiauthentication",
    "gssapicleanupcredentials",
    "gssapicleanupcreds",
    "gssapidelegatecredentials",
    "gssapienablek5users",
    "gssapiindicators",
    "gssapikexalgorithms",
    "gssapikeyexchange",
    "gssapistorecredentialsonrekey",
    "gssapistrictacceptorcheck",
    "gssusesessionccache",
    "hostbasedacceptedalgorithms",
    "hostbasedacceptedkeytypes",
    "hostcertificate",
    "hostdsakey",
    "hostkeyagent",
    "ignorerhosts",
    "ipqos",
    "keepalive",
    "kerberosauthentication",
    "kerberosgetafstoken",
    "kerberosorlocalpasswd",
    "kerberostgtpassing",
    "kerberosticketcleanup",
    "kerberosuniqueccache",
    "kerberosusekuserok",
    "keyregenerationinterval",
    "loglevel",
    "logverbose",
    "maxdisplays",
    "moduli",
    "modulifile",
    "nobanner",
    "noneenabled",
    "pamauthenticationviakbdint",
    "pamservicename",
    "permitlisten",
    "permitopen",
    "permitrootlogin",
    "permittunnel",
    "persourcemaxstartups",
    "persourcenetblocksize",
    "persourcepenalties",
    "persourcepenaltyexemptlist",
    "pidfile",
    "protocol",
    "protocolkeepalives",
    "pubkeyacceptedalgorithms",
    "pubkeyauthoptions",
    "rdomain",
    "rekeylimit",
    "reversemappingcheck",
    "revokedkeys",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "routingdomain",
    "rsaauthentication",
    "rsaminsize",
    "securitykeyprovider",
    "serverkeybits",
    "setenv",
    "showpatchlevel",
    "sshdauthpath",
    "sshdmonitorpath",
    "sshdsessionpath",
    "streamlocalbindmask",
    "subsystem",
    "syslogfacility",
    "trustedusercakeys",
    "unusedconnectiontimeout",
    "useblacklist",
    "useblocklist",
    "uselogin",
    "useprivilegeseparation",
    "verifyreversemapping",
    "versionaddendum",
    "x11maxdisplays",
    "xauthlocation",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stop_sshd_are_known_login_15_and_16() {
        let defect = |line: &str| {
            let words: Vec<Vec<u8>> = line.split(' ').map(Into::into).collect();
            defect(std::str::from_utf8(&words[0]).unwrap(), &words[1..])
        };
        for line in [
            "usepam yes",
            "usepam NO",
            "permitrootlogin Yes",
            "maxauthtries 6",
            "authorizedkeyscommand none",
            "authenticationmethods any",
            "ciphers x",
            "subsystem sftp /x -y",
            "refuseconnection no",
        ] {
            assert_eq!(defect(line), None, "{line}");
        }
        for line in [
            "usepam true",
            "usepam yes no",
            "permitrootlogin maybe",
            "permitrootlogin yes yes",
            "maxauthtries six",
            "requiredrsasize",
            "authorizedkeyscommand relative",
            "authenticationmethods any publickey",
        ] {
            assert!(matches!(defect(line), Some(Defect::Fatal(_))), "{line}");
        }
        assert_eq!(defect("usepma yes"), Some(Defect::Unknown));
    }

    #[test]
    fn each_keyword_stands_in_one_list_of_values_and_in_order() {
        assert!(OTHERS.is_sorted() && FLAGS.is_sorted() && NUMBERS.is_sorted());
        assert!(!OTHERS.iter().any(|word| FLAGS.contains(word) || NUMBERS.contains(word)));
    }
}
