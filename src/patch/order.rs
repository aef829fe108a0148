//! Which of the disks that were given is which part of a patch.
//!
//! The order in which disks are given is the user's business. What a part is for is told by its size, by the GUID of its
//! partition table, and above all by what it holds: every sector of its runs is as before the edit or as after it. So an
//! order in which all parts fit is never wrong; where several fit, the one that was given comes first, then the one in
//! which the disks have the names of the patch. Where neither fits, the only one that does is taken.

use super::{Description, PartIdentity, Patch, Run, State, TargetIdentity, parts, state};
use crate::bytes::arith::sub;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;

/// A disk that was given: what identifies it, and its bytes.
pub type Given = (PartIdentity, Arc<dyn Disk>);

/// The order in which `given` are the parts of `patch`: for each part the index of its disk. None if no order fits, or
/// if more than one does and nothing speaks for one of them.
///
/// # Errors
/// * `Mismatch` - the patch is for more or fewer disks.
/// * `Io`.
pub fn order(patch: &Patch, given: &[Given]) -> Result<Option<Vec<usize>>> {
    let parts = patch.description().identity.parts.as_slice();
    if parts.len() != given.len() {
        let (wanted, given) = (parts.len(), given.len());
        return Err(Error::mismatch(format!("the patch is for {wanted} disks, {given} given")));
    }
    let patches = one_by_one(patch)?;
    let fits = |part: usize, disk: usize| match (patches.get(part), given.get(disk)) {
        (Some(patch), Some(given)) => fits(patch, given),
        _ => Ok(false),
    };
    let all_fit = |order: &[usize]| -> Result<bool> {
        for (part, disk) in order.iter().enumerate() {
            if !fits(part, *disk)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let as_given: Vec<usize> = (0..given.len()).collect();
    if all_fit(&as_given)? {
        return Ok(Some(as_given));
    }
    if let Some(named) = by_names(parts, given)
        && all_fit(&named)?
    {
        return Ok(Some(named));
    }
    let mut candidates = Vec::new();
    for part in 0..parts.len() {
        let mut fitting = Vec::new();
        for disk in 0..given.len() {
            if fits(part, disk)? {
                fitting.push(disk);
            }
        }
        candidates.push(fitting);
    }
    Ok(only_one(candidates))
}

/// A patch for each part alone, of the runs that lie in it.
fn one_by_one(patch: &Patch) -> Result<Vec<Patch>> {
    let ranges = parts::ranges(&patch.description().identity)?;
    let parts = patch.description().identity.parts.iter().zip(ranges);
    parts.map(|(part, range)| alone(patch, part, &range)).collect()
}

fn alone(patch: &Patch, part: &PartIdentity, range: &Range<u64>) -> Result<Patch> {
    let identity = TargetIdentity {
        size_bytes: part.size_bytes,
        sector_size_bytes: part.sector_size_bytes,
        table_guid: part.table_guid.clone(),
        volumes: Vec::new(),
        parts: Vec::new(),
    };
    let inside = patch.runs().iter().filter(|run| range.contains(&run.offset_bytes));
    let moved = inside.map(|run| {
        let offset_bytes = sub(run.offset_bytes, range.start)?;
        Ok(Run { offset_bytes, ..run.clone() })
    });
    let runs = moved.collect::<Result<_>>()?;
    let description = Description { identity, files: Vec::new(), ..patch.description().clone() };
    Patch::from_parts(description, runs)
}

/// True if a disk may be the one that `patch` is for.
fn fits(patch: &Patch, (identity, disk): &Given) -> Result<bool> {
    let found = TargetIdentity {
        size_bytes: identity.size_bytes,
        sector_size_bytes: identity.sector_size_bytes,
        table_guid: identity.table_guid.clone(),
        volumes: Vec::new(),
        parts: Vec::new(),
    };
    match patch.description().identity.check(&found).and_then(|()| state(patch, disk.as_ref())) {
        Ok(State::Foreign { .. }) => Ok(false),
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Mismatch(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The disks that have the names of the parts, if each name is that of one disk.
fn by_names(parts: &[PartIdentity], given: &[Given]) -> Option<Vec<usize>> {
    let mut order = Vec::new();
    for part in parts {
        let named = given.iter().position(|(disk, _)| disk.name == part.name)?;
        if order.contains(&named) {
            return None;
        }
        order.push(named);
    }
    Some(order)
}

/// The only way to give each part one of its candidates, no disk twice; None if there is none, or more than one.
///
/// If there is only one way, then some part has a single candidate; without that and its disk it is so again.
fn only_one(mut candidates: Vec<Vec<usize>>) -> Option<Vec<usize>> {
    let mut order = vec![None; candidates.len()];
    for _ in 0..candidates.len() {
        let part = candidates.iter().position(|disks| disks.len() == 1)?;
        let disk = candidates.get(part)?.first().copied()?;
        *order.get_mut(part)? = Some(disk);
        for disks in &mut candidates {
            disks.retain(|other| *other != disk);
        }
    }
    order.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;
    use crate::patch::tests::{change, description};

    const LEN: usize = 4096;

    fn part(name: &str, guid: Option<&str>) -> PartIdentity {
        PartIdentity {
            name: name.to_owned(),
            size_bytes: LEN as u64,
            sector_size_bytes: 512,
            table_guid: guid.map(str::to_owned),
        }
    }

    /// A patch of disks full of the byte `.1`, of which the second sector becomes `X`.
    fn patch(parts: &[(PartIdentity, u8)]) -> Patch {
        let disks = parts
            .iter()
            .map(|(part, byte)| (part.clone(), vec![change(512, &[*byte; 512], &[b'X'; 512])]));
        let (identity, changes) = parts::join(disks.collect()).unwrap();
        Patch::new(Description { identity, ..description(0) }, changes).unwrap()
    }

    fn given(part: PartIdentity, byte: u8, is_edited: bool) -> Given {
        let mut bytes = vec![byte; LEN];
        if is_edited {
            bytes[512..1024].fill(b'X');
        }
        (part, Arc::new(MemoryDisk::new(bytes)))
    }

    #[test]
    fn what_a_disk_holds_tells_which_part_it_is() {
        let [a, b, c] = ["a", "b", "c"].map(|name| part(name, None));
        let patch = patch(&[(a, 1), (b, 2), (c, 3)]);
        for (bytes, expected) in [
            ([1, 2, 3], Some(vec![0, 1, 2])),
            ([3, 1, 2], Some(vec![1, 2, 0])),
            ([2, 1, 3], Some(vec![1, 0, 2])),
            ([1, 2, 4], None),
            ([1, 1, 2], None),
        ] {
            // Names that tell nothing, and two of them equal.
            let given: Vec<Given> =
                bytes.iter().map(|byte| given(part("d", None), *byte, false)).collect();
            assert_eq!(order(&patch, &given).unwrap(), expected, "{bytes:?}");
        }
        let edited = [2, 3, 1].map(|byte| given(part("d", None), byte, byte == 2));
        assert_eq!(order(&patch, &edited).unwrap(), Some(vec![2, 0, 1]), "partly applied");
    }

    #[test]
    fn equal_disks_are_told_by_the_order_given_and_then_by_their_names() {
        let parts = ["a", "b", "c"].map(|name| part(name, None));
        let [a, b, c] = parts;
        let patch = patch(&[(a.clone(), 1), (b.clone(), 1), (c.clone(), 2)]);
        let of = |disks: [(&PartIdentity, u8); 3]| {
            let given = disks.map(|(part, byte)| given(part.clone(), byte, false));
            order(&patch, &given).unwrap()
        };
        assert_eq!(of([(&b, 1), (&a, 1), (&c, 2)]), Some(vec![0, 1, 2]), "as it was given");
        assert_eq!(of([(&c, 2), (&b, 1), (&a, 1)]), Some(vec![2, 1, 0]), "by the names");
        let other = part("d", None);
        assert_eq!(of([(&c, 2), (&b, 1), (&other, 1)]), None, "nothing tells");
        // A name speaks for nothing that does not fit.
        assert_eq!(of([(&a, 2), (&b, 1), (&c, 1)]), None);
    }

    #[test]
    fn no_disk_is_two_parts() {
        let [a, other] = ["a", "b"].map(|name| part(name, None));
        let patch = patch(&[(a.clone(), 1), (a.clone(), 1), (other.clone(), 2)]);
        let disks = [(other, 2), (a.clone(), 1), (a, 1)];
        let given = disks.map(|(part, byte)| given(part, byte, false));
        assert_eq!(order(&patch, &given).unwrap(), None);
    }

    #[test]
    fn sizes_and_identifiers_of_tables_must_agree() {
        let [a, b] = [("a", "1"), ("b", "2")].map(|(name, guid)| part(name, Some(guid)));
        let patch = patch(&[(a.clone(), 1), (b.clone(), 1)]);
        let of = |disks: [PartIdentity; 2]| {
            let given = disks.map(|part| given(part, 1, false));
            order(&patch, &given).unwrap()
        };
        assert_eq!(of([b.clone(), a.clone()]), Some(vec![1, 0]));
        assert_eq!(of([b.clone(), part("x", None)]), Some(vec![1, 0]), "one that is not known");
        assert_eq!(of([b.clone(), b.clone()]), None);
        let short = PartIdentity { size_bytes: 512, ..a.clone() };
        assert_eq!(of([b.clone(), short]), None);
        let error = order(&patch, &[given(a, 1, false)]).unwrap_err();
        assert_eq!(error.to_string(), "the patch is for 2 disks, 1 given");
    }

    #[test]
    fn a_part_without_a_change_is_told_by_the_others() {
        let [a, b] = ["a", "b"].map(|name| part(name, None));
        let changed = vec![change(512, &[1; 512], &[b'X'; 512])];
        let (identity, changes) = parts::join(vec![(a, changed), (b, Vec::new())]).unwrap();
        let patch = Patch::new(Description { identity, ..description(0) }, changes).unwrap();
        let disks = [7, 1].map(|byte| given(part("d", None), byte, false));
        assert_eq!(order(&patch, &disks).unwrap(), Some(vec![1, 0]));
    }
}
