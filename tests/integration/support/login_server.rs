//! The sshd of a tree, in a changed root on a loopback port, and what it answers to a real client.

use super::tools;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often another port is tried when somebody else took the one that was free.
const PORT_TRIES_MAX: u32 = 5;
/// How long sshd may take to listen or to give up.
const START_SECONDS_MAX: u64 = 60;
/// What the privileged half of sshd says when it knows better than the other.
const MONITOR_REFUSES: &str = "unexpected authentication from";
/// What the client's command prints, so that it is not taken for another.
const MARK: &str = "the-command-of-the-client";
/// Status with which a session ends that /etc/nologin forbids, without PAM (LOGIN-72).
const NOLOGIN_STATUS: i32 = 254;

/// What sshd said to one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The key is good and a command ran.
    Accepted,
    /// The key is good, and then the client's command did not run: a shell that ends, a forced change of the
    /// password, another command in its place.
    AcceptedThenDies,
    /// The key does not open a session.
    Refused,
}

/// What sshd said to every client, and what it wrote in its log.
#[derive(Debug)]
pub(crate) struct Answers {
    /// One for each address, in order.
    pub(crate) replies: Vec<Reply>,
    /// The log of sshd and the words of the clients, for the reader of a failure.
    pub(crate) log: String,
}

/// Starts the sshd of the tree at `root` and logs in as `user` with the private key at `key`, from each of
/// `addresses`. A daemon that does not start refuses everybody.
///
/// # Panics
/// If a client fails for another reason than sshd's.
pub(crate) fn ask(root: &Path, user: &str, key: &Path, addresses: &[&str]) -> Answers {
    let mut log = String::new();
    let Some(mut server) = Server::start(root, &mut log) else {
        return Answers { replies: vec![Reply::Refused; addresses.len()], log };
    };
    let port = server.port;
    let replies = addresses.iter().map(|address| log_in(port, user, key, address, &mut log));
    let mut replies: Vec<Reply> = replies.collect();
    let said = server.stop();
    if said.contains(MONITOR_REFUSES) {
        // The client has been told yes already, by the half of sshd that has no say.
        assert!(replies.iter().all(|&reply| reply != Reply::Accepted), "{said}");
        replies.fill(Reply::Refused);
    }
    log.push_str(&said);
    Answers { replies, log }
}

/// A running sshd.
struct Server {
    process: Child,
    port: u16,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// `None` if sshd ends instead of listening; `log` then says why.
    fn start(root: &Path, log: &mut String) -> Option<Self> {
        for _ in 0..PORT_TRIES_MAX {
            let mut server = Self::spawn(root);
            let mut said = String::new();
            loop {
                let line = match server.lines.recv_timeout(Duration::from_secs(START_SECONDS_MAX)) {
                    Ok(line) => line,
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(error) => panic!("sshd neither listens nor ends: {error}: {said}"),
                };
                said.push_str(&line);
                said.push('\n');
                if line.contains("Server listening") {
                    log.push_str(&said);
                    return Some(server);
                }
            }
            server.stop();
            if !said.contains("Cannot bind any address") {
                assert!(!said.is_empty(), "sshd ended and did not say why");
                log.push_str(&said);
                return None;
            }
        }
        panic!("no free port after {PORT_TRIES_MAX} tries");
    }

    fn spawn(root: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new("chroot")
            .arg(root)
            .args(["/usr/sbin/sshd", "-D", "-e", "-o", "LogLevel=DEBUG1"])
            .args(["-o", "ListenAddress=127.0.0.1", "-p", &port.to_string()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        // What it says later is read too, or it would stop on a full pipe.
        let reader = std::thread::spawn(move || {
            for line in stderr.split(b'\n') {
                let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
                // The receiver goes first when a test fails.
                drop(sender.send(line));
            }
        });
        Self { process, port, lines, reader: Some(reader) }
    }

    /// Ends sshd; what it said.
    fn stop(&mut self) -> String {
        self.end();
        let lines: Vec<String> = self.lines.try_iter().collect();
        lines.join("\n")
    }

    fn end(&mut self) {
        if let Some(reader) = self.reader.take() {
            // It may have ended by itself.
            drop(self.process.kill());
            self.process.wait().unwrap();
            reader.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// One login with one key and nothing else, from a loopback address.
fn log_in(port: u16, user: &str, key: &Path, address: &str, log: &mut String) -> Reply {
    let mut command = tools::command("ssh");
    command.args(["-v", "-F", "none", "-T", "-b", address, "-i"]).arg(key);
    for option in [
        "BatchMode=yes",
        "ConnectTimeout=60",
        // The cheapest; the table is not about ciphers.
        "KexAlgorithms=curve25519-sha256",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
    ] {
        command.args(["-o", option]);
    }
    command.args(["-p", &port.to_string(), "-l", user, "127.0.0.1", &format!("echo {MARK}")]);
    let output = command.output().unwrap();
    let (status, errors) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
    let answer = String::from_utf8_lossy(&output.stdout);
    let is_authenticated = errors.contains("Authenticated to 127.0.0.1 ");
    let last: Vec<&str> = errors.lines().filter(|line| !line.starts_with("debug1: ")).collect();
    let client = format!("client {address}: {status:?}, authenticated {is_authenticated}");
    writeln!(log, "{client}: {answer:?} {last:?}").unwrap();
    if !is_authenticated {
        let reasons = ["Permission denied (", "Connection closed by ", "Connection reset by "];
        // What a server says that ends the connection before or after it learned the user.
        let more = ["kex_exchange_identification: ", "Received disconnect from "];
        let is_answer = reasons.iter().chain(&more).any(|reason| errors.contains(reason));
        assert!(status == Some(255) && is_answer, "not sshd's answer: {status:?}: {errors}");
        return Reply::Refused;
    }
    match status {
        Some(0) if answer.contains(MARK) => Reply::Accepted,
        Some(NOLOGIN_STATUS) if answer.is_empty() => Reply::Refused,
        _ => Reply::AcceptedThenDies,
    }
}
