//! Damage and malice between the file and the file system: containers, LVM, RAID and LUKS around a whole root.
//!
//! Bytes of what is not the content of the guest are changed, then everything that a command does happens in this
//! process: the target is opened, told about, and a key is added in memory. Never a panic, no name that drives the
//! terminal, and never many more bytes read than from the whole image. `REGAIN_DAMAGE_ROUNDS=N` asks for more rounds,
//! `REGAIN_DAMAGE_SEED=N` for others. The fuzz targets (`fuzz/README.md`) look further.

use crate::support::attempt::CLOCK;
use crate::support::luks::{self, Kind, PASSPHRASE};
use crate::support::lvm::{self, Lay};
use crate::support::lvm_build::{crc, dashed, seal, uuid};
use crate::support::md_build::MemberSpec;
use crate::support::rng::Rng;
use crate::support::root::{NEW_KEY, USER};
use crate::support::scratch::Scratch;
use crate::support::{sparse, stack_bench, tools};
use regain::action::key_add::{self, KeyAddRequest};
use regain::error::Result;
use regain::guest::select::UserChoice;
use regain::login::key_input;
use regain::session::{Content, Nobody, OpenOptions, Passphrases, Session};
use regain::volume::luks::Secret;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Rounds of each place without `REGAIN_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 25;

const SECTOR: usize = 512;

/// Bytes that a damaged image may have read beyond four times what the whole one has.
const MORE_BYTES: u64 = 64 << 20;

/// Somebody who knows the passphrase, and gives it once.
#[derive(Debug)]
struct Known;

impl Passphrases for Known {
    fn secret(&self, _volume: &str, attempt: usize) -> Result<Option<Rc<Secret>>> {
        let secret = || Rc::new(Secret::new(PASSPHRASE.as_bytes().to_vec().into()));
        Ok((attempt == 0).then(secret))
    }
}

fn options(passphrases: &dyn Passphrases) -> OpenOptions<'_> {
    let (devices, allowed_files) = (&[], &[]);
    let (format, clears_ntfs_log) = (None, false);
    OpenOptions { format, devices, allowed_files, passphrases, clock: CLOCK, clears_ntfs_log }
}

fn assert_printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Does with a target what `inspect` and `key add --dry-run` do. Gives the bytes read, and whether the key was added.
fn look(target: &Path) -> (u64, bool) {
    let mut session = match Session::open(target, &options(&Known)) {
        Ok(session) => session,
        Err(error) => {
            assert_printable(&error.to_string());
            return (0, false);
        }
    };
    for volume in &session.volumes {
        assert_printable(&volume.describe());
        volume.reason_against_writing().iter().for_each(|text| assert_printable(text));
        volume.warnings().iter().for_each(|text| assert_printable(text));
        let _ = volume.health();
    }
    session.table_warnings().iter().for_each(|text| assert_printable(text));
    let added = add(&mut session);
    if let Err(error) = &added {
        assert_printable(&error.to_string());
    }
    (session.bytes_read(), added.is_ok())
}

fn add(session: &mut Session) -> Result<()> {
    let index = session.choose(None)?;
    let request = KeyAddRequest {
        users: UserChoice::Named(vec![USER.into()]),
        keys: key_input::parse("a test", NEW_KEY.as_bytes())?.keys,
        options: None,
        fix: false,
        fix_also: BTreeSet::new(),
        force: false,
        now: CLOCK,
    };
    let plan = session.volumes[index].read(|open| key_add::plan(open.file_system(), &request))?;
    session.edit(index, &plan, "key add", CLOCK).map(|_| ())
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The sectors of `target` before `end` that are neither empty nor of the disk of the guest.
fn structures(target: &Path, guest: &Path, end: usize) -> Vec<u64> {
    let guest = sparse::read(guest);
    let content: HashSet<&[u8]> = guest.chunks(SECTOR).collect();
    let bytes = sparse::read(target);
    let sectors = bytes[..end.min(bytes.len())].chunks(SECTOR).enumerate();
    let is_structure =
        |sector: &[u8]| sector.iter().any(|&byte| byte != 0) && !content.contains(sector);
    let found = sectors.filter(|(_, sector)| is_structure(sector));
    found.map(|(index, _)| (index * SECTOR) as u64).collect()
}

/// One to three bytes of `target` changed for as long as it is looked at.
fn damaged(target: &File, structures: &[u64], rng: &mut Rng, look: impl FnOnce()) {
    let mut before = Vec::new();
    for _ in 0..=rng.below(3) {
        let sector = structures[rng.index(structures.len())];
        let mut bytes = [0; SECTOR];
        let len = target.read_at(&mut bytes, sector).unwrap();
        let used: Vec<usize> = (0..len).filter(|&at| bytes[at] != 0).collect();
        let is_anywhere = rng.below(4) == 0 || used.is_empty();
        let at = if is_anywhere { rng.index(len) } else { used[rng.index(used.len())] };
        before.push((sector + at as u64, bytes[at]));
        let byte = match rng.below(4) {
            0 => 0,
            1 => bytes[at].wrapping_add(1),
            2 => bytes[at] ^ (1 << rng.below(8)),
            _ => rng.next() as u8,
        };
        target.write_all_at(&[byte], sector + at as u64).unwrap();
    }
    look();
    for (at, byte) in before.into_iter().rev() {
        target.write_all_at(&[byte], at).unwrap();
    }
}

/// Damages `target`, which holds the root `guest`, again and again.
fn try_place(name: &str, target: &Path, guest: &Path, end: usize) {
    let (whole_bytes, is_added) = look(target);
    assert!(is_added, "{name}: the whole image");
    let structures = structures(target, guest, end);
    assert!(!structures.is_empty(), "{name}");
    let file = File::options().read(true).write(true).open(target).unwrap();
    let seed = number_of("REGAIN_DAMAGE_SEED", 1);
    let mut added = 0;
    for round in 0..number_of("REGAIN_DAMAGE_ROUNDS", ROUNDS) {
        let mut rng = Rng::new(seed << 32 | round);
        println!("{name}, round {round}");
        damaged(&file, &structures, &mut rng, || {
            let (read_bytes, is_added) = look(target);
            assert!(read_bytes <= 4 * whole_bytes + MORE_BYTES, "{read_bytes} of {whole_bytes}");
            added += u64::from(is_added);
        });
    }
    println!("{name}: {added} times the key was added");
    assert!(look(target).1, "{name}: the whole image again");
}

fn convert(scratch: &Scratch, guest: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let target = scratch.join(name);
    let fixed = ["convert", "-f", "raw", "-O"];
    let paths = [guest.to_str().unwrap(), target.to_str().unwrap()];
    tools::succeed("qemu-img", &[&fixed, arguments, &paths].concat());
    target
}

#[test]
fn containers() {
    let scratch = Scratch::new();
    let guest = stack_bench::ext4_root(&scratch);
    for (name, arguments) in [
        ("qcow2", ["qcow2", "-o", "cluster_size=4096"].as_slice()),
        ("qcow2-compressed", &["qcow2", "-c"]),
        ("vmdk", &["vmdk", "-o", "subformat=monolithicSparse"]),
        ("vmdk-split", &["vmdk", "-o", "subformat=twoGbMaxExtentFlat"]),
        ("vhd", &["vpc", "-o", "subformat=dynamic,force_size=on"]),
        ("vhd-fixed", &["vpc", "-o", "subformat=fixed,force_size=on"]),
        ("vhdx", &["vhdx", "-o", "subformat=dynamic"]),
    ] {
        let target = convert(&scratch, &guest, name, arguments);
        try_place(name, &target, &guest, usize::MAX);
    }
}

#[test]
fn layers() {
    let scratch = Scratch::new();
    let guest = stack_bench::ext4_root(&scratch);
    let physical = lvm::put(&guest, Lay::Linear, scratch.path());
    try_place("lvm", &physical[0], &guest, usize::MAX);
    let image = sparse::read(&guest);
    for version in ["0.90", "1.0", "1.2"] {
        let mut spec = MemberSpec::mirror(version, 0, image.len() as u64);
        spec.roles = vec![0, 0xfffe];
        let member = scratch.join("member");
        sparse::write(&member, &spec.member(&image));
        try_place(&format!("md {version}"), &member, &guest, usize::MAX);
    }
    for kind in [Kind::First, Kind::Second] {
        let container = scratch.join("container");
        luks::put(&guest, kind, &container);
        // What follows is cipher text.
        try_place(&format!("luks {kind:?}"), &container, &guest, 32 << 10);
    }
}

/// The first bytes of each physical volume below.
const HEAD: usize = 32 << 10;
const EXTENT: usize = 4096;
/// Volumes of each group, and groups on each other.
const WIDTH: usize = 8;
const LEVELS: usize = 6;

/// The extents of each volume of a group.
fn extents(level: usize) -> usize {
    128 - level * HEAD / EXTENT
}

/// Where a byte of a volume is on the disk. Each volume lies on all volumes of the group below.
fn place(level: usize, volume: usize, at: usize) -> usize {
    if level == 0 {
        return HEAD + volume * extents(0) * EXTENT + at;
    }
    let part = extents(level) / WIDTH * EXTENT;
    place(level - 1, at / part, HEAD + volume * part + at % part)
}

/// The metadata of a group; that of level 0 lies on one physical volume, the disk.
fn group_text(level: usize) -> String {
    let (below, below_extents) =
        if level == 0 { (1, WIDTH * extents(0)) } else { (WIDTH, extents(level)) };
    let id = |kind, index: usize| dashed(&uuid(kind, level * WIDTH + index));
    let mut text = format!(
        "g{level} {{\nid=\"{}\" seqno=1 status=[\"READ\",\"WRITE\"] extent_size={}\nphysical_volumes {{\n",
        id('G', 0),
        EXTENT / SECTOR
    );
    for pv in 0..below {
        let (id, start) = (id('P', pv), HEAD / SECTOR);
        let _ = writeln!(
            text,
            "p{pv} {{id=\"{id}\" status=[] pe_start={start} pe_count={below_extents}}}"
        );
    }
    text.push_str("}\nlogical_volumes {\n");
    for lv in 0..WIDTH {
        let _ = writeln!(
            text,
            "v{lv} {{id=\"{}\" status=[\"READ\",\"WRITE\",\"VISIBLE\"] segment_count={below}",
            id('L', lv)
        );
        let part = extents(level) / below;
        for pv in 0..below {
            let (number, start) = (pv + 1, pv * part);
            let _ = writeln!(
                text,
                "segment{number} {{start_extent={start} extent_count={part} type=\"striped\" \
                 stripe_count=1 stripes=[\"p{pv}\",{}]}}",
                lv * part
            );
        }
        text.push_str("}\n");
    }
    text.push_str("}\n}\ncontents=\"Text Format Volume Group\" version=1\n\0");
    text
}

/// The head of a physical volume with `text`.
fn head(id: &str, text: &str) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    let area_bytes = (HEAD - 4096) as u64;
    let label = &mut head[512..1024];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(id.as_bytes());
    label[72..80].copy_from_slice(&(HEAD as u64).to_le_bytes());
    label[104..112].copy_from_slice(&4096_u64.to_le_bytes());
    label[112..120].copy_from_slice(&area_bytes.to_le_bytes());
    seal(label, 16, 20);
    let area = &mut head[4096..];
    area[512..][..text.len()].copy_from_slice(text.as_bytes());
    area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
    area[20] = 1;
    area[24..32].copy_from_slice(&4096_u64.to_le_bytes());
    area[32..40].copy_from_slice(&area_bytes.to_le_bytes());
    area[40..48].copy_from_slice(&512_u64.to_le_bytes());
    area[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    area[56..60].copy_from_slice(&crc(text.as_bytes()).to_le_bytes());
    seal(&mut area[..512], 0, 4);
    head
}

/// Groups on each other, each volume on all volumes of the group below: their places multiply from level to level, and
/// a disk of a few megabytes could keep regain busy for years.
#[test]
fn groups_on_groups_do_not_multiply() {
    let mut disk = vec![0; HEAD + WIDTH * extents(0) * EXTENT];
    disk[..HEAD].copy_from_slice(&head(&uuid('P', 0), &group_text(0)));
    for level in 1..LEVELS {
        let text = group_text(level);
        for pv in 0..WIDTH {
            let head = head(&uuid('P', level * WIDTH + pv), &text);
            for (number, page) in head.chunks(EXTENT).enumerate() {
                let at = place(level - 1, pv, number * EXTENT);
                disk[at..at + EXTENT].copy_from_slice(page);
            }
        }
    }
    let scratch = Scratch::new();
    let target = scratch.join("disk.img");
    sparse::write(&target, &disk);
    let session = Session::open(&target, &options(&Nobody)).unwrap();
    let what = |id: &str| {
        let volume = session.volumes.iter().find(|volume| volume.volume.id == id);
        volume.map(|volume| match &volume.content {
            Content::Layer(what) => what.clone(),
            Content::Closed(error) => error.kind_name().to_owned(),
            other => format!("{other:?}"),
        })
    };
    assert_eq!(what("g0/v7").as_deref(), Some("a physical volume of the group g1"));
    assert_eq!(what("g2/v0").as_deref(), Some("a physical volume of the group g3"));
    // It would be made of 8777 places.
    assert_eq!(what("g4/v0").as_deref(), Some("limit"));
    assert_eq!(what("g5/v0"), None);
}
