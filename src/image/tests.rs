//! Targets of every kind, and the locks of others. Needs qemu-utils; a missing tool fails its test.

use super::*;
use crate::disk::medium::Medium as _;
use crate::error::{ErrorKind, Refusal};
use crate::image::format::Conversion;
use crate::image::in_use::{Look, in_use_report};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = command(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
}

/// A sparse raw image in a directory of its own.
fn raw_image(len_bytes: u64) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("disk.img");
    File::create_new(&path).unwrap().set_len(len_bytes).unwrap();
    (directory, path)
}

fn refusal(error: &Error) -> &Refusal {
    match error.kind() {
        ErrorKind::Refused(refusal) => refusal,
        kind => panic!("not a refusal: {kind}"),
    }
}

#[test]
fn a_raw_file_is_measured() {
    let (_directory, path) = raw_image(3 * MIB + 17);
    let image = open(&path, None).unwrap();
    assert_eq!((image.format, image.file.kind), (Format::Raw, ImageKind::File));
    assert_eq!((image.disk.len_bytes(), image.disk.sector_size_bytes()), (3 * MIB + 17, 512));
    assert_eq!(image.path, path);
}

#[test]
fn every_format_of_qemu_is_told_by_its_content() {
    let directory = TempDir::new().unwrap();
    for (name, options, format) in [
        ("qcow2", "preallocation=off", Format::Qcow2),
        ("vmdk", "subformat=monolithicSparse", Format::Vmdk),
        ("vmdk", "subformat=monolithicFlat", Format::Vmdk),
        ("vmdk", "subformat=streamOptimized", Format::Vmdk),
        ("vpc", "subformat=dynamic", Format::Vhd),
        ("vpc", "subformat=fixed", Format::Vhd),
        ("vhdx", "subformat=dynamic", Format::Vhdx),
        ("vdi", "static=off", Format::Vdi),
    ] {
        // The name lies, and nothing may look at it.
        let path = directory.path().join("disk.raw");
        let target = path.to_str().unwrap();
        let made = run("qemu-img", &["create", "-q", "-f", name, "-o", options, target, "4M"]);
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
        match open(&path, None) {
            Ok(image) => {
                assert_eq!((image.format, image.disk.len_bytes() >= 4 * MIB), (format, true));
            }
            Err(error) => assert_eq!(error.kind_name(), "unsupported", "{error}"),
        }
        assert_eq!(recognise(&path).unwrap(), format);
        assert_eq!(format.conversion(), Conversion::QemuImg);
        assert!(open(&path, Some(Format::Raw)).is_ok(), "--format raw overrides");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn compressed_streams_are_refused() {
    for (tool, format) in [
        ("gzip", Format::Gzip),
        ("xz", Format::Xz),
        ("bzip2", Format::Bzip2),
        ("zstd", Format::Zstd),
    ] {
        let (_directory, path) = raw_image(4096);
        let packed = run(tool, &["-c", path.to_str().unwrap()]);
        assert!(packed.status.success(), "{tool}");
        let path = path.with_extension("packed");
        File::create_new(&path).unwrap().write_all(&packed.stdout).unwrap();
        assert_eq!(recognise(&path).unwrap(), format);
        assert_eq!(format.conversion(), Conversion::Decompress(tool));
        assert_eq!(open(&path, None).unwrap_err().kind_name(), "unsupported");
    }
}

#[test]
fn what_is_no_disk_is_refused_without_waiting() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    File::create_new(at("empty")).unwrap();
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    for (path, kind, words) in [
        (at("pipe"), "unsupported", "named pipe"),
        (at("socket"), "unsupported", "socket"),
        (at(""), "unsupported", "mounted roots are not supported yet"),
        (PathBuf::from("/dev/null"), "unsupported", "character device"),
        (at("empty"), "not_found", "the file is empty"),
        (at("missing"), "not_found", "no such file"),
        (at("empty/x"), "not_found", "not a directory"),
        (at("loop"), "io", "symbolic links"),
    ] {
        let error = open(&path, None).unwrap_err();
        assert_eq!(error.kind_name(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().starts_with(&shown(&path)), "{error}");
    }
}

#[test]
fn names_are_escaped_in_messages() {
    let error = open(Path::new("/nowhere/\x1b[2J"), None).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/\\x1b[2J: no such file");
}

#[test]
fn writes_touch_only_what_they_are_given() {
    let (_directory, path) = raw_image(16 * MIB + 100);
    let image = open(&path, None).unwrap();
    let mut target = writable::open(&image).unwrap();
    assert_eq!(target.len_bytes(), 16 * MIB + 100);
    for (offset, len) in [(8 * MIB + 512, 1024), (16 * MIB, 100), (3, 7)] {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8 + 1).collect();
        target.write_at(offset, &bytes).unwrap();
        target.sync().unwrap();
        target.drop_cache().unwrap();
        // Read past the cache where the host can do it, at odd places and over the end of a page.
        let mut buffer = vec![0; len];
        target.read_at(offset, &mut buffer).unwrap();
        assert_eq!(buffer, bytes);
    }
    let mut large = vec![1; 3 * MIB as usize];
    target.read_at(7 * MIB + 1, &mut large).unwrap();
    assert_eq!(large.iter().filter(|&&byte| byte != 0).count(), 1024);
    assert!(target.read_at(16 * MIB + 99, &mut [0; 2]).is_err());
    assert_eq!(target.write_at(16 * MIB + 99, &[0; 2]).unwrap_err().kind_name(), "corrupt");
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 16 * MIB + 100);
    assert!(metadata.blocks() * 512 < MIB, "the file stays sparse");
}

#[test]
fn a_target_that_changed_is_not_written() {
    let (_directory, path) = raw_image(MIB);
    let image = open(&path, None).unwrap();
    File::options().append(true).open(&path).unwrap().set_len(2 * MIB).unwrap();
    assert_eq!(writable::open(&image).unwrap_err().kind_name(), "mismatch");

    let image = open(&path, None).unwrap();
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    File::create_new(&path).unwrap().set_len(2 * MIB).unwrap();
    let error = writable::open(&image).unwrap_err();
    assert_eq!(error.kind_name(), "mismatch");
    assert!(error.to_string().ends_with("was replaced since it was read"), "{error}");
}

#[test]
fn two_writers_exclude_each_other() {
    let (_directory, path) = raw_image(MIB);
    let image = open(&path, None).unwrap();
    assert_eq!(in_use_report(&image, Look::Thorough).unwrap(), None);
    let first = writable::open(&image).unwrap();
    assert!(matches!(refusal(&writable::open(&image).unwrap_err()), Refusal::InUse { .. }));
    assert!(matches!(in_use_report(&image, Look::Thorough).unwrap(), Some(Refusal::InUse { .. })));
    drop(first);
    assert_eq!(in_use_report(&image, Look::Thorough).unwrap(), None);
    writable::open(&image).unwrap();
}

#[test]
fn flock_of_another_process_is_respected_and_named() {
    let (_directory, path) = raw_image(MIB);
    let image = open(&path, None).unwrap();
    let script = "echo held; read line";
    let mut child = command("flock")
        .args([path.to_str().unwrap(), "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("flock is needed for this test");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let error = writable::open(&image).unwrap_err();
    let report = in_use_report(&image, Look::Thorough).unwrap();
    assert_eq!(in_use_report(&image, Look::BeforeOpen).unwrap(), None, "left to the open");
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(Some(refusal(&error)), report.as_ref());
    assert!(error.to_string().contains(&format!("(pid {})", child.id())), "{error}");
    writable::open(&image).unwrap();
}

/// qemu-io with an open image, which waits for commands.
struct Qemu(Child);

impl Qemu {
    fn hold(path: &Path, options: &[&str]) -> Self {
        let mut child = command("qemu-io")
            .args(options)
            .args(["-f", "raw", path.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-io is needed for this test (package qemu-utils)");
        // It answers once the image is open.
        child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut line = Vec::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_until(b'B', &mut line).unwrap();
        assert!(line.ends_with(b"MiB") || line.ends_with(b"B"), "{}", line.escape_ascii());
        Self(child)
    }

    fn quit(mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"quit\n").unwrap();
        self.0.wait().unwrap();
    }
}

/// formats.md 6.3.
#[test]
fn an_image_that_qemu_holds_is_refused() {
    for options in [&[][..], &["-r"]] {
        let (_directory, path) = raw_image(MIB);
        let image = open(&path, None).unwrap();
        let qemu = Qemu::hold(&path, options);
        let report = in_use_report(&image, Look::Thorough).unwrap();
        let error = writable::open(&image).unwrap_err();
        let name = format!("qemu-io (pid {})", qemu.0.id());
        qemu.quit();
        let expected = Refusal::InUse { what: shown(&path), holder: Some(name) };
        assert_eq!((refusal(&error), report.as_ref()), (&expected, Some(&expected)));
        writable::open(&image).unwrap();
    }
}

#[test]
fn qemu_refuses_an_image_that_we_hold() {
    let (_directory, path) = raw_image(MIB);
    let target = path.to_str().unwrap();
    let image = open(&path, None).unwrap();
    let held = writable::open(&image).unwrap();
    // `qemu-img info` reads nothing of a raw image and takes no lock, also beside a running qemu.
    let output = run("qemu-img", &["convert", "-f", "raw", "-O", "raw", target, "/dev/null"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("lock"), "{message}");
    let write = ["-f", "raw", "-c", "write -P 1 0 512", target];
    let output = run("qemu-io", &write);
    assert!(!output.status.success());
    assert_eq!(image.disk.read_vec(0, 512).unwrap(), vec![0; 512]);
    drop(held);
    assert!(run("qemu-io", &write).status.success());
}

#[test]
fn a_running_program_is_not_written() {
    let (_directory, path) = raw_image(MIB);
    // Copied by a program of its own: a child of another test could still have a handle of ours open for writing,
    // and the kernel does not start a program that somebody may write.
    assert!(run("install", &["-m", "755", "/bin/cat", path.to_str().unwrap()]).status.success());
    let mut child = command(path.to_str().unwrap()).stdin(Stdio::piped()).spawn().unwrap();
    let image = open(&path, None).unwrap();
    let error = writable::open(&image).unwrap_err();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(matches!(refusal(&error), Refusal::InUse { .. }), "{error}");
}

/// As root every file is writable, so this looks different for root.
#[test]
fn a_file_without_permissions() {
    let (_directory, path) = raw_image(MIB);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let image = open(&path, None).unwrap();
    if nix::unistd::geteuid().is_root() {
        writable::open(&image).unwrap();
        return;
    }
    let expected = Refusal::ReadOnly { what: shown(&path) };
    assert_eq!(in_use_report(&image, Look::Thorough).unwrap().as_ref(), Some(&expected));
    assert_eq!(refusal(&writable::open(&image).unwrap_err()), &expected);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    assert_eq!(open(&path, None).unwrap_err().kind_name(), "io");
}
