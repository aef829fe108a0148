//! Containers: good ones with damage, in memory.

use crate::volume::Volume;
use regain::disk::medium::{HostMedium, Medium};
use regain::disk::memory::MemoryDisk;
use regain::disk::{Disk, check_range};
use regain::error::{Error, Result};
use regain::image::container::files::{
    Access, FileId, ReadFiles, SharedMedium, WriteFile, WriteFiles,
};
use regain::image::container::{self, Opened};
use regain::image::format::Format;
use regain::image::host_file::Role;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// The good ones, made by `fixtures/fuzz/generate`. Damage goes to what is neither empty nor text of the guest.
static GOOD: LazyLock<[(Format, Volume); 7]> = LazyLock::new(|| {
    [
        (Format::Vhd, include_bytes!("../../fixtures/fuzz/vhd.zst").as_slice()),
        (Format::Vmdk, include_bytes!("../../fixtures/fuzz/vmdk.zst")),
        (Format::Vhdx, include_bytes!("../../fixtures/fuzz/vhdx.zst")),
        (Format::Qcow2, include_bytes!("../../fixtures/fuzz/qcow2.zst")),
        (Format::Qcow2, include_bytes!("../../fixtures/fuzz/qcow2-snapshot.zst")),
        (Format::Qcow2, include_bytes!("../../fixtures/fuzz/qcow2-packed.zst")),
        (Format::Qcow2, include_bytes!("../../fixtures/fuzz/qcow2-overlay.zst")),
    ]
    .map(|(format, packed)| {
        let is_structure = |sector: &[u8]| sector.iter().any(|byte| !matches!(byte, 0 | b'x'));
        (format, Volume::new(crate::unpack(packed), is_structure))
    })
});

/// The target, and a file of zeros for whatever else is asked for.
#[derive(Debug)]
struct Files {
    format: Format,
    target: Arc<dyn Disk>,
    names: Vec<(String, Role)>,
}

impl ReadFiles for Files {
    fn target(&self) -> Arc<dyn Disk> {
        self.target.clone()
    }

    fn open(&mut self, _from: FileId, name: &str, role: Role) -> Result<(FileId, Arc<dyn Disk>)> {
        // Those of a qcow2 may lead anywhere; the gate refuses them.
        let is_plain = !name.contains('/') && name != "..";
        assert!(is_plain || self.format == Format::Qcow2, "{name}");
        if self.names.len() >= 8 {
            return Err(Error::not_found("no more files"));
        }
        self.names.push((name.to_owned(), role));
        Ok((FileId(self.names.len()), Arc::new(MemoryDisk::new(vec![0; 4096]))))
    }
}

/// A host file in memory.
#[derive(Debug)]
struct Host(Vec<u8>);

/// Bound on its length: no edit of a few blocks needs more.
const HOST_BYTES_MAX: u64 = 1 << 28;

impl Medium for Host {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let start = offset_bytes as usize;
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }

    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        let start = offset_bytes as usize;
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

impl HostMedium for Host {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        if len_bytes > HOST_BYTES_MAX {
            return Err(Error::not_found("no room"));
        }
        self.0.resize(len_bytes as usize, 0);
        Ok(())
    }

    fn can_grow(&self) -> bool {
        true
    }
}

/// Opens, reads and writes a container of `format`: the input as it is if its first byte is odd, else the good one that
/// the rest of that byte chooses, with damage. What can be written can be read back.
pub fn try_container(format: Format, bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let target: Arc<dyn Disk> = if choice % 2 == 1 {
        Arc::new(MemoryDisk::new(rest.to_vec()))
    } else {
        let good: Vec<_> = GOOD.iter().filter(|(good, _)| *good == format).collect();
        good[usize::from(choice / 2) % good.len()].1.damaged(rest)
    };
    let image = target.read_vec(0, target.len_bytes() as usize).expect("in memory");
    let mut files = Files { format, target, names: Vec::new() };
    let Ok(Opened { disk, .. }) = container::open(format, &mut files) else { return };
    read_some(&*disk);
    let further = files.names.into_iter().map(|(name, role)| (name, role, vec![0; 4096]));
    let hosts = std::iter::once((String::new(), Role::Written, image)).chain(further).map(
        |(reference, role, bytes)| WriteFile {
            reference,
            access: match role {
                Role::Written => Access::Written(SharedMedium::new(Box::new(Host(bytes)))),
                Role::OnlyRead => Access::OnlyRead(Arc::new(MemoryDisk::new(bytes))),
            },
        },
    );
    if let Ok(medium) = container::open_writable(format, WriteFiles::new(hosts.collect())) {
        write_some(medium);
    }
}

fn read_some(disk: &dyn Disk) {
    let len_bytes = disk.len_bytes();
    let mut buffer = [0; 6000];
    for part in 0..8 {
        let at = len_bytes / 8 * part;
        let len = buffer.len().min((len_bytes - at) as usize);
        let _ = disk.read_at(at, &mut buffer[..len]);
    }
}

fn write_some(mut medium: Box<dyn Medium>) {
    for (number, at) in [0, 8192, 1 << 20, 2 << 20].into_iter().enumerate() {
        let written = [number as u8 + 1; 1024];
        let can_write = medium.can_write(std::slice::from_ref(&(at..at + 1024)));
        if can_write.is_ok() && medium.write_at(at, &written).is_ok() {
            let mut back = [0; 1024];
            medium.read_at(at, &mut back).expect("it was written");
            assert_eq!(back, written);
        }
    }
    let _ = medium.sync();
}
