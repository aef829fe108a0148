//! The PAM of this machine judges: the same files, asked by `pamtester` in a directory of its own.

#![expect(clippy::disallowed_methods, reason = "tests write files of their own")]

use super::tests::{Case, cases, dated, ours, tree_of};
use super::*;
use crate::login::Verdict;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root directory with `pamtester`, the modules and nothing else.
struct Root {
    directory: tempfile::TempDir,
    modules: PathBuf,
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The shared objects that a program or module needs.
fn libraries(path: &Path) -> Vec<PathBuf> {
    let text = output(Command::new("ldd").arg(path));
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

impl Root {
    fn new() -> Self {
        let modules = [
            "/lib/x86_64-linux-gnu/security",
            "/lib/aarch64-linux-gnu/security",
            "/lib64/security",
        ];
        let modules = modules.into_iter().map(PathBuf::from).find(|path| path.exists());
        let modules = modules.expect("the modules of PAM (libpam-modules)");
        let directory = tempfile::tempdir().unwrap();
        let root = Self { directory, modules };
        let tester = output(Command::new("sh").args(["-c", "command -v pamtester"]));
        let tester = PathBuf::from(tester.trim());
        assert!(tester.is_absolute(), "pamtester is missing (package pamtester)");
        root.copy(&tester, Path::new("/bin/pamtester"));
        // Releases from 1.6 on ask this helper for everything in shadow.
        for helper in ["/sbin/unix_chkpwd", "/usr/sbin/unix_chkpwd"].map(Path::new) {
            if helper.exists() {
                root.copy(helper, helper);
            }
        }
        for module in Root::module_names() {
            let path = root.modules.join(&module);
            root.copy(&path, &path);
        }
        root
    }

    fn module_names() -> Vec<String> {
        let names = [
            "access",
            "debug",
            "deny",
            "listfile",
            "localuser",
            "nologin",
            "permit",
            "shells",
            "succeed_if",
            "time",
            "unix",
            "usertype",
            "warn",
            "rootok",
            "faillock",
            "limits",
            "motd",
        ];
        names.iter().map(|name| format!("pam_{name}.so")).collect()
    }

    fn copy(&self, from: &Path, to: &Path) {
        for (from, to) in std::iter::once((from.to_owned(), to.to_owned()))
            .chain(libraries(from).into_iter().map(|l| (l.clone(), l)))
        {
            let to = self.directory.path().join(to.strip_prefix("/").unwrap());
            if !to.exists() {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(std::fs::canonicalize(from).unwrap(), to).unwrap();
            }
        }
    }

    /// Replaces everything below /etc.
    fn put(&self, files: &BTreeMap<String, String>) {
        let etc = self.directory.path().join("etc");
        if etc.exists() {
            std::fs::remove_dir_all(&etc).unwrap();
        }
        for (path, content) in files {
            let path = self.directory.path().join(path.strip_prefix('/').unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    /// What PAM says to one operation of one user from one client.
    fn ask(&self, user: &str, client: &str, operation: &str) -> String {
        let mut command = Command::new("chroot");
        command.arg(self.directory.path()).args(["/bin/pamtester", "-I"]);
        command.arg(format!("rhost={client}")).args(["-I", "tty=ssh", "sshd", user, operation]);
        // Modules say something of their own as well.
        let said = output(&mut command);
        said.lines().find(|line| line.starts_with("pamtester:")).unwrap_or_default().to_owned()
    }
}

fn is_success(answer: &str) -> bool {
    answer.ends_with("done.") || answer.ends_with("opened") || answer.contains("fully opened")
}

/// What [`Root::ask`] prints for each code.
fn texts(root: &Root) -> BTreeMap<String, Vec<Code>> {
    let mut texts: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for &(code, name) in Code::ALL.iter().filter(|(code, _)| *code != Code::Incomplete) {
        let line = format!("account [default=ok] pam_debug.so acct={name}\n");
        let mut files = base();
        files.insert("/etc/pam.d/sshd".to_owned(), line);
        root.put(&files);
        texts.entry(root.ask("a", "10.0.0.1", "acct_mgmt")).or_default().push(code);
    }
    texts
}

fn today() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs() / 86_400).unwrap()
}

fn base() -> BTreeMap<String, String> {
    super::tests::base()
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

/// A small generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn line(&mut self, depth: usize) -> String {
        let controls = [
            "required",
            "requisite",
            "sufficient",
            "optional",
            "[success=1 default=ignore]",
            "[success=ok new_authtok_reqd=done default=bad]",
            "[default=reset]",
            "[success=2 default=die]",
            "[default=done]",
            "[success=die ignore=ok default=ok]",
            "[success=reset default=1]",
            "[user_unknown=ignore success=ok default=bad]",
            "[success=3 auth_err=2 default=bad]",
            "[success=0]",
            "[ignore=bad success=done default=ignore]",
            "Required",
            "nonsense",
        ];
        let codes = [
            "success",
            "auth_err",
            "ignore",
            "user_unknown",
            "new_authtok_reqd",
            "perm_denied",
            "acct_expired",
        ];
        let control = self.one(&controls);
        let kind = self.one(&["account", "account", "account", "-account", "ACCOUNT", "auth"]);
        match self.below(20) {
            0 if depth < 3 => format!("account include level{}", depth + 1),
            1 | 2 if depth < 3 => format!("account substack level{}", depth + 1),
            3 if depth < 3 => format!("@include level{}", depth + 1),
            4 => format!("{kind} {control} pam_missing.so"),
            5 => format!("{kind} {control} pam_motd.so # no account phase"),
            6 => self
                .one(&[
                    "account",
                    "account required",
                    "",
                    "# account required pam_deny.so",
                    "bogus required pam_permit.so",
                ])
                .to_owned(),
            7 => format!("{kind} {control} \\\n  pam_debug.so acct={}", self.one(&codes)),
            8 => format!("account {} absent", self.one(&["include", "substack"])),
            _ => format!("{kind}\t{control}  pam_debug.so acct={}", self.one(&codes)),
        }
    }

    fn file(&mut self, depth: usize) -> String {
        let count = self.below(6);
        (0..count).map(|_| self.line(depth) + "\n").collect()
    }
}

/// 400 generated stacks, whose modules answer what they are told: PAM and we get the same code.
#[test]
fn stacks_are_run_as_pam_runs_them_login_66() {
    let root = Root::new();
    let texts = texts(&root);
    let mut numbers = Numbers(66);
    let mut seen: BTreeMap<Code, u32> = BTreeMap::new();
    for round in 0..400 {
        let mut files = base();
        for (depth, name) in ["sshd", "level1", "level2", "level3"].into_iter().enumerate() {
            files.insert(format!("/etc/pam.d/{name}"), numbers.file(depth));
        }
        files.insert(
            "/etc/pam.d/other".to_owned(),
            "account required pam_debug.so acct=maxtries\n".to_owned(),
        );
        root.put(&files);
        let theirs = root.ask("a", "10.0.0.1", "acct_mgmt");
        let ours = code_of(&files, &Root::module_names());
        *seen.entry(ours).or_default() += 1;
        let codes = texts.get(&theirs).cloned().unwrap_or_default();
        let is_same = codes.contains(&ours) || (codes.is_empty() && ours == Code::Abort);
        assert!(is_same, "round {round}: PAM says {theirs:?}, we say {ours:?}\n{files:#?}");
    }
    assert!(
        seen.len() >= 6 && seen.values().filter(|&&count| count >= 10).count() >= 4,
        "{seen:?}"
    );
}

/// What our rules make of a stack without open answers.
fn code_of(files: &BTreeMap<String, String>, modules: &[String]) -> Code {
    let pairs: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut tree = tree_of(&pairs);
    for module in modules {
        tree.file(&format!("/usr/lib/security/{module}"), 0, 0o644, b"");
    }
    let system = crate::guest::linux::detect(&tree).unwrap().unwrap();
    let guest = Guest::open(&tree, &system, super::tests::now()).unwrap();
    let user = system.accounts.find(b"a").unwrap();
    let entries = match config::read(guest.fs, SERVICE, Kind::Account, true) {
        Stack::Lines(entries) => entries,
        Stack::Broken(_, reason) if reason.contains("no account line") => return Code::PermDenied,
        Stack::Broken(..) => return Code::Abort,
        Stack::Unknown(..) => panic!("nothing here is unknown"),
    };
    let asked = Asked::new(&guest, user, SERVICE, Kind::Account);
    let answers: Vec<_> = entries.iter().map(|entry| asked.answers(entry)).collect();
    let outcomes = stack::run(&entries, &answers).unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes[0].code
}

/// Every case of the table, asked from three clients: where we are certain, PAM says the same to all of them.
#[test]
fn the_modules_answer_as_those_of_this_machine_login_66_to_73() {
    let root = Root::new();
    let clients = ["10.0.0.1", "192.0.2.7", "2001:db8::1"];
    let mut wrong = Vec::new();
    for Case { name, files, user, verdict, is_measurable } in cases() {
        if !is_measurable || verdict == Verdict::Unknown {
            continue;
        }
        let is_about_clients = files.iter().any(|(_, text)| text.contains("pam_access"));
        let clients = if is_about_clients { &clients[..] } else { &clients[..1] };
        let mut all = base();
        all.extend(files.iter().map(|(path, text)| ((*path).to_owned(), dated(text, today()))));
        root.put(&all);
        assert_eq!(ours(&files, user), verdict, "{name}");
        for &client in clients {
            let account = root.ask(user, client, "acct_mgmt");
            let goes_on = is_success(&account) || account.contains("token is no longer valid");
            let is_in = goes_on && is_success(&root.ask(user, client, "open_session"));
            if is_in != (verdict == Verdict::Accepted) {
                wrong.push(format!("{name} from {client}: {verdict:?}, but in: {is_in}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
