//! Numbers for the objects of a directory, and a bounded number of handles that are held open.

use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use crate::fs::NodeId;
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::stat::{Key, Stat, Time};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Handles that are held open at once.
const HANDLES_MAX: usize = 64;

/// Bound on the objects that are looked at in one run.
const NODES_MAX: usize = 1 << 20;

/// The root directory.
pub(super) const ROOT: NodeId = NodeId(1);

/// What changes when somebody writes to a file.
type Stamp = (u64, Time, Time);

/// Where an object was found, and which it was.
#[derive(Debug, Clone)]
struct Known {
    place: Option<(NodeId, Vec<u8>)>,
    key: Key,
    stamp: Option<Stamp>,
}

/// The objects that were looked up.
#[derive(Debug)]
pub(super) struct Nodes {
    known: RefCell<BTreeMap<NodeId, Known>>,
    ids: RefCell<BTreeMap<Key, NodeId>>,
    /// What each name led to when it was first looked up.
    names: RefCell<BTreeMap<(NodeId, Vec<u8>), NodeId>>,
    /// The last ones that were used, the very last at the end.
    open: RefCell<VecDeque<(NodeId, Rc<Handle>)>>,
    next: Cell<u64>,
}

impl Nodes {
    pub(super) fn new(root: &Handle) -> Self {
        let known = Known { place: None, key: root.stat.key, stamp: None };
        Self {
            known: RefCell::new(BTreeMap::from([(ROOT, known)])),
            ids: RefCell::new(BTreeMap::from([(root.stat.key, ROOT)])),
            names: RefCell::new(BTreeMap::new()),
            open: RefCell::new(VecDeque::new()),
            next: Cell::new(ROOT.0),
        }
    }

    /// A number that no other object has.
    pub(super) fn fresh(&self) -> NodeId {
        self.next.set(self.next.get().saturating_add(1));
        NodeId(self.next.get())
    }

    /// The number of the object behind `handle`, which was found as `name` in `directory`.
    ///
    /// # Errors
    /// `Mismatch` if the name has led to another object before: what was read through it is out of date.
    pub(super) fn intern(&self, directory: NodeId, name: &[u8], handle: Handle) -> Result<NodeId> {
        let known_id = self.ids.borrow().get(&handle.stat.key).copied();
        let id = known_id.unwrap_or_else(|| self.fresh());
        if id == ROOT {
            // A bind mount of the root below itself.
            return Ok(id);
        }
        let before = *self.names.borrow_mut().entry((directory, name.to_vec())).or_insert(id);
        if before != id {
            let what = format!("{} was replaced while regain was reading it", escape(name));
            return Err(Error::mismatch(what));
        }
        let mut known = self.known.borrow_mut();
        if known.len() >= NODES_MAX {
            let count = crate::bytes::arith::len_u64(known.len());
            return Err(Error::limit("files and directories looked at", count, count));
        }
        let place = Some((directory, name.to_vec()));
        let key = handle.stat.key;
        known.entry(id).or_insert(Known { place: None, key, stamp: None }).place = place;
        self.ids.borrow_mut().insert(key, id);
        self.keep(id, Rc::new(handle));
        Ok(id)
    }

    fn keep(&self, id: NodeId, handle: Rc<Handle>) {
        let mut open = self.open.borrow_mut();
        open.retain(|(other, _)| *other != id);
        if open.len() >= HANDLES_MAX {
            open.pop_front();
        }
        open.push_back((id, handle));
    }

    /// A handle of `node`: one that is still open, or a new one that leads to the same object as before.
    ///
    /// # Errors
    /// `Mismatch` if another object has its name by now; `Io`.
    pub(super) fn handle(&self, directory: &Directory, node: NodeId) -> Result<Rc<Handle>> {
        let mut missing = Vec::new();
        let mut at = node;
        let mut handle = loop {
            if at == ROOT {
                break directory.root().clone();
            }
            if let Some(handle) = self.still_open(at) {
                break handle;
            }
            let known = self.known(at)?;
            let (parent, name) = known.place.ok_or_else(|| unknown(at))?;
            missing.push((at, name, known.key));
            if missing.len()
                > crate::bytes::arith::to::<u32, usize>(crate::fs::path::COMPONENTS_MAX)?
            {
                return Err(Error::mismatch("the directories were moved while they were read"));
            }
            at = parent;
        };
        for (id, name, key) in missing.into_iter().rev() {
            let child = directory.child(&handle, &name).context(|| self.path(id))?;
            let child = child.filter(|child| child.stat.key == key);
            let changed = || Error::mismatch("was replaced while it was read");
            handle = Rc::new(child.ok_or_else(changed).context(|| self.path(id))?);
            self.keep(id, handle.clone());
        }
        Ok(handle)
    }

    fn still_open(&self, node: NodeId) -> Option<Rc<Handle>> {
        let mut open = self.open.borrow_mut();
        let at = open.iter().position(|(id, _)| *id == node)?;
        let found = open.remove(at)?;
        let handle = found.1.clone();
        open.push_back(found);
        Some(handle)
    }

    fn known(&self, node: NodeId) -> Result<Known> {
        self.known.borrow().get(&node).cloned().ok_or_else(|| unknown(node))
    }

    /// Where `node` was found: its directory and its name there.
    pub(super) fn place(&self, node: NodeId) -> Option<(NodeId, Vec<u8>)> {
        self.known.borrow().get(&node)?.place.clone()
    }

    /// The path of `node` for people.
    pub(super) fn path(&self, node: NodeId) -> String {
        escape(&self.path_bytes(node))
    }

    /// The path of `node`.
    pub(super) fn path_bytes(&self, node: NodeId) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = node;
        while let Some((parent, name)) = self.place(at) {
            parts.push(name);
            at = parent;
            if parts.len() > NODES_MAX {
                break;
            }
        }
        let mut path = Vec::new();
        for part in parts.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(part);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// Remembers how a file was when its content was first read.
    ///
    /// # Errors
    /// `Mismatch` if it was changed since it was first read.
    pub(super) fn check_unchanged(&self, node: NodeId, stat: &Stat) -> Result<()> {
        let stamp = (stat.size_bytes, stat.modified, stat.changed);
        let mut known = self.known.borrow_mut();
        let Some(known) = known.get_mut(&node) else { return Ok(()) };
        if *known.stamp.get_or_insert(stamp) == stamp {
            return Ok(());
        }
        Err(Error::mismatch("was changed by somebody else while regain was reading it"))
    }
}

fn unknown(node: NodeId) -> Error {
    Error::not_found(format!("node {}", node.0))
}
