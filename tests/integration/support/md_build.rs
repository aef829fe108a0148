//! Writes superblocks of Linux RAID as an ordinary user; `mdadm --examine` judges them. Nothing of the product is used.

/// A superblock. Sizes in bytes.
#[derive(Debug, Clone)]
pub(crate) struct MemberSpec {
    /// "0.90", "0.90 big-endian", "1.0", "1.1" or "1.2".
    pub(crate) version: &'static str,
    pub(crate) level: i32,
    /// Index into the roles.
    pub(crate) number: usize,
    /// Place of each member; 0xffff: a spare, 0xfffe: failed. Version 0.90 has states instead.
    pub(crate) roles: Vec<u16>,
    pub(crate) raid_disks: u32,
    pub(crate) events: u64,
    pub(crate) is_clean: bool,
    /// The feature map of version 1; bit 0 is the bitmap of both.
    pub(crate) features: u32,
    /// Length of the data that the array uses.
    pub(crate) size: u64,
    pub(crate) uuid: [u8; 16],
}

impl MemberSpec {
    /// Member `number` of a clean mirror of two.
    pub(crate) fn mirror(version: &'static str, number: usize, size: u64) -> Self {
        Self {
            version,
            level: 1,
            number,
            roles: vec![0, 1],
            raid_disks: 2,
            events: 17,
            is_clean: true,
            features: 0,
            size,
            uuid: *b"an array for it.",
        }
    }

    /// Where the data start.
    pub(crate) fn data_start(&self) -> u64 {
        if matches!(self.version, "1.1" | "1.2") { 1 << 20 } else { 0 }
    }

    /// Length of the member, with some room that is not used.
    pub(crate) fn member_bytes(&self) -> u64 {
        self.data_start() + self.size.next_multiple_of(65536) + 3 * 65536
    }

    /// Where the superblock is.
    pub(crate) fn place(&self) -> u64 {
        let len = self.member_bytes();
        match self.version {
            "1.0" => (len / 512 - 16) / 8 * 8 * 512,
            "1.1" => 0,
            "1.2" => 4096,
            _ => (len / 65536 - 1) * 65536,
        }
    }

    /// The superblock.
    pub(crate) fn superblock(&self) -> Vec<u8> {
        if self.version.starts_with("0.90") { self.version0() } else { self.version1() }
    }

    /// A member with `data`, which has the size.
    pub(crate) fn member(&self, data: &[u8]) -> Vec<u8> {
        let mut member = vec![0; self.member_bytes() as usize];
        member[self.data_start() as usize..][..data.len()].copy_from_slice(data);
        let superblock = self.superblock();
        let place = self.place() as usize;
        put(&mut member, place, &superblock);
        if self.features & 1 != 0 {
            // mdadm believes in the bitmap only if it is there.
            let mut bitmap =
                [b"bitm".as_slice(), &4_u32.to_le_bytes(), &self.bitmap_uuid()].concat();
            bitmap.resize(64, 0);
            put(&mut bitmap, 24, &self.events.to_le_bytes());
            put(&mut bitmap, 40, &(self.size / 512).to_le_bytes());
            // Bytes for a bit, and seconds.
            put(&mut bitmap, 52, &65536_u32.to_le_bytes());
            put(&mut bitmap, 56, &5_u32.to_le_bytes());
            let bitmap_place = if self.version == "1.0" { place - 8192 } else { place + 4096 };
            put(&mut member, bitmap_place, &bitmap);
        }
        member
    }

    /// Version 0.90 counts the UUID in words.
    fn bitmap_uuid(&self) -> [u8; 16] {
        let mut uuid = self.uuid;
        if self.version.starts_with("0.90") {
            for word in uuid.as_chunks_mut::<4>().0 {
                word.reverse();
            }
        }
        uuid
    }

    fn version1(&self) -> Vec<u8> {
        let mut bytes = vec![0; 256 + 2 * self.roles.len()];
        let data_sectors = match self.version {
            "1.0" => self.place() / 512,
            _ => (self.member_bytes() - self.data_start()) / 512,
        };
        put(&mut bytes, 0, &0xa92b_4efc_u32.to_le_bytes());
        put(&mut bytes, 4, &1_u32.to_le_bytes());
        put(&mut bytes, 8, &self.features.to_le_bytes());
        put(&mut bytes, 16, &self.uuid);
        put(&mut bytes, 32, b"host:root");
        put(&mut bytes, 64, &1_700_000_000_u64.to_le_bytes());
        put(&mut bytes, 72, &self.level.to_le_bytes());
        put(&mut bytes, 80, &(self.size / 512).to_le_bytes());
        put(&mut bytes, 92, &self.raid_disks.to_le_bytes());
        if self.features & 1 != 0 {
            put(&mut bytes, 96, &if self.version == "1.0" { -16_i32 } else { 8 }.to_le_bytes());
        }
        put(&mut bytes, 128, &(self.data_start() / 512).to_le_bytes());
        put(&mut bytes, 136, &data_sectors.to_le_bytes());
        put(&mut bytes, 144, &(self.place() / 512).to_le_bytes());
        put(&mut bytes, 160, &(self.number as u32).to_le_bytes());
        put(&mut bytes, 168, &[self.number as u8 + 1; 16]);
        put(&mut bytes, 192, &1_700_000_001_u64.to_le_bytes());
        put(&mut bytes, 200, &self.events.to_le_bytes());
        let resync_offset = if self.is_clean { u64::MAX } else { 0 };
        put(&mut bytes, 208, &resync_offset.to_le_bytes());
        put(&mut bytes, 220, &(self.roles.len() as u32).to_le_bytes());
        for (index, role) in self.roles.iter().enumerate() {
            put(&mut bytes, 256 + 2 * index, &role.to_le_bytes());
        }
        seal1(&mut bytes);
        bytes
    }

    fn version0(&self) -> Vec<u8> {
        let is_big_endian = self.version.ends_with("big-endian");
        let mut words = vec![0_u32; 1024];
        let used = self.roles.iter().filter(|role| **role < 0xfffd).count() as u32;
        (words[0], words[2], words[6]) = (0xa92b_4efc, 90, 1_700_000_000);
        let uuid = self.uuid.as_chunks::<4>().0.iter().map(|part| u32::from_be_bytes(*part));
        for (index, part) in [5, 13, 14, 15].into_iter().zip(uuid) {
            words[index] = part;
        }
        words[7] = u32::from_le_bytes(self.level.to_le_bytes());
        words[8] = (self.size / 1024) as u32;
        (words[9], words[10]) = (used, self.raid_disks);
        words[32] = 1_700_000_001;
        words[33] = u32::from(self.is_clean) | (self.features & 1) << 8;
        (words[34], words[35]) = (used, used);
        let events = [self.events as u32, (self.events >> 32) as u32];
        (words[39], words[40]) =
            if is_big_endian { (events[1], events[0]) } else { (events[0], events[1]) };
        for (index, role) in self.roles.iter().enumerate() {
            let state = if *role < 0xfffd { 6 } else { 1 };
            let place = if *role < 0xfffd { u32::from(*role) } else { index as u32 };
            let disk = [index as u32, 8, 16 * index as u32, place, state];
            words[128 + 32 * index..][..5].copy_from_slice(&disk);
        }
        words.copy_within(128 + 32 * self.number..128 + 32 * self.number + 5, 992);
        words[38] = folded(words.iter().copied());
        let bytes = words
            .iter()
            .map(|word| if is_big_endian { word.to_be_bytes() } else { word.to_le_bytes() });
        bytes.collect::<Vec<_>>().concat()
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn folded(words: impl Iterator<Item = u32>) -> u32 {
    let sum: u64 = words.map(u64::from).sum();
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

/// Gives a superblock of version 1, with all its roles and nothing behind them, its checksum.
pub(crate) fn seal1(bytes: &mut [u8]) {
    put(bytes, 216, &[0; 4]);
    let (words, rest) = bytes.as_chunks::<4>();
    let last = if rest.len() == 2 { u32::from(u16::from_le_bytes([rest[0], rest[1]])) } else { 0 };
    let words = words.iter().map(|word| u32::from_le_bytes(*word));
    let checksum = folded(words.chain([last]));
    put(bytes, 216, &checksum.to_le_bytes());
}
