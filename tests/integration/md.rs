//! Members of RAID arrays, judged by `mdadm`.

use crate::support::md_build::MemberSpec;
use crate::support::scratch::Scratch;
use crate::support::{sparse, tools};
use regain::disk::memory::MemoryDisk;
use regain::volume::md::Superblock;

/// What `mdadm --examine` says of the member.
fn examined(scratch: &Scratch, spec: &MemberSpec) -> String {
    let path = scratch.join("member");
    sparse::write(&path, &spec.member(&[]));
    let path = path.to_str().unwrap();
    if spec.version.ends_with("big-endian") {
        return tools::succeed("mdadm", &["--examine", "--metadata=0.swap", path]);
    }
    tools::succeed("mdadm", &["--examine", path])
}

/// The value of a line of `name : value`.
fn field<'a>(said: &'a str, name: &str) -> &'a str {
    let lines = said.lines().filter_map(|line| line.split_once(" : "));
    let mut values = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    values.next().unwrap_or_else(|| panic!("{name}: {said}"))
}

#[test]
fn superblocks_are_what_mdadm_reads() {
    let scratch = Scratch::new();
    for version in ["0.90", "0.90 big-endian", "1.0", "1.1", "1.2"] {
        for (is_clean, features, roles) in
            [(true, 0, vec![0, 1]), (false, 0, vec![0, 1, 0xffff]), (true, 1, vec![0, 0xfffe])]
        {
            let mut spec = MemberSpec::mirror(version, 0, 1 << 20);
            (spec.is_clean, spec.features) = (is_clean, features);
            spec.roles.clone_from(&roles);
            spec.events = 0x1_0000_0007;
            let said = examined(&scratch, &spec);
            let ours = Superblock::read(&MemoryDisk::new(spec.member(&[]))).unwrap().unwrap();
            assert!(field(&said, "Checksum").ends_with("correct"), "{said}");
            assert!(field(&said, "Version").starts_with(ours.version), "{said}");
            assert_eq!(field(&said, "Raid Level"), "raid1");
            assert_eq!(field(&said, "Raid Devices"), ours.raid_disks.to_string());
            assert_eq!(field(&said, "Events"), ours.events.to_string());
            let state = if ours.is_clean { "clean" } else { "active" };
            assert_eq!(field(&said, "State"), state, "{said}");
            let uuid_name = if version.starts_with('0') { "UUID" } else { "Array UUID" };
            let plain = |text: &str| text.replace([':', '-'], "");
            assert_eq!(plain(field(&said, uuid_name)), plain(&ours.uuid.to_string()));
        }
    }
}
