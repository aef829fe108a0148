//! Registry hives of a volume: files, their logs, and the few questions that this layer asks.
//!
//! A dirty hive is looked at as it is after a replay of its logs (WIN-24, WIN-88). Values of another type than
//! the one that is asked for count as absent: nothing here depends on more.

use crate::error::{Context as _, Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeId};
use crate::hive::{Data, Hive, Source};

/// The directory of the hives.
pub const CONFIG: &str = "/Windows/System32/config";

/// A file as the source of a hive.
struct FileSource<'a> {
    fs: &'a dyn FileSystem,
    node: NodeId,
    size_bytes: u64,
}

impl<'a> FileSource<'a> {
    fn open(fs: &'a dyn FileSystem, path: &GuestPath) -> Result<Option<(GuestPath, Self)>> {
        let Some(found) = find(fs, path)? else { return Ok(None) };
        let size_bytes = fs.metadata(found.node)?.size_bytes;
        Ok(Some((found.real_path, Self { fs, node: found.node, size_bytes })))
    }
}

impl Source for FileSource<'_> {
    fn len_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        self.fs.read_at(self.node, offset_bytes, len)
    }
}

/// An open hive.
#[derive(Debug)]
pub struct Registry<'a> {
    hive: Hive<'a>,
    path: GuestPath,
}

impl<'a> Registry<'a> {
    /// Opens the hive at `path` with the logs beside it.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Refused` if it is dirty and its logs cannot be replayed; `Corrupt`; as the
    /// file system.
    pub fn open(fs: &'a dyn FileSystem, path: &GuestPath) -> Result<Self> {
        let opened = FileSource::open(fs, path)?;
        let (path, primary) = opened.ok_or_else(|| Error::not_found(path.to_string()))?;
        let mut logs: Vec<Box<dyn Source + 'a>> = Vec::new();
        for suffix in [".LOG1", ".LOG2", ".LOG"] {
            let log = GuestPath::new([path.as_bytes(), suffix.as_bytes()].concat());
            if let Some((_, log)) = FileSource::open(fs, &log)?
                && log.size_bytes > 0
            {
                logs.push(Box::new(log));
            }
        }
        let hive = Hive::open(Box::new(primary), logs).context(|| path.to_string())?;
        Ok(Self { hive, path })
    }

    /// The real path of the primary file.
    pub fn path(&self) -> &GuestPath {
        &self.path
    }

    /// The hive itself.
    pub fn hive(&self) -> &Hive<'a> {
        &self.hive
    }

    /// The hive itself, for edits.
    pub fn hive_mut(&mut self) -> &mut Hive<'a> {
        &mut self.hive
    }

    /// True if there is a key at `key`.
    ///
    /// # Errors
    /// As the hive, here and below.
    pub fn has_key(&self, key: &str) -> Result<bool> {
        Ok(self.hive.key(key).context(|| self.path.to_string())?.is_some())
    }

    /// The data of a value; `None` if there is no such key or value.
    ///
    /// # Errors
    /// As the hive.
    pub fn data(&self, key: &str, name: &str) -> Result<Option<Data>> {
        self.hive.get(key, name).context(|| format!("{}: {key}", self.path))
    }

    /// A value that is text.
    ///
    /// # Errors
    /// As the hive.
    pub fn string(&self, key: &str, name: &str) -> Result<Option<String>> {
        Ok(self.data(key, name)?.and_then(|data| data.as_text()))
    }

    /// A value that is a number of 32 bits.
    ///
    /// # Errors
    /// As the hive.
    pub fn dword(&self, key: &str, name: &str) -> Result<Option<u32>> {
        Ok(self.data(key, name)?.and_then(|data| data.as_u32()))
    }

    /// The type of a value, as a number.
    ///
    /// # Errors
    /// As the hive.
    pub fn value_type(&self, key: &str, name: &str) -> Result<Option<u32>> {
        let Some(key) = self.hive.key(key)? else { return Ok(None) };
        let value = self.hive.value(&key, name).context(|| self.path.to_string())?;
        Ok(value.map(|value| value.kind().into()))
    }

    /// The names of the subkeys of a key, at most `limit` of them; none if there is no such key.
    ///
    /// # Errors
    /// As the hive.
    pub fn subkeys(&self, key: &str, limit: usize) -> Result<Vec<String>> {
        let Some(key) = self.hive.key(key)? else { return Ok(Vec::new()) };
        let subkeys = self.hive.subkeys(&key).context(|| self.path.to_string())?;
        Ok(subkeys.into_iter().take(limit).map(|subkey| subkey.name().to_text()).collect())
    }
}

impl std::fmt::Debug for FileSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} of {} bytes", self.node.0, self.size_bytes)
    }
}
