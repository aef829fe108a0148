use super::*;
use crate::fs::memory::MemoryTree;

const DEBIAN: &str = r#"
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
fi
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=abc ro  console=ttyS0,115200 selinux=1 $vt_handoff
	initrd	/boot/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-18-amd64' --class debian $menuentry_id_option 'adv-18' {
		linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=abc ro advanced=18
	}
	menuentry 'Debian, old' --class debian $menuentry_id_option 'adv-17' {
		linux	/boot/vmlinuz-6.1.0-17-amd64 root=UUID=abc ro advanced=17
	}
}
menuentry 'Other' { linux16 /boot/other one="two words" 'quoted word' \$literal # comment
}
"#;

fn words(line: &KernelCommandLine) -> String {
    let words: Vec<_> = line.words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    words.join(" ")
}

fn read(files: &[(&str, &str)]) -> KernelCommandLine {
    let mut tree = MemoryTree::new();
    for (path, content) in files {
        tree.file(path, 0, 0o644, content.as_bytes());
    }
    KernelCommandLine::read(&tree)
}

#[test]
fn the_default_entry_of_grub_counts_vol_18() {
    let saved = DEBIAN.replace("set default=\"0\"", "set default=\"${saved_entry}\"");
    for (name, script, environment, expected) in [
        ("number", DEBIAN, "", "root=UUID=abc ro console=ttyS0,115200 selinux=1"),
        ("nothing saved", &saved, "", "root=UUID=abc ro console=ttyS0,115200 selinux=1"),
        ("a menu's first", &saved, "saved_entry=1\n", "root=UUID=abc ro advanced=18"),
        ("by numbers", &saved, "saved_entry=1>1\n", "root=UUID=abc ro advanced=17"),
        (
            "by ids",
            &saved,
            "saved_entry=gnulinux-advanced-1>adv-17\n",
            "root=UUID=abc ro advanced=17",
        ),
        ("by titles", &saved, "saved_entry=Other\n", "one=two words quoted word $literal"),
        ("once", DEBIAN, "next_entry=2\n", "one=two words quoted word $literal"),
    ] {
        let line = read(&[
            ("/boot/grub/grub.cfg", script),
            ("/boot/grub/grubenv", &format!("# GRUB Environment Block\n{environment}#####")),
            ("/etc/default/grub", "GRUB_CMDLINE_LINUX=not-this"),
        ]);
        assert_eq!(words(&line), expected, "{name}");
        assert_eq!(line.source, "/boot/grub/grub.cfg", "{name}");
        assert!(line.is_certain && line.alternatives.is_empty(), "{name}");
    }
    let line = read(&[("/boot/grub/grub.cfg", DEBIAN)]);
    assert_eq!(line.value("selinux"), Some(b"1".as_slice()));
    assert_eq!(line.value("console"), Some(b"ttyS0,115200".as_slice()));
    assert!(line.has_word("ro") && !line.has_word("r") && line.value("ro").is_none());
}

#[test]
fn an_unknown_default_leaves_every_entry_possible_vol_18() {
    let saved = DEBIAN.replace("set default=\"0\"", "set default=\"gone\"");
    let line = read(&[("/boot/grub/grub.cfg", &saved)]);
    assert_eq!(line.alternatives.len(), 3);
    assert!(line.is_certain && line.is_certain_of("fips") && !line.is_certain_of("selinux"));
    // Ubuntu's images decide between two lines of one entry.
    let two = "menuentry 'Ubuntu' {\nif [ \"${initrdfail}\" = 1 ]; then\n linux /v root=/dev/x\n\
        else\n linux /v root=/dev/x panic=-1\nfi\n}\n";
    let line = read(&[("/boot/grub/grub.cfg", two)]);
    assert_eq!(line.alternatives.len(), 1);
    assert!(line.is_certain_of("root") && !line.is_certain_of("panic"));
    // What a user may have added is not read.
    let line = read(&[("/boot/grub/grub.cfg", DEBIAN), ("/boot/grub/custom.cfg", "set default=9")]);
    assert!(!line.is_certain && !line.words.is_empty());
}

const NEW: &str = "title Red Hat (5.14.0-70)\nversion 5.14.0-70\nlinux /boot/vmlinuz-5.14.0-70\n\
    options root=UUID=abc ro $kernelopts $tuned_params\n";
const OLD: &str = "title Red Hat (5.14.0-8)\nlinux /boot/vmlinuz-5.14.0-8\noptions root=/old\noptions selinux=0\n";
const RESCUE: &str = "title Red Hat (0-rescue)\noptions root=/rescue\n";
const SCRIPT: &str = "set default=\"${saved_entry}\"\nif [ -z \"${kernelopts}\" ]; then\n\
    set kernelopts=\"fallback=1 enforcing=0\"\nfi\ninsmod blscfg\nblscfg\n";

#[test]
fn entries_of_the_boot_loader_specification_vol_18() {
    let entry = |id: &str| format!("/boot/loader/entries/id-{id}.conf");
    for (name, script, environment, expected, others, is_certain) in [
        ("highest version", SCRIPT, "", "root=UUID=abc ro fallback=1 enforcing=0", 2, true),
        (
            "variable saved",
            SCRIPT,
            "kernelopts=a=1 b\ntuned_params=t\n",
            "root=UUID=abc ro a=1 b t",
            2,
            true,
        ),
        ("by id", SCRIPT, "saved_entry=id-5.14.0-8.x\n", "root=/old selinux=0", 0, true),
        ("by title", SCRIPT, "saved_entry=Red Hat (0-rescue)\n", "root=/rescue", 0, true),
        ("by number", SCRIPT, "saved_entry=1\n", "root=/old selinux=0", 0, true),
        ("script elsewhere", "", "", "root=UUID=abc ro made=1 quiet", 2, false),
    ] {
        let mut files = vec![
            (entry("0-rescue"), RESCUE.to_owned()),
            (entry("5.14.0-8.x"), OLD.to_owned()),
            (entry("5.14.0-70.x"), NEW.to_owned()),
            (
                "/etc/default/grub".to_owned(),
                "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX='made=1'\n".to_owned(),
            ),
        ];
        if !script.is_empty() {
            files.push(("/boot/grub2/grub.cfg".to_owned(), script.to_owned()));
            files.push(("/boot/grub2/grubenv".to_owned(), environment.to_owned()));
        }
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let line = read(&files);
        assert_eq!(words(&line), expected, "{name}");
        assert!(line.source.starts_with("/boot/loader/entries/id-"), "{name}: {}", line.source);
        assert_eq!((line.alternatives.len(), line.is_certain), (others, is_certain), "{name}");
    }
    // Left over from another boot loader: this script does not show them.
    let line = read(&[(&entry("1"), OLD), ("/boot/grub/grub.cfg", DEBIAN)]);
    assert_eq!(line.source, "/boot/grub/grub.cfg");
}

#[test]
fn old_grub_vol_18() {
    let list = "default=1\ntimeout=0\ntitle new\nroot (hd0)\nkernel /boot/v root=/new\n\
        title old\n kernel --no-mem-option /boot/v root=/old console=ttyS0\n";
    let line = read(&[("/boot/grub/menu.lst", list)]);
    assert_eq!(words(&line), "root=/old console=ttyS0");
    assert!(line.is_certain);
}

#[test]
fn without_the_files_of_the_boot_loader_it_is_a_guess_vol_18() {
    let made = "# c\nGRUB_TIMEOUT=5\nexport GRUB_CMDLINE_LINUX=\"audit=1\"\n\
        GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT quiet\"\n\
        GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX security=selinux\"\n";
    let fstab = "UUID=1 / ext4\nUUID=2 /boot ext4\n";
    for (name, files, expected, source) in [
        ("nothing", vec![], "", ""),
        (
            "grub",
            vec![("/etc/default/grub", made)],
            "audit=1 security=selinux quiet",
            "/etc/default/grub",
        ),
        (
            "kernel-install",
            vec![("/etc/default/grub", made), ("/etc/kernel/cmdline", "root=/x\nfips=1\n")],
            "root=/x fips=1",
            "/etc/kernel/cmdline",
        ),
        (
            "hidden by a mount",
            vec![
                ("/etc/fstab", fstab),
                ("/boot/grub/grub.cfg", DEBIAN),
                ("/etc/default/grub", made),
            ],
            "audit=1 security=selinux quiet",
            "/etc/default/grub",
        ),
    ] {
        let line = read(&files);
        assert_eq!((words(&line).as_str(), line.source.as_str()), (expected, source), "{name}");
        assert!(!line.is_certain && !line.is_certain_of("selinux"), "{name}");
    }
}

#[test]
fn parameters_are_read_as_by_the_kernel_vol_18() {
    let line =
        read(&[("/etc/kernel/cmdline", "a-b=1 selinux=0 x=\"y z\" \"q=r s\" selinux=1 empty=")]);
    for (name, expected) in [
        ("selinux", Some("1")),
        ("a_b", Some("1")),
        ("a-b", Some("1")),
        ("x", Some("y z")),
        ("q", Some("r s")),
        ("empty", Some("")),
        ("a", None),
        ("linux", None),
    ] {
        assert_eq!(line.value(name), expected.map(str::as_bytes), "{name}");
    }
}

#[test]
fn hostile_files_are_bounded_vol_18() {
    let deep = "submenu x {\n".repeat(5000) + "linux /v a\n";
    let long = format!("menuentry x {{\nlinux /v {}\n}}\n", "a".repeat(900_000));
    let many = "menuentry x {\nlinux /v a\n}\n".repeat(10_000);
    let swollen = "set kernelopts=".to_owned()
        + &"k".repeat(4000)
        + "\nmenuentry x {\nlinux /v "
        + &"$kernelopts".repeat(80_000)
        + "\n}\n";
    let random: String = "'\"\\${}{};#>=".chars().cycle().take(500_000).collect();
    for script in [&deep, &long, &many, &swollen, &random] {
        let line = read(&[("/boot/grub/grub.cfg", script)]);
        assert!(!line.is_certain, "{}", script.get(..40).unwrap());
        let len: usize = line.words.iter().map(Vec::len).sum();
        assert!(len <= LINE_BYTES_MAX && line.alternatives.len() <= ALTERNATIVES_MAX);
    }
}
