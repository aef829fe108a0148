//! Guest paths: bytes, absolute, and resolved inside the volume only.
//!
//! A symbolic link with an absolute target starts again at the root of the volume, and `..` at the root stays
//! there, so that no link leads outside (LOGIN-132). Bounds: [`LINKS_MAX`], [`COMPONENTS_MAX`],
//! [`PATH_BYTES_MAX`].

use super::{FileSystem, NodeId, NodeKind};
use crate::bytes::text::{escape, escape_limited};
use crate::error::{Error, Refusal, Result};
use std::collections::VecDeque;
use std::fmt;

/// Symbolic links followed in one resolution, as in Linux (path_resolution(7)).
pub const LINKS_MAX: u32 = 40;
/// Components walked in one resolution, links included.
pub const COMPONENTS_MAX: u32 = 1024;
/// Length of a path, as in Linux.
pub const PATH_BYTES_MAX: usize = 4096;

/// An absolute path inside a volume, as bytes, without a trailing `/` (the root is `/`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(Vec<u8>);

impl GuestPath {
    /// Makes a path absolute and collapses `//`, `/./` and a trailing `/`; keeps `..`.
    pub fn new(path: impl AsRef<[u8]>) -> Self {
        let mut bytes = Vec::new();
        for part in components(path.as_ref()) {
            bytes.push(b'/');
            bytes.extend_from_slice(part);
        }
        if bytes.is_empty() {
            bytes.push(b'/');
        }
        Self(bytes)
    }

    /// The root directory.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// The path with `name` below it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<[u8]>) -> Self {
        let mut bytes = self.0.clone();
        bytes.push(b'/');
        bytes.extend_from_slice(name.as_ref());
        Self::new(bytes)
    }

    /// The directory that holds the last component; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&byte| byte == b'/')?;
        (self.0.len() > 1).then(|| Self::new(self.0.get(..slash).unwrap_or_default()))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_limited(&self.0, PATH_BYTES_MAX))
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escape(&self.0))
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// What a path leads to.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The node.
    pub node: NodeId,
    /// The real path: no links, no `..`.
    pub real_path: GuestPath,
    /// The directories walked through to the node on its real path, from the root to the parent, with their
    /// real paths. Empty for the root itself.
    pub parents: Vec<(GuestPath, NodeId)>,
}

/// How far a resolution came.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// The path exists.
    Found(Resolved),
    /// Everything before `missing` exists and is the directory `parent`.
    Missing {
        /// The deepest directory that exists.
        parent: Resolved,
        /// The components below it that do not, at least one.
        missing: Vec<Vec<u8>>,
        /// The real path of the link that led here, if one did: the link dangles.
        dangling_link: Option<GuestPath>,
    },
}

/// Resolves `path`, following every link; the last one too if `follows_last`.
///
/// # Errors
/// * `Refused` ([`Refusal::UnsuitableFile`]) - a component is not a directory, or a bound is exceeded
///   (which is what a link loop does).
/// * otherwise as the file system's methods.
pub fn resolve(fs: &dyn FileSystem, path: &GuestPath, follows_last: bool) -> Result<Resolution> {
    Walk::new(fs, path).run(follows_last)
}

/// Resolves `path` with all links; `None` if it does not exist.
///
/// # Errors
/// As [`resolve`].
pub fn find(fs: &dyn FileSystem, path: &GuestPath) -> Result<Option<Resolved>> {
    Ok(match resolve(fs, path, true)? {
        Resolution::Found(resolved) => Some(resolved),
        Resolution::Missing { .. } => None,
    })
}

/// Reads the regular file at `path`, links followed; `None` if there is none.
///
/// # Errors
/// `Refused` if the path leads to something else; `Limit` above `limit_bytes`; otherwise as [`resolve`].
pub fn read_file(
    fs: &dyn FileSystem,
    path: &GuestPath,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>> {
    let Some(resolved) = find(fs, path)? else { return Ok(None) };
    let kind = fs.metadata(resolved.node)?.kind;
    if kind != NodeKind::File {
        let reason = format!("is a {kind}, not a regular file");
        return Err(Refusal::UnsuitableFile { path: path.to_string(), reason }.into());
    }
    fs.read(resolved.node, limit_bytes).map(Some)
}

/// One resolution under way.
struct Walk<'a> {
    fs: &'a dyn FileSystem,
    wanted: &'a GuestPath,
    /// Components still to go.
    rest: VecDeque<Vec<u8>>,
    /// The real path so far, from the root to the present directory.
    walked: Vec<(GuestPath, NodeId)>,
    /// The last node whose kind was asked for: it is the next directory, mostly.
    known: Option<(NodeId, NodeKind)>,
    links: u32,
    last_link: Option<GuestPath>,
}

impl<'a> Walk<'a> {
    fn new(fs: &'a dyn FileSystem, wanted: &'a GuestPath) -> Self {
        let rest = components(wanted.as_bytes()).map(<[u8]>::to_vec).collect();
        let walked = vec![(GuestPath::root(), fs.root())];
        Self { fs, wanted, rest, walked, known: None, links: 0, last_link: None }
    }

    fn run(mut self, follows_last: bool) -> Result<Resolution> {
        let mut steps = 0u32;
        while let Some(name) = self.rest.pop_front() {
            steps = steps.saturating_add(1);
            if steps > COMPONENTS_MAX {
                return Err(self.unsuitable("leads through too many directories"));
            }
            if name == b".." {
                if self.walked.len() > 1 {
                    self.walked.pop();
                }
                continue;
            }
            let (here, directory) = self.present()?;
            if self.kind(directory)? != NodeKind::Directory {
                return Err(self.unsuitable(&format!("{here} is not a directory")));
            }
            let Some(node) = self.fs.lookup(directory, &name)? else {
                return self.missing(name);
            };
            let is_last = self.rest.is_empty();
            let is_link = self.kind(node)? == NodeKind::Symlink;
            if is_link && (follows_last || !is_last) {
                self.follow(node, here.join(&name))?;
            } else {
                self.walked.push((here.join(&name), node));
            }
        }
        Ok(Resolution::Found(self.resolved()?))
    }

    fn kind(&mut self, node: NodeId) -> Result<NodeKind> {
        match self.known {
            Some((known, kind)) if known == node => Ok(kind),
            _ => {
                let kind = self.fs.metadata(node)?.kind;
                self.known = Some((node, kind));
                Ok(kind)
            }
        }
    }

    fn present(&self) -> Result<(GuestPath, NodeId)> {
        // The root is never popped.
        self.walked.last().cloned().ok_or_else(|| Error::not_found("root directory"))
    }

    fn follow(&mut self, link: NodeId, link_path: GuestPath) -> Result<()> {
        self.links = self.links.saturating_add(1);
        if self.links > LINKS_MAX {
            return Err(self.unsuitable("leads through too many symbolic links"));
        }
        let target = self.fs.read_link(link)?;
        if target.len() > PATH_BYTES_MAX {
            return Err(self.unsuitable("leads through an overlong symbolic link"));
        }
        if target.first() == Some(&b'/') {
            self.walked.truncate(1);
        }
        let parts: Vec<Vec<u8>> = components(&target).map(<[u8]>::to_vec).collect();
        for part in parts.into_iter().rev() {
            self.rest.push_front(part);
        }
        self.last_link = Some(link_path);
        Ok(())
    }

    fn missing(self, name: Vec<u8>) -> Result<Resolution> {
        let mut missing = vec![name];
        missing.extend(self.rest.iter().cloned());
        if missing.iter().any(|part| part == b"..") {
            return Err(self.unsuitable("leads through a directory that does not exist"));
        }
        let dangling_link = self.last_link.clone();
        Ok(Resolution::Missing { parent: self.resolved()?, missing, dangling_link })
    }

    fn resolved(&self) -> Result<Resolved> {
        let (real_path, node) = self.present()?;
        let above = self.walked.len().saturating_sub(1);
        let parents = self.walked.get(..above).unwrap_or_default().to_vec();
        Ok(Resolved { node, real_path, parents })
    }

    fn unsuitable(&self, reason: &str) -> Error {
        let path = self.wanted.to_string();
        Refusal::UnsuitableFile { path, reason: reason.to_owned() }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised() {
        for (given, expected) in
            [("", "/"), ("a//b/", "/a/b"), ("/./a/./", "/a"), ("/a/../b", "/a/../b")]
        {
            assert_eq!(GuestPath::new(given).as_bytes(), expected.as_bytes());
        }
        let path = GuestPath::new("/home/admin");
        assert_eq!(path.parent(), Some(GuestPath::new("/home")));
        assert_eq!(path.file_name(), b"admin");
        assert_eq!(GuestPath::root().parent(), None);
        assert_eq!(path.join(".ssh").to_string(), "/home/admin/.ssh");
    }
}
