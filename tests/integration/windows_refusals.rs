//! What is refused on Windows root disks, and that a refusal leaves the digest.

use crate::support::ntfs_check::{self, surgeon};
use crate::support::windows_disk::{CONFIG, NONE, V1, V2, WindowsDisk};

#[test]
fn refusals_name_the_next_command_and_leave_the_disk() {
    for (name, line, status, message, hint) in [
        (NONE, "", 4, "nothing is there of EC2Launch v2", "--method startup-script"),
        (V1, "--agent ec2launch-v2", 4, "EC2Launch v2 is not installed", "--method startup-script"),
        (V2, "--agent ec2config", 4, "EC2Config is not installed", "--method startup-script"),
        (V2, "--user alice", 2, "the built-in administrator", "regain password reset --help"),
        (NONE, "--method startup-script", 2, "needs a password", "regain password reset --help"),
        (CONFIG, "--generate", 2, "EC2Config makes a random password", "password reset --help"),
        (NONE, "--method setup --generate --user nobody", 3, "no local account nobody", "inspect"),
        (NONE, "--volume 1", 3, "volume 1", "inspect"),
        (V2, "--fix", 2, "--fix has no meaning on a Windows system", "password reset --help"),
        (V2, "--force", 2, "--force has no meaning", "password reset --help"),
    ] {
        let disk = WindowsDisk::new(name);
        let run = disk.run(format!("password reset win.img --yes --json {line}").trim_end());
        let error = run.failure(&[status]);
        let text = error["message"].as_str().unwrap();
        assert!(text.contains(message), "{line}: {text}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{line}: {error}");
        assert_eq!(disk.digest_now(), disk.digest(), "{line}");
    }
}

#[test]
fn a_key_is_refused_where_no_server_runs() {
    let disk = WindowsDisk::new(V1);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSf";
    let error = disk.run_with("key add win.img --key - --yes --json", key.as_bytes()).failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("no OpenSSH server"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("regain password reset"), "{error}");
    assert_eq!(disk.digest_now(), disk.digest());
}

/// Offsets of the `$VOLUME_INFORMATION` value in record 3 and its copy in the mirror.
fn volume_flags(volume: &[u8]) -> Vec<usize> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([volume[at], volume[at + 1]]));
    let u64_at = |at: usize| u64::from_le_bytes(volume[at..at + 8].try_into().unwrap()) as usize;
    let cluster = u16_at(0x0b) * usize::from(volume[0x0d]);
    let flags = |table: usize| {
        let record = u64_at(table) * cluster + 3 * 1024;
        assert_eq!(&volume[record..record + 4], b"FILE");
        let mut at = record + u16_at(record + 0x14);
        while volume[at] != 0x70 {
            at += u16_at(at + 4);
        }
        at + u16_at(at + 0x14) + 10
    };
    vec![flags(0x30), flags(0x38)]
}

#[test]
fn a_dirty_volume_is_refused_until_it_is_asked_for_win_22_win_34() {
    let disk = WindowsDisk::new(V2);
    disk.patch(|volume| {
        for at in volume_flags(volume) {
            volume[at] |= 1;
        }
    });
    let dirty = disk.digest_now();
    let error = disk.run("password reset win.img --yes --json").failure(&[4]);
    assert!(error["hint"].as_str().unwrap().contains("stop it"), "{error}");
    assert_eq!(disk.digest_now(), dirty);
    let line = "password reset win.img --clear-ntfs-log --yes --json --undo-file undo";
    let result = disk.run(line).success()["result"].clone();
    assert_eq!(result["changed"], true);
    assert_eq!(result["findings"][0]["rule"], "WIN-34", "{result}");
    disk.run("undo undo win.img --yes --json").success();
    assert_eq!(disk.digest_now(), dirty);
}

/// A restart page of `$LogFile` with two fix-ups to the kilobyte, of a log that a client uses (WIN-31).
fn restart_page(version: (u16, u16), lsn: u64) -> Vec<u8> {
    let mut page = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RSTR");
    put(4, &0x1e_u16.to_le_bytes());
    put(6, &9_u16.to_le_bytes());
    put(0x10, &4096_u32.to_le_bytes());
    put(0x14, &4096_u32.to_le_bytes());
    put(0x18, &0x30_u16.to_le_bytes());
    put(0x1a, &version.1.to_le_bytes());
    put(0x1c, &version.0.to_le_bytes());
    // The update sequence number, which each sector ends with; what stood there is zero.
    put(0x1e, &[7, 0]);
    put(0x30, &lsn.to_le_bytes());
    put(0x3c, &0_u16.to_le_bytes());
    for sector in 1..=8 {
        put(512 * sector - 2, &[7, 0]);
    }
    page
}

/// Bytes of the log that are made, and looked at afterwards.
const LOG_BYTES: usize = 4 * 4096;

/// A disk whose log was in use when it was cut off, and where the log begins in the volume.
fn with_log_in_use(version: (u16, u16)) -> (WindowsDisk, usize) {
    let disk = WindowsDisk::new(V2);
    let volume = disk.volume();
    let start = surgeon::Good::read(&volume).spoil().place(2, 0x80, "", 0);
    assert!(volume[start..][..LOG_BYTES].iter().all(|byte| *byte == 0xff), "an empty log");
    disk.patch(|volume| {
        let log = &mut volume[start..][..LOG_BYTES];
        log[..4096].copy_from_slice(&restart_page(version, 100));
        log[4096..][..4096].copy_from_slice(&restart_page(version, 101));
        log[2 * 4096..].fill(0);
        log[3 * 4096..][..4].copy_from_slice(b"RCRD");
    });
    (disk, start)
}

#[test]
fn an_unclean_log_is_refused_until_it_is_asked_for_win_20_win_34() {
    let (disk, start) = with_log_in_use((1, 1));
    let unclean = disk.digest_now();
    let error = disk.run("password reset win.img --yes --json").failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("was not dismounted"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--clear-ntfs-log"), "{error}");
    assert_eq!(disk.digest_now(), unclean);
    let line = "password reset win.img --clear-ntfs-log --yes --json --undo-file undo";
    let result = disk.run(line).success()["result"].clone();
    assert_eq!(result["changed"], true);
    assert_eq!(result["findings"][0]["rule"], "WIN-34", "{result}");
    let volume = disk.volume();
    assert!(volume[start..][..LOG_BYTES].iter().all(|byte| *byte == 0xff), "the log is empty");
    for at in volume_flags(&volume) {
        assert_eq!(volume[at] & 1, 1, "Windows checks the volume");
    }
    let found = ntfs_check::check_bytes(&volume);
    assert_eq!(found, ["$Volume: version and flags Some([3, 1, 1, 0])"], "nothing but the mark");
    disk.run("undo undo win.img --yes --json").success();
    assert_eq!(disk.digest_now(), unclean);
}

/// Windows would go on from what it has in memory, and overwrite the edit.
#[test]
fn a_log_of_cached_metadata_is_refused_whatever_is_asked_win_19() {
    let (disk, _) = with_log_in_use((2, 0));
    let unclean = disk.digest_now();
    for more in ["", " --clear-ntfs-log"] {
        let error = disk.run(&format!("password reset win.img --yes --json{more}")).failure(&[4]);
        assert_eq!(disk.digest_now(), unclean, "{error}");
    }
}
